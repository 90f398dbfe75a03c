"""The operators of deconvolutional networks against their formulas: transposes, costs, gradients, least squares."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from reprbench.methods import deconvolution
from reprbench.methods.deconvolution import (
    ReconstructionOperator,
    Switches,
    fitted_filters,
    infer,
    normalized,
    shrunk,
)

CHEAP = {"maps": (4, 5, 6), "lambdas": (5.0, 5.0, 2.0), "kernel": 3, "pool": 2, "batch_size": 8}
SHAPE = (2, 6, 7)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stack(depth, shape=SHAPE, count=3, maps=(3, 4, 5), kernel=3, pool=2):
    """Return R of layer `depth` in float64, images, and maps for it to be applied to, all random."""
    below, height, width = shape
    filters, switches = [], []
    for layer in range(depth):
        filters.append(normalized(noise(below, maps[layer], kernel, kernel, seed=layer)))
        height, width = height + kernel - 1, width + kernel - 1
        z = noise(count, maps[layer], height, width, seed=10 + layer)
        if layer + 1 < depth:
            switches.append(Switches.of(z, pool))
            below, height, width = switches[-1].places.shape[1:]
    return ReconstructionOperator(filters, switches), noise(count, *shape, seed=20), z


def plain_windows(shape, size):
    depth, height, width = shape
    for k, i, j in product(range(0, depth, 2), range(0, height, size), range(0, width, size)):
        yield list(
            product(range(k, min(k + 2, depth)), range(i, min(i + size, height)), range(j, min(j + size, width)))
        )


def plain_images(filters, lower_maps, z, size):
    """R z of one image by loops; `lower_maps` are those of the layers below, which set the switches."""
    for layer in reversed(range(len(filters))):
        f = filters[layer]
        down, up, kernel, _ = f.shape
        image = np.zeros((down, z.shape[1] - kernel + 1, z.shape[2] - kernel + 1))
        for c, k, i, j in product(range(down), range(up), range(image.shape[1]), range(image.shape[2])):
            image[c, i, j] += (f[c, k] * z[k, i : i + kernel, j : j + kernel]).sum()
        if layer == 0:
            return image
        z = np.zeros(lower_maps[layer - 1].shape)
        for value, window in zip(image.flatten(), plain_windows(z.shape, size), strict=True):
            z[max(window, key=lambda place: abs(lower_maps[layer - 1][place]))] = value
    raise AssertionError


def cost(reconstruction, z, y, fidelity):
    """Return each image's C_l."""
    errors = reconstruction.images(z) - y
    return fidelity / 2 * errors.square().sum((1, 2, 3)) + z.abs().sum((1, 2, 3))


each_depth = pytest.mark.parametrize("depth", [1, 2, 3])


# -- pooling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 6, 6), (5, 7, 8), (1, 2, 1), (3, 3, 10)])
@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pooling_keeps_the_largest_magnitude_of_every_window_with_its_sign(shape, size, layout):
    z = noise(2, *shape).contiguous(memory_format=layout)
    pooled = Switches.of(z, size).pool(z)
    for image, small in zip(z, pooled, strict=True):
        largest = [
            max((float(image[place]) for place in window), key=abs) for window in plain_windows(image.shape, size)
        ]
        assert small.flatten().tolist() == largest


def test_unpooling_is_the_transpose_of_pooling():
    z, other = noise(3, 5, 7, 8), noise(3, 5, 7, 8, seed=1)
    switches = Switches.of(z, 3)
    pooled = noise(3, *switches.places.shape[1:], seed=2)
    torch.testing.assert_close((switches.unpool(pooled) * other).sum(), (pooled * switches.pool(other)).sum())
    assert torch.equal(switches.pool(switches.unpool(pooled)), pooled)
    assert (switches.unpool(pooled) != 0).sum() == pooled.numel()


def test_rounding_moves_no_switch_where_entries_are_equal():
    z = torch.ones(1, 4, 6, 6)
    z[:, :, 3:] = 0
    one, other = (Switches.of(z + 1e-7 * noise(1, 4, 6, 6, seed=seed).float(), 3).places for seed in (1, 2))
    assert torch.equal(one, other)
    assert one.flatten().tolist() == [36 * k + 6 * i + j for k, i, j in product((0, 2), (0, 3), (0, 3))]


# -- the operators --------------------------------------------------------------------------------------------------


@each_depth
def test_a_reconstruction_and_its_cost_are_those_of_plain_loops(depth):
    reconstruction, y, z = stack(depth)
    below = [noise(3, 3, 8, 9, seed=10), noise(3, 4, 6, 7, seed=11)][: depth - 1]
    filters = [f.numpy() for f in reconstruction.filters]
    images, costs = reconstruction.images(z).numpy(), cost(reconstruction, z, y, 0.3).numpy()
    for n in range(3):
        plain = plain_images(filters, [maps[n].numpy() for maps in below], z[n].numpy(), 2)
        np.testing.assert_allclose(images[n], plain, atol=1e-12)
        np.testing.assert_allclose(costs[n], 0.15 * ((plain - y[n].numpy()) ** 2).sum() + np.abs(z[n].numpy()).sum())


@each_depth
def test_the_way_up_is_the_transpose_of_the_way_down(depth):
    reconstruction, y, z = stack(depth)
    torch.testing.assert_close((reconstruction.images(z) * y).sum(), (z * reconstruction.maps(y)).sum())
    lower = noise(*reconstruction.lower(y).shape, seed=3)
    one = (reconstruction.images_of_lower(lower) * y).sum()
    torch.testing.assert_close(one, (lower * reconstruction.lower(y)).sum())


@each_depth
def test_power_iteration_finds_the_largest_eigenvalue_of_each_image(depth, monkeypatch):
    reconstruction, _, z = stack(depth)
    estimate = reconstruction.largest_eigenvalue(noise(1, *SHAPE, seed=4)).flatten()
    size = z[0].numel()
    columns = []
    for entry in range(size):
        unit = torch.zeros(3, size, dtype=torch.float64)
        unit[:, entry] = 1
        columns.append(reconstruction.images(unit.view(z.shape)).flatten(1))
    exact = torch.linalg.matrix_norm(torch.stack(columns, 2), ord=2).square()
    assert len(estimate) == (1 if depth == 1 else 3)
    assert (estimate <= exact * (1 + 1e-9)).all()
    # ISTA descends with a step up to twice the exact one.
    assert (estimate > 0.5 * exact).all()
    monkeypatch.setattr(deconvolution, "POWER_ITERATIONS", 300)
    torch.testing.assert_close(
        reconstruction.largest_eigenvalue(noise(1, *SHAPE, seed=4)).flatten(), exact[: len(estimate)]
    )


# -- inference ------------------------------------------------------------------------------------------------------


@each_depth
def test_the_first_step_follows_the_gradient_in_the_maps(depth):
    reconstruction, y, z = stack(depth)
    fidelity, probe = 0.7, noise(1, *SHAPE, seed=4)
    direction = noise(*z.shape, seed=5)

    def smooth(maps):
        return fidelity / 2 * (reconstruction.images(maps) - y).square().sum()

    finite = (smooth(z + 1e-5 * direction) - smooth(z - 1e-5 * direction)) / 2e-5
    gradient = fidelity * reconstruction.maps(reconstruction.images(z) - y)
    torch.testing.assert_close(finite, (gradient * direction).sum(), rtol=1e-7, atol=0)
    step = 1 / (fidelity * reconstruction.largest_eigenvalue(probe))
    expected = shrunk(step * fidelity * reconstruction.maps(y), step)
    torch.testing.assert_close(infer(reconstruction, y, fidelity, probe, 1), expected)


def test_shrinking_is_the_proximal_map_of_the_norm():
    v, threshold = noise(2, 3, 4, 4), torch.tensor([0.3, 0.8], dtype=torch.float64).view(2, 1, 1, 1)
    expected = v.sign() * (v.abs() - threshold).clamp(min=0)
    torch.testing.assert_close(shrunk(v, threshold), expected)
    assert ((shrunk(v, threshold) == 0) == (v.abs() <= threshold)).all()


@each_depth
@pytest.mark.parametrize("fidelity", [0.5, 5.0])
def test_inference_never_raises_the_cost_of_any_image(depth, fidelity):
    reconstruction, y, z = stack(depth)
    probe = noise(1, *SHAPE, seed=4)
    costs = [cost(reconstruction, torch.zeros_like(z), y, fidelity)]
    costs += [
        cost(reconstruction, infer(reconstruction, y, fidelity, probe, steps), y, fidelity) for steps in range(1, 30)
    ]
    falls = torch.stack(costs).diff(dim=0)
    assert (falls <= 1e-12).all()
    assert (falls[0] < 0).all()


@each_depth
def test_inference_ends_where_the_cost_is_least(depth):
    reconstruction, y, _ = stack(depth, shape=(1, 4, 4))
    z = infer(reconstruction, y, 3.0, noise(1, 1, 4, 4, seed=4), 6000)
    # The subgradient of a convex cost contains 0: λRᵀ(y − Rz) is sign(z) where z is not 0, and within ±1 elsewhere.
    correlation = 3.0 * reconstruction.maps(y - reconstruction.images(z))
    active = z != 0
    assert active.any() and not active.all()
    torch.testing.assert_close(correlation[active], z[active].sign(), atol=1e-3, rtol=0)
    assert (correlation[~active].abs() <= 1 + 1e-3).all()


# -- filters --------------------------------------------------------------------------------------------------------


def least_squares(reconstruction, z, y):
    """The exact solution (of least change) by a dense matrix."""
    f = reconstruction.filters[-1]
    columns = []
    for entry in range(f.numel()):
        unit = torch.zeros(f.numel(), dtype=f.dtype)
        unit[entry] = 1
        changed = ReconstructionOperator([*reconstruction.filters[:-1], unit.view(f.shape)], reconstruction.switches)
        columns.append(changed.images(z))
    matrix = torch.stack([column.flatten() for column in columns], 1)
    missing = y.flatten() - matrix @ f.flatten()
    return f + (torch.linalg.pinv(matrix) @ missing).view(f.shape)


@each_depth
def test_conjugate_gradients_run_to_the_end_solve_the_least_squares(depth):
    reconstruction, y, z = stack(depth, count=6)
    exact = least_squares(reconstruction, z, y)
    torch.testing.assert_close(fitted_filters(reconstruction, z, y, 400), exact, atol=1e-5, rtol=1e-5)


@each_depth
def test_each_conjugate_gradient_step_lowers_the_error(depth):
    reconstruction, y, z = stack(depth)

    def error(filters):
        lower = reconstruction.filters[:-1]
        return (ReconstructionOperator([*lower, filters], reconstruction.switches).images(z) - y).square().sum()

    errors = [float(error(fitted_filters(reconstruction, z, y, steps))) for steps in range(6)]
    assert errors[0] == float(error(reconstruction.filters[-1]))
    assert all(after < before for before, after in pairwise(errors))


@each_depth
def test_the_first_conjugate_gradient_step_is_steepest_descent_with_exact_line_search(depth):
    reconstruction, y, z = stack(depth)
    f = reconstruction.filters[-1]

    def error(filters):
        return (
            (ReconstructionOperator([*reconstruction.filters[:-1], filters], reconstruction.switches).images(z) - y)
            .square()
            .sum()
        )

    slopes = torch.zeros_like(f)
    for place in product(*map(range, f.shape)):
        unit = torch.zeros_like(f)
        unit[place] = 1e-3
        # Central differences are exact for a quadratic.
        slopes[place] = (error(f + unit) - error(f - unit)) / 2e-3
    change = fitted_filters(reconstruction, z, y, 1) - f
    cosine = -(change * slopes).sum() / (change.norm() * slopes.norm())
    assert float(cosine) == pytest.approx(1, abs=1e-9)
    assert float(error(f + change)) <= min(float(error(f + scale * change)) for scale in (0.99, 1.01))


def test_maps_of_zeros_leave_the_filters_alone():
    reconstruction, y, z = stack(2)
    assert torch.equal(fitted_filters(reconstruction, torch.zeros_like(z), y, 3), reconstruction.filters[-1])
