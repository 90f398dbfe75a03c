"""The deconvolutional network against its formulas: transposes, costs, gradients, least squares, and its promises."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted
from pydantic import ValidationError
from reprbench.methods import deconvolution
from reprbench.methods.deconvnet import DeconvNet, contrast_normalised
from reprbench.methods.deconvolution import (
    Reconstruction,
    Switches,
    fitted_filters,
    infer,
    length,
    normalised,
    shrunk,
)

from reprbench import Budget, Reconstructs, Resumes, Run, UserError
from reprbench.learner import make
from reprbench.run import seeded
from reprbench.state import learner_state
from reprbench.testing import check_learner

CHEAP = {"maps": (4, 5, 6), "lambdas": (5.0, 5.0, 2.0), "kernel": 3, "pool": 2, "batch_size": 8}
SHAPE = (2, 6, 7)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stack(depth, shape=SHAPE, count=3, maps=(3, 4, 5), kernel=3, pool=2):
    """Return R of layer `depth` in float64, images, and maps for it to be applied to, all random."""
    below, height, width = shape
    filters, switches = [], []
    for layer in range(depth):
        filters.append(normalised(noise(below, maps[layer], kernel, kernel, seed=layer)))
        height, width = height + kernel - 1, width + kernel - 1
        z = noise(count, maps[layer], height, width, seed=10 + layer)
        if layer + 1 < depth:
            switches.append(Switches.of(z, pool))
            below, height, width = switches[-1].places.shape[1:]
    return Reconstruction(filters, switches), noise(count, *shape, seed=20), z


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
        columns.append(
            Reconstruction([*reconstruction.filters[:-1], unit.view(f.shape)], reconstruction.switches).images(z)
        )
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
        return (Reconstruction([*lower, filters], reconstruction.switches).images(z) - y).square().sum()

    errors = [float(error(fitted_filters(reconstruction, z, y, steps))) for steps in range(6)]
    assert errors[0] == float(error(reconstruction.filters[-1]))
    assert all(after < before for before, after in pairwise(errors))


@each_depth
def test_the_first_conjugate_gradient_step_is_steepest_descent_with_exact_line_search(depth):
    reconstruction, y, z = stack(depth)
    f = reconstruction.filters[-1]

    def error(filters):
        return (
            (Reconstruction([*reconstruction.filters[:-1], filters], reconstruction.switches).images(z) - y)
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


# -- the learner ----------------------------------------------------------------------------------------------------


def test_it_keeps_the_promises_of_every_learner():
    assert not [
        finding
        for finding in check_learner(DeconvNet, {**CHEAP, "maps": (3, 4), "lambdas": (5.0, 5.0), "ista_steps": 4})
        if finding.problem
    ]


def test_it_can_reconstruct_and_resume():
    learner = DeconvNet(**CHEAP)
    assert isinstance(learner, Reconstructs) and isinstance(learner, Resumes)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11)])
def test_the_defaults_take_small_images(shape):
    learner = make(DeconvNet, {"ista_steps": 1}, shape)
    _, height, width = shape
    layers = encoded(learner, blobs(2, shape).batch(slice(0, 2)))
    for layer, count in zip(layers.values(), (15, 50, 100, 150), strict=True):
        assert layer.shape == (2, count, height + 6, width + 6)
        height, width = -(-(height + 6) // 3), -(-(width + 6) // 3)
    assert list(layers) == ["layer1", "layer2", "layer3", "layer4"]


def test_every_plane_of_every_filter_has_norm_one_before_and_after_learning():
    images = blobs()
    for learner in (make(DeconvNet, CHEAP, images.shape), fitted(DeconvNet, images, epochs=6, **CHEAP)[0]):
        for filters in learner.filters:
            torch.testing.assert_close(filters.square().sum((2, 3)), torch.ones(filters.shape[:2]))


def test_layers_are_learned_in_turn_and_those_below_stay():
    images = blobs(24)
    learner, run = fitted(DeconvNet, images, epochs=6, **CHEAP)
    assert [row["layer"] for row in run.history] == [1, 1, 2, 2, 3, 3]
    with seeded(0, "weights"):
        start = make(DeconvNet, CHEAP, images.shape)
    part = make(DeconvNet, CHEAP, images.shape)
    part.filters.load_state_dict(start.filters.state_dict())
    run = Run(0, Budget(epochs=6))
    part.prepare(run)
    part._done, part._total = 17, 18
    part.step(images.batch(slice(0, 8)), run)
    moved = [not torch.equal(one, other) for one, other in zip(part.filters, start.filters, strict=True)]
    assert moved == [False, False, True]
    assert all(not torch.equal(one, other) for one, other in zip(learner.filters, start.filters, strict=True))


def test_the_history_tells_the_cost_of_the_layer():
    images = blobs()
    learner, run = fitted(DeconvNet, images, **CHEAP)
    x = images.batch(slice(0, 8))
    learner._done, learner._total = 0, 9
    y, _, _ = contrast_normalised(x)
    z, reconstruction = next(learner._inferred(y, 1))
    # The step changes the filters that `reconstruction` holds.
    objective, errors = cost(reconstruction, z, y, 5.0).mean(), (reconstruction.images(z) - y).square().mean()
    values = learner.step(x, run)
    torch.testing.assert_close(values["objective"], objective)
    torch.testing.assert_close(values["sparsity"], z.abs().sum((1, 2, 3)).mean())
    torch.testing.assert_close(values["reconstruction"], errors)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11)])
def test_every_layer_reconstructs_better_after_learning(shape):
    images = blobs(32, shape)
    x = images.batch(slice(0, 32))
    fresh, (learner, _) = make(DeconvNet, CHEAP, shape), fitted(DeconvNet, images, epochs=12, **CHEAP)
    constant = (x - x.mean((1, 2, 3), keepdim=True)).square().mean()
    for layer in ("layer1", "layer2", "layer3"):
        with torch.inference_mode():
            before, after = fresh.reconstruct(x, layer), learner.reconstruct(x, layer)
        assert after.shape == x.shape
        assert after.min() >= 0 and after.max() <= 1
        assert (after - x).square().mean() < min((before - x).square().mean(), 0.5 * constant)
    assert torch.equal(after, learner.reconstruct(x))


def test_an_image_of_one_color_is_reconstructed_from_its_mean():
    learner = make(DeconvNet, CHEAP, (3, 8, 8))
    x = torch.full((2, 3, 8, 8), 0.25)
    assert all(not layer.any() for layer in encoded(learner, x).values())
    torch.testing.assert_close(learner.reconstruct(x), x)


def test_normalising_takes_mean_and_contrast_away_and_they_give_the_image_back():
    x = torch.rand(4, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    y, mean, contrast = contrast_normalised(x)
    torch.testing.assert_close(y.mean((1, 2, 3)), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(length(y).square().flatten() / y[0].numel(), torch.ones(4), atol=2e-3, rtol=0)
    torch.testing.assert_close(y * contrast + mean, x)


def test_brightness_and_contrast_hardly_change_the_maps():
    images = blobs()
    learner, _ = fitted(DeconvNet, images, **CHEAP)
    x = images.batch(slice(0, 4))
    one, other = encoded(learner, x), encoded(learner, 0.2 + 0.7 * x)
    torch.testing.assert_close(other["layer1"], one["layer1"], atol=0.01, rtol=0.01)


def test_an_interrupted_fit_goes_on_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    images = blobs(24)
    undisturbed, _ = fitted(DeconvNet, images, epochs=6, **CHEAP)
    interrupted = make(DeconvNet, CHEAP, images.shape)
    with seeded(0, "weights"):
        interrupted.build(images.shape)
    step, steps = interrupted.step, iter(range(99))

    def stop_at_eleven(x, run):
        if next(steps) == 11:
            raise KeyboardInterrupt
        return step(x, run)

    interrupted.step = stop_at_eleven
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(images, Run(0, Budget(epochs=6), folder=tmp_path))
    resumed, _ = fitted(DeconvNet, images, epochs=6, folder=tmp_path, **CHEAP)
    one, other = learner_state(undisturbed), learner_state(resumed)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_layer_without_active_entries_is_told():
    learner, run = fitted(DeconvNet, blobs(), epochs=4, **{**CHEAP, "lambdas": (5.0, 1e-6, 1e-6)})
    warnings = learner.warnings(run.history)
    assert [warning.split("'")[0] for warning in warnings] == ["no entry of layer 2", "no entry of layer 3"]
    learner, run = fitted(DeconvNet, blobs(), epochs=4, **CHEAP)
    assert learner.warnings(run.history) == []


def test_an_unknown_layer_is_refused():
    learner = make(DeconvNet, CHEAP, (1, 8, 8))
    with pytest.raises(UserError, match="layer1, layer2, layer3, and not from 'layer4'"):
        learner.reconstruct(torch.rand(1, 1, 8, 8), "layer4")


@pytest.mark.parametrize("wrong", [{"maps": (4, 5)}, {"maps": (), "lambdas": ()}])
def test_layers_without_their_lambda_are_refused(wrong):
    with pytest.raises(UserError, match="make them equally long"):
        make(DeconvNet, {**CHEAP, **wrong}, (1, 8, 8))


@pytest.mark.parametrize("wrong", [{"maps": (0,)}, {"lambdas": (-1.0,)}, {"kernel": 0}, {"pool": 0}, {"ista_steps": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        DeconvNet(**wrong)
