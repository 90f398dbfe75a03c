from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from fits import blobs, encoded, fitted, with_averages
from PIL import Image
from pydantic import ValidationError
from reprbench.methods.timm_models import Timm, UntrainedTimm
from safetensors.torch import save_file
from timm.data import create_transform, resolve_model_data_config

from reprbench.learner import make
from reprbench.registry import Entry, discover
from reprbench.run_context import seeded
from reprbench.runner.describe import Question, answer
from reprbench.state import parameter_count

MODEL = "test_resnet.r160_in1k"
SIDE = 160


@pytest.fixture(scope="module")
def original():
    torch.manual_seed(3)
    return with_averages(timm.create_model(MODEL))


@pytest.fixture(scope="module")
def weights(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(original.state_dict(), path)
    return path


@pytest.fixture
def empty_caches(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def pictures(side, count=3):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def as_batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def by_timm(network, images, crop_pct=1.0):
    """Encode as timm's own evaluation does: each image by itself, through Pillow."""
    transform = create_transform(**{**resolve_model_data_config(network), "crop_pct": crop_pct})
    x = torch.stack([transform(Image.fromarray(image)) for image in images])
    with torch.inference_mode():
        return network.forward_head(network.forward_features(x), pre_logits=True)


def test_images_of_the_models_size_give_the_features_of_timms_own_evaluation(original, weights):
    learner = make(Timm, {"model": MODEL, "weights": weights}, (3, SIDE, SIDE))
    images = pictures(SIDE)
    found = encoded(learner, as_batch(images))
    torch.testing.assert_close(found["pooled"], by_timm(original, images), rtol=1e-5, atol=1e-5)
    assert learner.warnings([]) == []


@pytest.mark.parametrize("model", [MODEL, "test_vit.r160_in1k"], ids=["bilinear", "bicubic"])
@pytest.mark.parametrize("side", [32, 200])
def test_other_images_differ_by_no_more_than_pillow_rounds(model, side):
    learner = make(UntrainedTimm, {"model": model}, (3, side, side))
    images = pictures(side) // 2 + 64  # where nothing that overshoots is clipped between the two directions
    transform = create_transform(**{**resolve_model_data_config(learner.network), "crop_pct": 1.0})
    expected = torch.stack([transform(Image.fromarray(image)) for image in images])
    # Rounded in both directions, and sharpened in the second; the standard deviation of these models is a half.
    assert (learner.prepared(as_batch(images)) - expected).abs().max() <= 2 * 1.2 / 255
    (said,) = learner.warnings([])
    assert "without a crop" in said


@pytest.mark.parametrize("model", [MODEL, "test_vit.r160_in1k", "test_efficientnet.r160_in1k"])
def test_the_layers_are_those_of_features_only(model):
    with seeded(0, "weights"):
        learner = make(UntrainedTimm, {"model": model}, (3, SIDE, SIDE))
    alone = timm.create_model(model, features_only=True, out_indices=range(len(learner.network.feature_info)))
    kept = learner.network.state_dict()
    names = alone.feature_info.module_name()
    x = as_batch(pictures(SIDE, 2))
    found = encoded(learner, x)
    assert list(found) == [*names, "pooled"]
    assert found["pooled"].shape == (2, learner.network.num_features)
    own = alone.state_dict()
    shared = {name: kept[name.removeprefix("model.")] for name in own if name.removeprefix("model.") in kept}
    alone.load_state_dict({**own, **shared})
    alone.eval()
    with torch.inference_mode():
        maps = alone(learner.prepared(x))
    assert len(shared) == len(own)
    for name, expected in zip(names, maps, strict=True):
        torch.testing.assert_close(found[name], expected)


def test_weights_without_a_classifier_or_with_another_are_taken(original, weights, tmp_path):
    state = original.state_dict()
    bare = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    torch.save({"state_dict": bare}, tmp_path / "bare.pth")
    torch.save({**bare, "fc.weight": torch.zeros(10, 96), "fc.bias": torch.zeros(10)}, tmp_path / "tuned.pth")
    x = torch.rand(2, 3, 32, 32)
    whole, *others = (
        encoded(make(Timm, {"model": MODEL, "weights": path}, (3, 32, 32)), x)["pooled"]
        for path in (weights, tmp_path / "bare.pth", tmp_path / "tuned.pth")
    )
    assert all(torch.equal(whole, other) for other in others)


def test_weights_for_another_size_are_converted_by_timm(tmp_path):
    torch.manual_seed(0)
    network = timm.create_model("test_vit")
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    given = {"model": "test_vit", "weights": tmp_path / "vit.safetensors", "image_size": 64}
    learner = make(Timm, given, (1, 8, 8))
    assert learner.network.pos_embed.shape[1] == 1 + (64 // 16) ** 2
    assert torch.equal(learner.network.blocks[0].mlp.fc1.weight, network.blocks[0].mlp.fc1.weight)
    assert encoded(learner, torch.rand(2, 1, 8, 8))["blocks.0"].shape == (2, 64, 4, 4)


def test_nothing_is_learned_and_no_image_is_seen(weights):
    images = blobs(6)
    learner, run = fitted(Timm, images, model=MODEL, weights=weights)
    assert run.images_seen == 0
    assert (learner.kind, UntrainedTimm.kind) == ("pretrained", "control")
    other, run = fitted(UntrainedTimm, images, model=MODEL, image_size=32)
    assert run.images_seen == 6
    assert parameter_count(learner) == parameter_count(other) > 100_000


# -- planning ---------------------------------------------------------------------------------------------------------


def untrained(model):
    with seeded(0, "build"):
        return make(UntrainedTimm, {"model": model, "image_size": 64}, (3, 64, 64))


def test_every_block_of_an_untrained_model_takes_part():
    x = torch.rand(1, 3, 64, 64, requires_grad=True)
    center = untrained("resnet18").encode(x)["layer1"][0, :, 8, 8].abs().sum()
    # Skipping connections alone see the stem's 11 × 11 pixels.
    reached = torch.autograd.grad(center, x)[0].abs().sum((0, 1)) > 0
    assert reached.sum() > 25**2
    scales = [w for name, w in untrained("convnext_atto").network.named_parameters() if name.endswith("gamma")]
    assert scales
    assert all(torch.equal(scale, torch.ones_like(scale)) for scale in scales)


def planned(parameters, name="timm"):
    return answer(Question(discover(folder=None).methods[name], parameters, {}, (3, 32, 32)))


def test_the_weights_count_by_their_content(weights, tmp_path):
    one = planned({"model": MODEL, "weights": str(weights)})
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights.read_bytes())
    assert (one.problem, one.mistakes) == ("", [])
    assert len(one.identifying["weights"]["file"]) == 64
    assert planned({"model": MODEL, "weights": str(copy)}).identifying == one.identifying
    torch.manual_seed(4)
    save_file(timm.create_model(MODEL).state_dict(), copy)
    assert planned({"model": MODEL, "weights": str(copy)}).identifying != one.identifying


def test_weights_of_another_model_end_the_planning(weights):
    (line,) = planned({"model": "test_vit", "weights": str(weights)}).mistakes
    assert line.startswith("method timm: weights")
    assert "not those of this model" in line


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("restnet18", "timm has no model 'restnet18'; it has resnet18"),
        ("resnet18x", "timm has no model 'resnet18x'; it has resnet18"),
        ("resnet18.nope", "timm has no weights 'nope' of resnet18; it has a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "timm has no model 'hf-hub:timm/resnet18.a1_in1k'; it has resnet18"),
        ("local-dir:/tmp", "timm has no model"),
    ],
)
def test_a_model_that_timm_does_not_have(model, said):
    (line,) = planned({"model": model}, "untrained-timm").mistakes
    assert said in line


def test_without_a_file_the_cache_is_searched_and_named(empty_caches):
    with pytest.raises(ValidationError) as raised:
        Timm(model="resnet18.a1_in1k")
    said = str(raised.value)
    assert str(empty_caches / "hub" / "models--timm--resnet18.a1_in1k") in said
    assert str(empty_caches / "torch" / "hub" / "checkpoints" / "resnet18_a1_0-d63eafa0.pth") in said
    assert "nothing is downloaded; give a file: weights=FILE" in said


@pytest.mark.parametrize("where", ["hub", "torch"])
def test_the_weights_in_the_cache_are_used_and_count_by_content(empty_caches, weights, where, monkeypatch):
    commit = "0" * 40
    model = MODEL if where == "hub" else "resnet18.a1_in1k"
    if where == "hub":
        folder = empty_caches / "hub" / f"models--timm--{MODEL}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(commit)
        file = folder / "snapshots" / commit / "model.safetensors"
    else:
        file = empty_caches / "torch" / "hub" / "checkpoints" / "resnet18_a1_0-d63eafa0.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(weights.read_bytes())
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(empty_caches / "hub"))
    assert Timm(model=model).weights == file
    if where == "hub":
        given = planned({"model": model, "weights": str(weights)})
        assert planned({"model": model}).identifying == given.identifying


def test_a_missing_extra_is_said_before_the_model_is_looked_for(monkeypatch):
    monkeypatch.setattr("reprbench.runner.describe.lacking", lambda extra: f"needs {extra}")
    entry = Entry("timm", "entry point", "reprbench.methods.timm_models:Timm")
    assert answer(Question(entry, {"model": "nope"})).mistakes == ["method timm needs timm"]
