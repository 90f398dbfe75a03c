"""Mirror decoders: every shape of features, one budget, the same bits, and nothing of the learner changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reprbench.errors import Diverged
from reprbench.images import Images
from reprbench.learner import Learner
from reprbench.probes import mirror_decoder
from reprbench.probes.mirror_decoder import DecoderBudget, MirrorDecoder, encoded, train_decoders

pytestmark = pytest.mark.usefixtures("one_thread")

SIDE = 8
BUDGET = DecoderBudget(steps=40, batch_size=16, width=8, lr=1e-2)


def squares(count: int = 64, seed: int = 0) -> Images:
    """Bright rectangles anywhere on black."""
    generator = np.random.default_rng(seed)
    pixels = np.zeros((count, 1, SIDE, SIDE), np.uint8)
    for image, (row, column) in zip(pixels, generator.integers(0, SIDE - 3, (count, 2)), strict=True):
        image[0, row : row + 4, column : column + 4] = 255
    return Images(pixels)


class Layers(Learner):
    """An invertible layer, one that knows nothing, and a network in training mode that is not to be touched."""

    def build(self, shape):
        self.norm = torch.nn.BatchNorm2d(1)
        self._seen: list[int] = []

    def fit(self, images, run):
        """Learn nothing."""

    def encode(self, x):
        self._seen.append(len(x))
        return {"half": self.norm(x) * 1000 - 5, "constant": torch.full((len(x), 3, 2, 2), 7.0)}


class Wants(Layers):
    """Takes few images at once."""

    @property
    def encode_batch_size(self) -> int:
        return 5


def learner(cls=Layers) -> Layers:
    made = cls()
    made.build((1, SIDE, SIDE))
    return made


def trained(images: Images | None = None, layers=("half", "constant"), seed: int = 0, budget: DecoderBudget = BUDGET):
    return train_decoders(learner(), squares() if images is None else images, layers, budget, seed, "cpu")


def same(one: MirrorDecoder, other: MirrorDecoder) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("features", [(5,), (1, 1, 1), (4, 3, 2), (4, 13, 11), (2, 20, 9), (2, 30, 30), (2, 5, 40)])
@pytest.mark.parametrize("image", [(1, 13, 11), (3, 8, 17)])
def test_features_of_every_shape_become_images(features, image):
    decoder = MirrorDecoder(features, image, 4)
    images = decoder(torch.rand(2, *features)).detach()
    assert images.shape == (2, *image)
    assert bool(((images >= 0) & (images <= 1)).all())


def test_a_wide_vector_starts_from_a_smaller_map(monkeypatch):
    monkeypatch.setattr(mirror_decoder, "LARGEST_LINEAR", 500)
    decoder = MirrorDecoder((100,), (1, 32, 32), 4)
    assert decoder.first.weight.numel() <= 500
    assert decoder(torch.rand(2, 100)).shape == (2, 1, 32, 32)


def test_an_invertible_layer_is_decoded_better_than_a_constant_one():
    images = squares(32, seed=1).batch(slice(None))
    decoders, subject = trained(), learner()
    errors = {n: float((decoders[n](h) - images).square().mean().detach()) for n, h in encoded(subject, images).items()}
    # Nothing is better than the mean image where nothing is known; its error is about the variance.
    assert errors["constant"] > 0.8 * float(images.var(0).mean())
    assert errors["half"] < errors["constant"] / 4


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    one, other = trained(), trained()
    assert all(same(one[name], other[name]) for name in one)
    assert not same(trained(seed=1)["half"], one["half"])


def test_its_averages_are_those_of_its_final_weights():
    decoder, subject, images = trained(budget=DecoderBudget(3, 16, 4, 1e-2))["constant"], learner(), squares()
    convolution, unit = decoder.blocks[1], decoder.blocks[2]
    inputs = []
    convolution.register_forward_hook(lambda module, given, output: inputs.append(output.double()))
    with torch.no_grad():
        for rows in mirror_decoder._batches(len(images), DecoderBudget(3, 16, 4, 1e-2), 0):
            decoder(mirror_decoder.encoded(subject, images.batch(rows))["constant"])
    mean = torch.stack([y.mean((0, 2, 3)) for y in inputs]).mean(0)
    variance = torch.stack([y.transpose(0, 1).flatten(1).var(1) for y in inputs]).mean(0)
    torch.testing.assert_close(unit.running_mean.double(), mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(unit.running_var.double(), variance, rtol=1e-4, atol=1e-6)


def test_a_decoder_does_not_depend_on_other_layers():
    assert same(trained(layers=["half"])["half"], trained()["half"])


def test_the_budget_is_as_many_batches_each_encoded_once_after_calibration(monkeypatch):
    subject = learner()
    train_decoders(subject, squares(), ["half", "constant"], DecoderBudget(5, 16, 4, 1e-3), 0, "cpu")
    shape, calibration, steps = [1], [16] * 5, [16] * 5
    assert subject._seen == shape + calibration + steps + calibration
    assert not same(
        trained(budget=DecoderBudget(2, 16, 4, 1e-3))["half"],
        trained(budget=DecoderBudget(3, 16, 4, 1e-3))["half"],
    )


def test_more_images_to_a_batch_than_there_are_make_a_batch_of_all():
    subject = learner()
    train_decoders(subject, squares(6), ["half"], DecoderBudget(2, 16, 4, 1e-3), 0, "cpu")
    assert set(subject._seen[1:]) == {6}


def test_a_round_of_batches_has_every_image_once():
    rows = list(mirror_decoder._batches(12, DecoderBudget(9, 4, 4, 1e-3), 0))
    rounds = [np.concatenate(rows[start : start + 3]) for start in (0, 3, 6)]
    assert all(sorted(some) == list(range(12)) for some in rounds)
    assert not np.array_equal(rounds[0], rounds[1])


def test_the_learner_is_frozen():
    subject = learner()
    before = {name: tensor.clone() for name, tensor in subject.norm.state_dict().items()}
    train_decoders(subject, squares(), ["half"], BUDGET, 0, "cpu")
    assert all(torch.equal(tensor, before[name]) for name, tensor in subject.norm.state_dict().items())
    assert subject.norm.training
    assert all(parameter.grad is None for parameter in subject.norm.parameters())


def test_features_are_standardized_by_channel():
    images = squares()
    decoder = train_decoders(learner(), images, ["half"], DecoderBudget(4, 16, 4, 1e-3), 0, "cpu")["half"]
    features = encoded(learner(), images.batch(slice(None)))["half"]
    # Four batches of 16 are all 64 images.
    assert float(decoder.mean) == pytest.approx(float(features.mean()), rel=1e-5)
    assert float(decoder.scale) == pytest.approx(float(features.std(correction=0)), rel=1e-5)


def test_nearly_constant_channels_are_not_scaled_up_and_constant_layers_are_left():
    decoder = MirrorDecoder((4, 2, 2), (1, 8, 8), 4)
    decoder.standardize_by(torch.zeros(4), torch.tensor([4.0, 0.0, 0.0, 0.0]))
    assert decoder.scale.tolist() == pytest.approx([2, 0.01, 0.01, 0.01])
    decoder.standardize_by(torch.zeros(4), torch.zeros(4))
    assert decoder.scale.tolist() == [1, 1, 1, 1]


def test_a_learner_is_given_no_more_images_at_once_than_it_wants():
    subject, x = learner(Wants), squares(12).batch(slice(None))
    maps = encoded(subject, x)
    assert subject._seen == [5, 5, 2]
    assert torch.equal(maps["half"], encoded(learner(), x)["half"])


def test_a_decoder_that_diverges_is_reported():
    with pytest.raises(Diverged, match="the mirror decoder of layer 'half'"):
        trained(layers=["half"], budget=DecoderBudget(3, 16, 4, float("inf")))
