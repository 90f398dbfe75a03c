"""What learners and protocols of others return: features, images and outcomes that would make wrong numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reprbench import Curve, Headline, Images, Learner, Measurement, Outcome, View
from reprbench.api.encoding import encode
from reprbench.errors import Diverged, UserError
from reprbench.features import FeatureCache, extract
from reprbench.outputs import checked_images
from reprbench.probes.decoders import own_layers
from reprbench.probes.mirror_decoder import encoded
from reprbench.protocols.convergence import by_channel
from reprbench.protocols.interpolation import paths
from reprbench.protocols.outcomes import checked_outcome

IMAGES = Images(np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), dtype=np.uint8))
Maps = Callable[[Tensor], dict[str, Tensor]]


class Made(Learner):
    """Encodes as it is told; batches have 4, 4 and 2 images."""

    encode_batch_size = 4

    def fit(self, images: Images, run: Any) -> None: ...

    def encode(self, x: Tensor) -> dict[str, Tensor]:
        return self._maps(x)

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        return self._made(x)

    def decode(self, h: Tensor) -> Tensor:
        return self._made(h)


def learner(maps: Maps, made: Callable[[Tensor], Any] = lambda x: x) -> Made:
    learner = Made()
    learner._maps, learner._made = maps, made
    return learner


def features(maps: Maps, view: View | None = None) -> list[Any]:
    return list(extract(learner(maps), IMAGES, [view or View(layers="all")]))


def flat(x: Tensor) -> Tensor:
    return x.flatten(1)


ODD: dict[str, tuple[Maps, str]] = {
    "width": (
        lambda x: {"a": flat(x), "b": flat(x)[:, : len(x)]},
        r"layer 'b' is float32 \(2,\) for each image for images 8 … 9, but float32 \(4,\) before",
    ),
    "map": (lambda x: {"a": x[:, :, : len(x)]}, r"layer 'a' is float32 \(1, 2, 8\)"),
    "channels": (lambda x: {"a": x.repeat(1, len(x), 1, 1)}, r"layer 'a' is float32 \(2, 8, 8\)"),
    "dimensions": (lambda x: {"a": x if len(x) > 2 else flat(x)}, r"layer 'a' is float32 \(64,\)"),
    "type": (lambda x: {"a": flat(x).to(torch.float32 if len(x) > 2 else torch.float64)}, "layer 'a' is float64"),
    "layers": (
        lambda x: {"a": flat(x), **({"b": flat(x)} if len(x) > 2 else {})},
        "the layers 'a' for images 8 … 9, but 'a', 'b' before",
    ),
    "order": (
        lambda x: dict(sorted({"a": flat(x), "b": flat(x)}.items(), reverse=len(x) == 2)),
        "the layers 'b', 'a' for images 8 … 9, but 'a', 'b' before",
    ),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("way", ["extract", "cache", "encode", "encode in a view", "decoders"])
def test_layers_that_differ_between_batches_are_refused(kind, way, tmp_path):
    maps, message = ODD[kind]
    ways: dict[str, Callable[[], Any]] = {
        "extract": lambda: features(maps),
        "cache": lambda: FeatureCache(tmp_path, "fit").matrices(
            {}, lambda: learner(maps), IMAGES, np.arange(10), [View(layers="all")]
        ),
        "encode": lambda: encode(learner(maps), IMAGES),
        "encode in a view": lambda: encode(learner(maps), IMAGES, View()),
        "decoders": lambda: encoded(learner(maps), IMAGES.batch(slice(None))),
    }
    with pytest.raises(TypeError, match=message):
        ways[way]()
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (
            lambda x: {"a": flat(x).to(torch.complex64)},
            "layer 'a' must be a dense tensor of real numbers, not .*complex64",
        ),
        (lambda x: {"a": flat(x).to_sparse()}, "layer 'a' must be a dense tensor of real numbers, not .*sparse"),
        (lambda x: {"a": torch.quantize_per_tensor(flat(x), 0.1, 0, torch.quint8)}, "layer 'a' must be a dense"),
        (lambda x: {"a": flat(x)[:1]}, r"layer 'a' must be a tensor \(4, C, H, W\) or \(4, D\), not \(1, 64\)"),
        (lambda x: {"a": flat(x).numpy()}, "layer 'a' must be a tensor"),
        (lambda x: {1: flat(x)}, "name its layers by texts, not by int"),
        (lambda x: [flat(x)], "not list"),
    ],
)
def test_what_is_no_layer_of_real_numbers_is_refused(maps, message):
    with pytest.raises(TypeError, match=message):
        features(maps)


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64])
def test_integers_and_truth_values_are_features_too(kind):
    ((first,), *_) = features(lambda x: {"a": (flat(x) * 3).to(kind)})
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, (IMAGES.batch(slice(0, 4)).flatten(1) * 3).to(kind).float())


def large(number: float, kind: torch.dtype, image: int = 5) -> Maps:
    """Return maps in which one image has a large number in the second layer."""
    here = IMAGES.batch(slice(image, image + 1))

    def maps(x: Tensor) -> dict[str, Tensor]:
        chosen = (x == here).flatten(1).all(1)
        return {"a": x, "b": torch.where(chosen[:, None, None, None], number, x.double()).to(kind)}

    return maps


@pytest.mark.parametrize(
    ("maps", "view", "message"),
    [
        (large(1e5, torch.float16), View(), "float16 overflow, it ends at 65504; return bfloat16 or float32$"),
        (large(1e300, torch.float64), View(), "float32, in which they are pooled and kept, ends at 3.4e38$"),
        (large(1e30, torch.float32), View(pooling="l2"), "float32, in which they are pooled and kept, ends at 3.4e38$"),
        (large(3e38, torch.float32), View(pooling="sum", grid=1), "float32, in which .* ends at 3.4e38$"),
        (large(float("inf"), torch.float32), View(layers="all"), "such as those of image 5$"),
        (large(float("nan"), torch.bfloat16), View(layers=("b", "a")), "such as those of image 5$"),
    ],
)
def test_features_that_are_not_finite_name_the_layer_and_the_image(maps, view, message):
    with pytest.raises(Diverged, match=f"^layer 'b': the features of 1 of the images 4 … 7 are not finite.*{message}"):
        features(maps, view)


def test_a_layer_that_no_view_reads_may_have_any_values():
    assert len(features(large(float("nan"), torch.float32), View(layers=("a",)))) == 3


def test_numbers_that_only_float64_holds_are_refused_by_encode():
    with pytest.raises(Diverged, match="the features of layer 'b' are not finite"):
        encode(learner(large(1e300, torch.float64)), IMAGES)


# -- images ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (lambda x: x.numpy(), TypeError, "not ndarray"),
        (lambda x: x[:1], TypeError, r"of shape \(4, 1, 8, 8\), not float32 of shape \(1, 1, 8, 8\)"),
        (lambda x: x.repeat(1, 3, 1, 1), TypeError, r"not float32 of shape \(4, 3, 8, 8\)"),
        (lambda x: x[:, :, :, :1], TypeError, r"not float32 of shape \(4, 1, 8, 1\)"),
        (lambda x: (255 * x).to(torch.uint8), TypeError, "not uint8"),
        (lambda x: x.to(torch.complex64), TypeError, "not complex64"),
        (lambda x: x / 0, Diverged, "are not finite"),
    ],
)
def test_images_that_learners_make_are_checked(made, error, message):
    x = IMAGES.batch(slice(0, 4))
    with pytest.raises(error, match=message):
        checked_images(made(x), x.shape, "reconstruct")
    with pytest.raises(error, match=message):
        own_layers(learner(lambda x: {"a": x}, made), x, ["a"])


def test_decoded_images_of_another_shape_are_refused():
    a, b = IMAGES.batch(slice(0, 2)), IMAGES.batch(slice(2, 4))
    with pytest.raises(TypeError, match="decode must return images as floats of shape"):
        paths(learner(lambda x: {"a": x}, lambda h: h.transpose(2, 3)[:, :, :4]), a, b, 3)


def test_snapshots_of_another_shape_are_not_broadcast():
    with pytest.raises(TypeError, match="reconstruct returned"):
        by_channel(np.zeros((4, 3, 8, 8), np.float32), np.zeros((4, 1, 8, 8), np.float32))


# -- outcomes --------------------------------------------------------------------------------------------------------


def measured(**changes: Any) -> Measurement:
    return Measurement(**{"metric": "accuracy", "value": 1.0, **changes})


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned NoneType; expected an Outcome"),
        ([measured()], "returned list; expected an Outcome"),
        (Outcome(measured()), "measurements is of type Measurement; expected a sequence"),
        (Outcome("accuracy"), "measurements is of type str"),
        (Outcome([{"metric": "accuracy"}]), "measurements has something of type dict; expected Measurement"),
        (Outcome([measured()] * 100_001), "measurements has 100001 parts; expected at most 100000"),
        (Outcome([], warnings="no"), "warnings is of type str"),
        (Outcome([], warnings=[5]), "warnings has something of type int"),
        (Outcome([], warnings=["no"] * 1001), "warnings has 1001 parts"),
        (Outcome([], missing=5), "missing is of type int"),
        (Outcome([], figures=[]), "figures is of type list"),
        (Outcome([], figures={5: None}), "figures has something of type int"),
        (Outcome([], figures={str(n): None for n in range(101)}), "figures has 101 parts; expected at most 100"),
        (Outcome([], headlines=["accuracy"]), "headlines has something of type str"),
        (Outcome([], curves=[Headline("accuracy")]), "curves has something of type Headline"),
        (Outcome([measured(metric=5)]), "the metric of type int; expected a text"),
        (Outcome([measured(metric="x" * 10**6)]), "the metric 'xxx"),
        (Outcome([measured(unit="x" * 201)]), "the unit 'xxx"),
        (Outcome([], curves=[Curve("accuracy", 5)]), "the x of type int"),
        (Outcome([], curves=[Curve("accuracy", "x", title="x" * 201)]), "the title 'xxx"),
        (Outcome([measured(at=["fold"])]), "coordinates of type list"),
        (Outcome([measured(at={5: 1})]), "the name of a coordinate of type int"),
        (Outcome([measured(at={"fold": "x" * 201})]), "the coordinate 'fold': 'xxx"),
        (Outcome([measured(at={"fold": 10**400})]), "the coordinate 'fold' is too large"),
        (Outcome([], headlines=[Headline("accuracy", {"fold": "x" * 201})]), "the coordinate 'fold': 'xxx"),
    ],
)
def test_what_a_protocol_returns_is_bounded(returned, message):
    with pytest.raises(UserError) as caught:
        checked_outcome(returned, "mine")
    text = str(caught.value)
    assert text.startswith("mine returned ")
    assert message in text
    assert len(text) < 300
    assert "\n" not in text


def test_an_ordinary_outcome_is_left_as_it_is():
    outcome = Outcome(
        [measured(at={"fold": 0, "layer": "a", "level": 0.5, "clean": True, "none": None, "n": np.int64(5)})],
        ["a warning"],
        missing="",
        headlines=[Headline("accuracy", {"fold": 0})],
        curves=[Curve("accuracy", "level")],
    )
    assert checked_outcome(outcome, "mine") is outcome
