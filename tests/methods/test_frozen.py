from __future__ import annotations

import pickle
import re

import pytest
import torch
from common import Evil
from reprbench.methods.frozen import ModelInput, load_weights, open_blocks, read_weights
from safetensors.torch import save_file

from reprbench.errors import UserError

INPUT = ModelInput((3, 24, 24), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), "bicubic")


def test_gray_images_are_repeated_and_resized_and_the_row_says_so():
    x = torch.rand(2, 1, 8, 8)
    resized = INPUT.resized(x)
    assert resized.shape == (2, 3, 24, 24)
    assert torch.equal(resized[:, 0], resized[:, 2])
    assert 0 <= resized.min() < resized.max() <= 1
    gray, sizes = INPUT.notes((1, 8, 8))
    assert gray == "gray images repeated to 3 channels"
    assert sizes == "images resized from 8×8 to 24×24 (bicubic, antialiased), without a crop"
    assert INPUT.notes((3, 24, 24)) == []
    assert INPUT.of_size(8).notes((3, 8, 8)) == []


def test_images_of_the_models_own_size_stay_as_they_are():
    x = torch.rand(2, 3, 24, 24)
    assert torch.equal(INPUT.resized(x), x)


def test_a_larger_image_is_made_smaller_as_by_torchvision():
    from torchvision.transforms.v2.functional import resize

    x = torch.rand(1, 3, 50, 50)
    expected = resize(x, [24, 24], interpolation=3, antialias=True).clamp(0, 1)
    torch.testing.assert_close(INPUT.resized(x), expected)


def test_images_that_cannot_be_used():
    with pytest.raises(UserError, match="takes images of 3 channels; those of 4"):
        INPUT.check((4, 8, 8))
    with pytest.raises(UserError, match="interpolation is 'lanczos'"):
        ModelInput((3, 8, 8), (0.0,), (1.0,), "lanczos").check((3, 8, 8))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "checkpoint.pth", "parallel.pt"])
def test_weights_are_read_from_either_kind_of_file(tmp_path, name):
    network, path = torch.nn.Linear(3, 2), tmp_path / name
    state = network.state_dict()
    if name.endswith("safetensors"):
        save_file(state, path)
    elif name.startswith("parallel"):
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if "checkpoint" in name else state, path)
    other = torch.nn.Linear(3, 2)
    load_weights(other, read_weights(path), ["fc"], path)
    assert torch.equal(other.weight, network.weight)


@pytest.mark.parametrize("content", [b"", b"text", b"weights", pickle.dumps({"weight": Evil()}), pickle.dumps([1, 2])])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_another_kind_is_refused_and_nothing_in_it_is_run(tmp_path, capsys, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    begins = f"begins with {content[:16]!r}" if content else "is empty"
    with pytest.raises(UserError, match=re.escape(f"by name: it {begins}") + "$") as raised:
        read_weights(path)
    assert str(raised.value).startswith(f"weights {path}: neither safetensors nor weights that torch saved")
    assert capsys.readouterr().out == ""


def test_an_archive_of_something_else_is_said_to_be_that(tmp_path):
    torch.save([1, 2], tmp_path / "w.pth")
    with pytest.raises(UserError, match="by name: it is an archive of something else$"):
        read_weights(tmp_path / "w.pth")


def test_weights_of_another_network_are_refused(tmp_path):
    weights = torch.nn.Linear(3, 2).state_dict()
    with pytest.raises(UserError, match=r"not those of this model: [^\n]*size mismatch for weight[^\n]*$"):
        load_weights(torch.nn.Linear(4, 2), weights, [], tmp_path)
    with pytest.raises(UserError, match="not those of this model"):
        load_weights(torch.nn.Linear(3, 2), {**weights, "fc.weight": torch.zeros(1)}, ["head"], tmp_path)
    load_weights(torch.nn.Linear(3, 2), {**weights, "fc.weight": torch.zeros(1)}, ["fc"], tmp_path)


class Scale(torch.nn.Module):
    def __init__(self, value, *shape):
        super().__init__()
        self.gamma = torch.nn.Parameter(torch.full(shape, value))


def test_blocks_that_begin_closed_are_opened_and_nothing_else_changes():
    closed, open_already = torch.nn.BatchNorm2d(3), torch.nn.LayerNorm(3)
    torch.nn.init.zeros_(closed.weight)
    torch.nn.init.constant_(open_already.weight, 0.5)
    linear = torch.nn.Linear(3, 3)
    torch.nn.init.constant_(linear.weight, 1e-3)
    scales = [Scale(1e-6, 4), Scale(1e-4, 4, 1, 1), Scale(0.1, 4), Scale(1e-6)]
    before = linear.weight.clone()
    open_blocks(torch.nn.Sequential(closed, open_already, linear, *scales).requires_grad_(False))
    assert closed.weight.tolist() == [1, 1, 1]
    assert closed.bias.tolist() == [0, 0, 0]
    assert open_already.weight.tolist() == [0.5, 0.5, 0.5]
    assert torch.equal(linear.weight, before)
    assert [float(one.gamma.mean()) for one in scales] == [1, 1, pytest.approx(0.1), 1]
