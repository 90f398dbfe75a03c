from __future__ import annotations

import pytest
import torch
import torchvision
from reprbench.methods.backbones import make_backbone
from reprbench.methods.networks import Architecture, Encoder, global_average

from reprbench import UserError

SHAPES = [(1, 8, 8), (3, 9, 11), (1, 28, 28), (3, 32, 32), (3, 64, 64)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["p-res", "resnet18"])
def test_its_representation_has_as_many_features_as_it_says(name, shape):
    backbone = make_backbone(name, shape, 8 if name == "p-res" else None)
    *_, representation = backbone(torch.rand(3, *shape)).values()
    assert global_average(representation).shape == (3, backbone.features)


def test_p_res_is_the_encoder_of_the_autoencoders_with_equal_weights():
    torch.manual_seed(0)
    ours = make_backbone("p-res", (3, 32, 32), 8)
    torch.manual_seed(0)
    theirs = Encoder(Architecture.of((3, 32, 32), 8))
    one, other = ours.state_dict(), theirs.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_resnet18_computes_as_torchvision():
    """With torchvision's weights, the stem included, it gives torchvision's features of large images."""
    theirs = torchvision.models.resnet18().eval()
    ours = make_backbone("resnet18", (3, 64, 64)).eval()
    ours.stem.load_state_dict(
        {"0.weight": theirs.conv1.weight} | {f"1.{k}": v for k, v in theirs.bn1.state_dict().items()}
    )
    for mine, block in zip(ours.blocks, [theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4], strict=True):
        mine.load_state_dict(block.state_dict())
    theirs.fc = torch.nn.Identity()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        maps = ours(x)
        torch.testing.assert_close(maps["average"], theirs(x))
    assert list(maps) == ["stem", "block1", "block2", "block3", "block4", "average"]


def test_small_images_keep_their_size_in_the_stem_of_resnet18():
    maps = make_backbone("resnet18", (1, 32, 32))(torch.rand(2, 1, 32, 32))
    assert [maps[name].shape[-1] for name in ("stem", "block1", "block2", "block3", "block4")] == [32, 32, 16, 8, 4]


@pytest.mark.parametrize("name", ["p-res", "resnet18"])
def test_images_that_are_too_small_are_refused(name):
    with pytest.raises(UserError, match=r"^images of 7×9 pixels are too small for .*: it needs at least 8×8"):
        make_backbone(name, (1, 7, 9))


def test_resnet18_takes_no_width():
    with pytest.raises(UserError, match="resnet18 has a fixed width; leave width out"):
        make_backbone("resnet18", (3, 32, 32), 16)
