from __future__ import annotations

import numpy as np
import pytest
import torch
from common import noise
from torch import nn
from torch.nn import functional

from reprbench.errors import Diverged, UserError
from reprbench.features import FeatureCache, View, extract
from reprbench.learner import Learner
from reprbench.outputs import checked


class Net(Learner):
    """Batch normalization and dropout: both show at once whether a network is in evaluation mode."""

    encode_batch_size = 4

    def build(self, shape):
        self.body = nn.Sequential(nn.Conv2d(shape[0], 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5))
        self._heads = [nn.Dropout(0.5)]
        self._calls = 0

    def fit(self, images, run): ...

    def encode(self, x):
        self._calls += 1
        inner = self.body(x)
        return {"inner": inner, "code": self._heads[0](inner.mean((2, 3)))}


def net() -> Net:
    torch.manual_seed(0)
    learner = Net()
    learner.build((1, 8, 8))
    learner.body.train()
    return learner


POOLS = {"max": np.max, "mean": np.mean, "sum": np.sum, "l2": lambda cell, axis: np.sqrt((cell**2).sum(axis))}


def direct_pool(layer: torch.Tensor, pooling: str, grid: int) -> np.ndarray:
    """Pool by loops over cells: NumPy divides a side into parts that differ by at most one, the larger ones first."""
    maps = layer.double().numpy()
    rows, columns = (np.array_split(np.arange(side), min(grid, side)) for side in maps.shape[2:])
    out = np.zeros((*maps.shape[:2], len(rows), len(columns)))
    for i, own_rows in enumerate(rows):
        for j, own_columns in enumerate(columns):
            out[:, :, i, j] = POOLS[pooling](maps[:, :, own_rows][:, :, :, own_columns], axis=(2, 3))
    return out.reshape(len(maps), -1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pooling", list(POOLS))
@pytest.mark.parametrize("grid", [1, 2, 3, 9])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7), (6, 2), (27, 27)])
def test_pooling_equals_its_definition(pooling, grid, size, dtype):
    layer = torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = direct_pool(layer, pooling, grid)
    for maps in (layer, layer.contiguous(memory_format=torch.channels_last)):
        pooled = View(pooling=pooling, grid=grid).matrix({"a": maps})
        assert pooled.dtype == torch.float32
        np.testing.assert_allclose(pooled.numpy(), expected, rtol=1e-5, atol=2e-5)


def test_odd_maps_are_divided_as_by_coates_with_the_larger_half_first():
    ones = {"a": torch.ones(1, 1, 27, 27)}
    assert View(pooling="sum").matrix(ones).tolist() == [[14 * 14, 14 * 13, 13 * 14, 13 * 13]]
    rows = {"a": torch.arange(27.0).reshape(1, 1, 27, 1)}
    assert View(pooling="max").matrix(rows).tolist() == [[13, 26]]
    assert View(pooling="mean").matrix(rows).tolist() == [[6.5, 20]]


@pytest.mark.parametrize("size", [(4, 4), (28, 28), (12, 6)])
def test_where_the_division_has_no_rest_pooling_has_the_bits_of_torch(size):
    layer = torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(1))
    means = functional.adaptive_avg_pool2d(layer, 2)
    area = size[0] * size[1] // 4
    expected = {"max": functional.adaptive_max_pool2d(layer, 2), "mean": means, "sum": means * area}
    for pooling, cells in expected.items():
        assert torch.equal(View(pooling=pooling).matrix({"a": layer}), cells.flatten(1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_over_an_image_have_room_in_half_precision(dtype):
    ones = {"a": torch.ones(1, 1, 300, 300, dtype=dtype)}
    pooled = {pooling: View(pooling=pooling, grid=1).matrix(ones).item() for pooling in POOLS}
    assert pooled == {"max": 1, "mean": 1, "sum": 90_000, "l2": 300}


def test_layers_are_chosen_and_vectors_left_alone():
    maps = {"a": torch.ones(2, 3, 4, 4), "b": torch.zeros(2, 5)}
    assert View(layers="last").matrix(maps).shape == (2, 5)
    assert View(layers="all", grid=2).matrix(maps).shape == (2, 17)
    assert View(layers=("b", "a"), grid=1).matrix(maps).tolist()[0] == [0.0] * 5 + [1.0] * 3
    with pytest.raises(UserError, match=r"no layer 'aa'\. Did you mean 'a'"):
        View(layers=("aa",)).matrix(maps)


def test_extraction_is_in_evaluation_mode_without_gradients_and_leaves_modes_alone():
    learner, data = net(), noise(10)
    found = np.concatenate([batch for (batch,) in extract(learner, data, [View(layers="all")])])
    assert learner.body.training
    assert learner._heads[0].training
    learner.body.eval()
    learner._heads[0].eval()
    with torch.no_grad():
        whole = View(layers="all").matrix(learner.encode(data.batch(slice(0, 10))))
    np.testing.assert_allclose(found, whole.numpy(), rtol=1e-5, atol=1e-6)


def test_what_is_not_finite_is_a_divergence():
    learner = net()
    learner.body[0].weight.data.fill_(float("nan"))
    with pytest.raises(Diverged, match="images 0 … 3 are not finite"):
        next(extract(learner, noise(10), [View()]))


@pytest.mark.parametrize(
    "maps", [None, {}, {"a": 1}, {"a": torch.ones(3, 2)}, {"a": torch.ones(2)}, {"a": torch.ones(2, 0)}]
)
def test_what_is_not_a_feature_map_is_reported(maps):
    with pytest.raises(TypeError, match="must"):
        checked(maps, 2)


def test_the_cache_extracts_once_and_gives_the_same_bits(tmp_path):
    learner, data, rows = net(), noise(10), np.array([7, 1, 1, 3])
    cache = FeatureCache(tmp_path, "fit")
    (first,) = cache.matrices({"fit": "x"}, lambda: learner, data, rows, [View()])
    calls = learner._calls
    (again,) = cache.matrices({"fit": "x"}, lambda: pytest.fail("extracted again"), data, rows, [View()])
    assert learner._calls == calls
    np.testing.assert_array_equal(first, again)
    plain = np.concatenate([batch for (batch,) in extract(learner, data, [View()])])
    np.testing.assert_allclose(first, plain[rows], rtol=1e-6, atol=1e-6)


def test_several_views_come_from_one_encoding_and_only_what_is_missing_is_extracted(tmp_path):
    learner, data, rows = net(), noise(10), np.arange(10)
    cache, views = FeatureCache(tmp_path, "fit"), [View(layers="all"), View(), View(layers="all", grid=1)]
    alone = [cache.matrices({"fit": "alone"}, lambda: learner, data, rows, [view])[0] for view in views]
    learner._calls = 0
    together = cache.matrices({"fit": "x"}, lambda: learner, data, rows, views)
    assert learner._calls == 3, "ten images in batches of four"
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    cache.matrices({"fit": "x"}, lambda: learner, data, rows, [*views, View(pooling="mean", layers="all")])
    assert learner._calls == 6
    assert len(list(tmp_path.rglob("*.npy"))) == 3 + 4


@pytest.mark.parametrize("change", [{"fit": "y"}, {"rows": [1, 2]}, {"view": View(grid=1, layers="all")}])
def test_another_fit_other_rows_or_another_view_is_extracted_anew(tmp_path, change):
    cache, data = FeatureCache(tmp_path, "fit"), noise(10)
    cache.matrices({"fit": "x"}, net, data, np.array([1, 2, 3]), [View()])
    rows = np.array(change.get("rows", [1, 2, 3]))
    cache.matrices({"fit": change.get("fit", "x")}, net, data, rows, [change.get("view", View())])
    assert len(list(tmp_path.rglob("*.npy"))) == 2


def test_no_name_in_the_key_hides_what_is_read(tmp_path):
    cache, data, rows = FeatureCache(tmp_path, "fit"), noise(10), np.array([1, 2, 3])
    for key in ({}, {"rows": "a"}, {"rows": "b"}, {"view": "a"}):
        cache.matrices(key, net, data, rows, [View()])
    assert len(list(tmp_path.rglob("*.npy"))) == 4


def test_a_failure_while_extracting_leaves_no_file(tmp_path):
    def broken():
        learner = net()
        learner.encode = lambda x: {"a": torch.full((len(x), 2), 1.0 if x.shape[0] == 4 else float("nan"))}
        return learner

    with pytest.raises(Diverged):
        FeatureCache(tmp_path, "fit").matrices({}, broken, noise(10), np.arange(10), [View(), View(grid=1)])
    assert list(tmp_path.rglob("*.*")) == []
