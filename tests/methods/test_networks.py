from __future__ import annotations

import pytest
import torch
from reprbench.methods.networks import (
    Architecture,
    CodeClassifier,
    Decoder,
    Encoder,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reprbench import UserError

SHAPES = [(1, 8, 8), (3, 9, 11), (1, 28, 28), (3, 31, 40), (3, 32, 32), (1, 33, 47), (3, 64, 65), (3, 96, 96)]


@pytest.fixture(scope="module")
def stl10() -> tuple[Encoder, Decoder]:
    architecture = Architecture.of((3, 96, 96))
    return Encoder(architecture), Decoder(architecture)


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def multiply_adds(network: nn.Module, *shape: int) -> int:
    """Return the multiply-adds of the convolutions and linear maps for one input of `shape`."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(torch.zeros(1, *shape))
    return counter.get_total_flops() // 2


def test_the_stl10_networks_cost_what_was_inferred_from_the_paper(stl10):
    encoder, decoder = stl10
    assert round(parameter_count(encoder) / 1e6, 2) == 1.56
    assert round(multiply_adds(encoder, 3, 96, 96) / 1e6) == 156
    assert round(parameter_count(decoder) / 1e6, 2) == 2.53
    assert round(multiply_adds(decoder, 256, 6, 6) / 1e6) == 613


@pytest.mark.parametrize(
    ("number", "shape", "kilo_parameters", "mega_multiply_adds"),
    [
        (0, (3, 96, 96), 3.2, 7.1),
        (1, (64, 48, 48), 58, 40.1),
        (2, (256, 24, 24), 249, 49.6),
        (3, (512, 12, 12), 989, 49.6),
        (4, (1024, 6, 6), 263, 9.4),
    ],
)
def test_each_part_of_the_stl10_encoder_costs_its_share(stl10, number, shape, kilo_parameters, mega_multiply_adds):
    encoder, _ = stl10
    part = [encoder.stem, *encoder.blocks, encoder.last][number]
    assert parameter_count(part) / 1e3 == pytest.approx(kilo_parameters, rel=0.016)
    assert multiply_adds(part, *shape) / 1e6 == pytest.approx(mega_multiply_adds, rel=0.005)


def test_the_stl10_maps_pool_to_the_papers_12032_features(stl10):
    encoder, _ = stl10
    with torch.no_grad():
        maps = encoder.eval()(torch.rand(1, 3, 96, 96))
    assert list(maps) == [f"layer{n}" for n in range(1, 12)]
    assert 4 * sum(feature_map.shape[1] for feature_map in maps.values()) == 12032
    assert maps["layer11"].shape == (1, 256, 6, 6)


def test_the_mnist_encoder_has_the_layers_of_the_design():
    encoder = Encoder(Architecture.of((1, 28, 28)))
    shapes = [tuple(feature_map.shape[1:]) for feature_map in encoder(torch.rand(2, 1, 28, 28)).values()]
    widths = [(32, 28), (32, 28), (32, 14), (64, 14), (64, 14), (64, 7), (128, 7)]
    assert shapes == [*((channels, side, side) for channels, side in widths), (64,)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [1, 5])
def test_any_image_comes_back_in_its_size(shape, width):
    architecture = Architecture.of(shape, width)
    encoder, decoder, classifier = Encoder(architecture), Decoder(architecture), CodeClassifier(architecture)
    x = torch.rand(2, *shape)
    h = encoder.code(x)
    image = decoder(h)
    assert image.shape == x.shape
    assert image.min() >= 0 and image.max() <= 1
    assert classifier(h).shape == (2,)
    torch.testing.assert_close(encoder.code(x), list(encoder(x).values())[-1])
    assert all(feature_map.min() >= 0 for feature_map in encoder(x).values())


def test_the_width_scales_all_layers_and_defaults_to_the_presets():
    assert (Architecture.of((3, 32, 32)).width, Architecture.of((3, 31, 32)).width) == (64, 32)
    narrow, wide = (Encoder(Architecture.of((3, 32, 32), width))(torch.rand(2, 3, 32, 32)) for width in (4, 12))
    assert [3 * feature_map.shape[1] for feature_map in narrow.values()] == [m.shape[1] for m in wide.values()]


def test_small_images_are_refused():
    with pytest.raises(UserError, match="7×9 pixels are too small"):
        Architecture.of((1, 7, 9))


def test_multiply_adds_are_counted_as_by_hand():
    # 8×8 → stem 9·2; 1×1 2·2 and 3×3 at 4×4 … written out for width 2 and one channel.
    stem = 9 * 2 * 64
    first = 2 * 2 * 64 + 9 * 2 * 2 * 16 + 2 * 4 * 16 + 4 * 16
    second = 4 * 4 * 16 + 9 * 4 * 4 * 4 + 4 * 8 * 4 + 8 * 4
    last = 8 * 4 * 4
    assert multiply_adds(Encoder(Architecture.of((1, 8, 8), 2)), 1, 8, 8) == stem + first + second + last


def test_the_first_convolution_halves_images_whose_shorter_side_is_at_least_64():
    assert Architecture.of((3, 64, 96), 2).strided_stem
    assert not Architecture.of((3, 63, 96), 2).strided_stem
