from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import encoded, fitted, with_averages
from PIL import Image
from pydantic import ValidationError
from reprbench.methods.torchvision_models import Torchvision, UntrainedTorchvision
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from reprbench.errors import UserError
from reprbench.images import Images
from reprbench.learner import make
from reprbench.registry import discover
from reprbench.run_context import seeded
from reprbench.runner.describe import Question, answer


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(3)
    return with_averages(models.resnet18())


@pytest.fixture(scope="module")
def weights(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(original.state_dict(), path)
    return path


def test_images_of_the_models_size_give_the_features_of_its_own_evaluation(original, weights):
    preset = models.ResNet18_Weights.DEFAULT.transforms(resize_size=224)
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    layers = ["layer1", "layer2", "layer3", "layer4"]
    extractor = create_feature_extractor(original, [*layers, "flatten"])
    learner = make(Torchvision, {"weights": weights}, (3, 224, 224))
    found = encoded(learner, torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    with torch.inference_mode():
        expected = extractor(torch.stack([preset(Image.fromarray(image)) for image in images]))
    assert list(found) == [*layers, "pooled"]
    for name, one in zip(found, expected.values(), strict=True):
        torch.testing.assert_close(found[name], one, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("model", "layers", "size"),
    [
        ("vgg11", ["features"], 4096),
        ("mobilenet_v3_small", [f"features.{n}" for n in range(13)], 1024),
        ("swin_t", [], 768),
        ("vit_b_32", [], 768),
        ("regnet_y_400mf", ["stem", *(f"trunk_output.block{n}" for n in range(1, 5))], 440),
        ("googlenet", None, 1024),
    ],
)
def test_the_stages_and_the_input_of_the_classifier_of_other_models(model, layers, size):
    learner = make(UntrainedTorchvision, {"model": model, "image_size": 64}, (1, 8, 8))
    found = encoded(learner, torch.rand(2, 1, 8, 8))
    assert layers is None or list(found) == [*layers, "pooled"]
    assert found["pooled"].shape == (2, size)


def test_a_layer_is_what_its_module_returned_whatever_happens_to_it_later():
    with seeded(0, "weights"):
        learner = make(UntrainedTorchvision, {"model": "mobilenet_v2", "image_size": 32}, (3, 32, 32))
    x, copies = torch.rand(2, 3, 32, 32), {}
    for name, module in learner.network.features.named_children():
        module.register_forward_hook(
            lambda _, __, output, name=name: copies.__setitem__(f"features.{name}", output.clone())
        )
    found = encoded(learner, x)
    assert copies.keys() == found.keys() - {"pooled"}
    assert all(torch.equal(copies[name], found[name]) for name in copies)


def test_random_weights_are_drawn_from_the_seed_and_nothing_else():
    images = Images(np.zeros((4, 1, 8, 8), dtype=np.uint8))
    given = {"model": "shufflenet_v2_x0_5", "image_size": 32}
    one, again, other = (fitted(UntrainedTorchvision, images, seed=seed, **given)[0] for seed in (0, 0, 1))
    weights = [learner.network.conv1[0].weight for learner in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_what_cannot_be_used(tmp_path, weights, monkeypatch):
    with pytest.raises(UserError, match="squeezenet1_0 has no linear classifier"):
        make(UntrainedTorchvision, {"model": "squeezenet1_0"}, (3, 32, 32))
    with pytest.raises(ValidationError, match="no classification model 'resnet19'; it has resnet18"):
        UntrainedTorchvision(model="resnet19")
    entry = discover(folder=None).methods["torchvision"]
    (line,) = answer(Question(entry, {"model": "resnet34", "weights": str(weights)}, {}, (3, 32, 32))).mistakes
    assert "not those of this model" in line
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    with pytest.raises(ValidationError, match=f"in the cache of torch \\({cached}\\), and nothing is downloaded"):
        Torchvision()
    cached.parent.mkdir(parents=True)
    cached.write_bytes(weights.read_bytes())
    assert Torchvision().weights == cached
