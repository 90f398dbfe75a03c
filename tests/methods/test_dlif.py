from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from fits import blobs, encoded, interrupting
from pydantic import ValidationError
from reprbench.methods.dlif import DLIF, pooled, principal_components, slow_reconstruction
from reprbench.methods.iterations import minimize
from reprbench.methods.patches import second_moments
from reprbench.methods.tracks import draw_tracks
from sklearn.decomposition import PCA

from reprbench import Budget, Images, Run, UserError
from reprbench.learner import make
from reprbench.run_context import seeded
from reprbench.state import learner_state
from reprbench.testing import check_learner

SMALL = {"receptive_field": 4, "n_features": (6, 5), "n_components": 7, "n_tracks": 30, "frames": 4, "iterations": 25}
CPU = torch.device("cpu")


def textures(count: int = 30, shape: tuple[int, int, int] = (1, 12, 12), seed: int = 0) -> Images:
    """Blobs with noise, so that whitening has something to do."""
    noise = np.random.default_rng(seed).integers(0, 40, (count, *shape))
    return Images((blobs(count, shape, seed).pixels(slice(None)) * 0.8 + noise).astype(np.uint8))


def fit(images: Images, folder=None, progress=None, budget: Budget | None = None, seed=0, **parameters):
    with seeded(seed, "weights"):
        learner = make(DLIF, {**SMALL, **parameters}, images.shape)
    run = Run(seed, budget or Budget(epochs=1), folder=folder, progress=progress)
    learner.fit(images, run)
    return learner, run


# -- the objective ------------------------------------------------------------------------------------------------


def problem(filters: int = 6, size: int = 5, tracks: int = 7, frames: int = 4):
    generator = np.random.default_rng(0)
    return generator.normal(size=(filters, size)), generator.normal(size=(tracks, frames, size))


def by_formula(w, tracks, slowness):
    """λ Σ ‖z_t − z_{t+1}‖₁ + Σ ‖x − WᵀWx‖², over the number of frames, one track and one frame after another."""

    def energies(x):
        return np.array([np.sqrt((w[k] @ x) ** 2 + (w[k + 1] @ x) ** 2 + 1e-6) for k in range(0, len(w), 2)])

    total = 0.0
    for track in tracks:
        total += slowness * sum(np.abs(energies(x) - energies(after)).sum() for x, after in pairwise(track))
        total += sum(((x - w.T @ (w @ x)) ** 2).sum() for x in track)
    return total / (len(tracks) * len(tracks[0]))


def computed(w, tracks, slowness, dtype=torch.float64):
    weights = torch.tensor(w, dtype=dtype, requires_grad=True)
    data = torch.from_numpy(tracks).to(dtype)
    value = slow_reconstruction(weights, data, second_moments(data.flatten(0, 1)), slowness)
    return float(value), weights.grad.numpy()


@pytest.mark.parametrize(("filters", "size"), [(6, 5), (4, 7), (2, 1)])
@pytest.mark.parametrize("slowness", [0.0, 0.7, 20.0])
def test_the_objective_is_the_formula_and_its_gradient_has_the_finite_differences(filters, size, slowness):
    w, tracks = problem(filters, size)
    value, gradient = computed(w, tracks, slowness)
    assert value == pytest.approx(by_formula(w, tracks, slowness), rel=1e-12)
    for index in np.ndindex(*w.shape):
        step = np.zeros_like(w)
        step[index] = 1e-6
        slope = (by_formula(w + step, tracks, slowness) - by_formula(w - step, tracks, slowness)) / 2e-6
        assert gradient[index] == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_chunks_of_any_size_change_nothing(monkeypatch):
    w, tracks = problem()
    value, gradient = computed(w, tracks, 0.7)
    # Two tracks, less than one frame, and exactly all.
    for rows in (8, 1, 28):
        monkeypatch.setattr("reprbench.methods.dlif.BLOCK", rows)
        again, its = computed(w, tracks, 0.7)
        assert again == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(its, gradient, rtol=1e-12)


def test_in_float32_it_is_nearly_the_same():
    w, tracks = problem()
    value, gradient = computed(w, tracks, 0.7)
    rough, its = computed(w, tracks, 0.7, torch.float32)
    assert rough == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(its, gradient, rtol=1e-3, atol=1e-4)


def test_without_slowness_only_the_reconstruction_is_left():
    w, tracks = problem()
    x = torch.from_numpy(tracks).flatten(0, 1)
    weights = torch.tensor(w, requires_grad=True)
    reconstruction = (x - x @ weights.T @ weights).square().sum(1).mean()
    reconstruction.backward()
    value, gradient = computed(w, tracks, 0.0)
    assert value == pytest.approx(reconstruction.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, weights.grad, rtol=1e-10)


def test_tracks_that_stand_still_cost_nothing_more():
    w, tracks = problem()
    still = np.repeat(tracks[:, :1], 4, axis=1)
    one, other = computed(w, still, 0.0), computed(w, still, 100.0)
    assert one[0] == pytest.approx(other[0], rel=1e-12)
    np.testing.assert_allclose(one[1], other[1], atol=1e-12)


def test_a_unit_is_the_length_of_the_responses_of_its_pair():
    responses = torch.tensor([[3.0, 4.0, 0.0, 0.0], [-5.0, 12.0, 1.0, 0.0]])
    torch.testing.assert_close(pooled(responses), torch.tensor([[5.0, 1e-3], [13.0, 1.0]]))


def test_components_are_those_of_scikit_learn_but_for_their_signs():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, 4)) @ generator.normal(size=(4, 6)) + 5
    blocks = torch.from_numpy(rows).float().split(70)
    mean, components = principal_components(blocks, 3)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-5)
    ours = ((torch.from_numpy(rows).float() - mean) @ components.T).numpy()
    theirs = PCA(3, whiten=True).fit_transform(rows)
    # Their variance is unbiased.
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs) * np.sqrt(200 / 199), atol=1e-3)
    # There are no more dimensions than four.
    assert principal_components(blocks, 6)[1].shape == (4, 6)


# -- what is learned ----------------------------------------------------------------------------------------------


def rotating(count: int, seed: int, planes: int = 4, frames: int = 8):
    """Points that rotate unevenly in each of some planes, which lie anywhere: only the radii in these are slow."""
    generator = np.random.default_rng(seed)
    radii = np.linalg.norm(generator.normal(size=(count, 1, planes, 2)), axis=3)
    turns = np.cumsum(generator.uniform(0.3, 1, (count, frames, planes)), axis=1)
    angles = generator.uniform(0, 2 * np.pi, (count, 1, planes)) + turns
    points = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=3).reshape(count, frames, -1)
    basis, _ = np.linalg.qr(np.random.default_rng(9).normal(size=(2 * planes, 2 * planes)))
    return torch.from_numpy(points @ basis.T).float()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_units_find_the_planes_that_a_track_stays_in(seed):
    tracks, held_out = rotating(300, 0), rotating(100, 1)
    start = torch.randn(8, 8, generator=torch.Generator().manual_seed(seed)) / 8**0.5
    speeds = []
    for slowness in (0.0, 1.0):
        objective = partial(
            slow_reconstruction, tracks=tracks, moments=second_moments(tracks.flatten(0, 1)), slowness=slowness
        )
        filters = minimize(objective, start, 200, Run(0, Budget(epochs=1)))
        z = pooled(held_out @ filters.T)
        speeds.append(float(z.diff(dim=1).abs().mean() / z.mean()))
        torch.testing.assert_close(filters.T @ filters, torch.eye(8), atol=0.02, rtol=0)
    assert speeds[0] > 0.2 and speeds[1] < 1e-3


def test_slowness_makes_features_slower_on_tracks_that_were_not_seen():
    images = textures(40)
    held_out = draw_tracks(textures(20, seed=1), 60, 8, 8, 1, Run(5, Budget(epochs=1))).frames(CPU)
    frames = held_out.unflatten(2, (8, 8, 1)).flatten(0, 1).permute(0, 3, 1, 2) / 255
    speeds = {}
    for slowness in (0.0, 3.0):
        size = {"n_features": (12, 12), "n_components": 16, "n_tracks": 100, "frames": 8, "iterations": 60}
        learner, _ = fit(images, slowness=slowness, **size)
        for name, layer in encoded(learner, frames).items():
            z = layer.flatten(1).unflatten(0, (60, 8))
            speeds[name, slowness] = z.diff(dim=1).abs().mean()
    for name in ("layer1", "layer2"):
        assert speeds[name, 3.0] < 0.97 * speeds[name, 0.0]


def test_what_it_minimizes_falls_in_both_layers():
    _, run = fit(textures(), iterations=40)
    for stage in (1, 2):
        values = [row["objective"] for row in run.history if row["stage"] == stage]
        assert len(values) == 4 and values == sorted(values, reverse=True) and values[-1] < 0.7 * values[0]
    assert [row["step"] for row in run.history] == list(range(1, 9))


def test_it_says_that_its_tracks_are_simulated():
    assert DLIF().warnings([]) == ["trained on simulated fixation tracks from stills, not on video"]


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 11, 14)])
@pytest.mark.parametrize("extra", [{}, {"stride": 2}, {"stride": 3, "shift": 3}, {"shift": 1}])
def test_features_are_those_of_a_loop_over_positions(shape, extra):
    images = textures(shape=shape)
    learner, _ = fit(images, **extra)
    layers = encoded(learner, images.batch(slice(0, 3)))
    pixels = images.pixels(slice(0, 3)).astype(float)
    field, stride = 4, extra.get("stride", 1)
    shift = extra.get("shift", 4)
    state = {name: value.double().numpy() for name, value in learner_state(learner).items()}

    def energies(filters, x):
        r = filters @ x
        return np.sqrt(r[0::2] ** 2 + r[1::2] ** 2 + 1e-6)

    def layer1(image, top, left):
        patch = image[:, top : top + field, left : left + field].transpose(1, 2, 0).ravel()
        patch = (patch - patch.mean()) / np.sqrt(patch.var(ddof=1) + 10)
        return energies(state["first"], state["matrix"] @ (patch - state["mean"]))

    def layer2(image, top, left):
        four = [layer1(image, top + down, left + right) for down in (0, shift) for right in (0, shift)]
        return energies(state["second"], state["components"] @ (np.concatenate(four) - state["center"]))

    for name, features, window in (("layer1", layer1, field), ("layer2", layer2, field + shift)):
        tops, lefts = (range(0, side - window + 1, stride) for side in shape[1:])
        expected = np.array([[[features(image, top, left) for left in lefts] for top in tops] for image in pixels])
        np.testing.assert_allclose(layers[name].permute(0, 2, 3, 1), expected, atol=1e-4 * expected.max())


def test_images_are_averaged_first():
    images = textures(shape=(1, 25, 28))
    learner, _ = fit(images, downsample=2)
    x = images.batch(slice(0, 2))
    layers = encoded(learner, x)
    assert layers["layer1"].shape == (2, 6, 9, 11) and layers["layer2"].shape == (2, 5, 5, 7)
    learner.downsample = 1
    averaged = x[:, :, :24].unflatten(2, (12, 2)).mean(3).unflatten(3, (14, 2)).mean(4)
    torch.testing.assert_close(encoded(learner, averaged)["layer2"], layers["layer2"], atol=1e-4, rtol=1e-4)


def test_layer_2_learns_from_what_encode_computes():
    learner, _ = fit(textures(shape=(3, 12, 12)))
    frames = draw_tracks(textures(shape=(3, 12, 12)), 5, 4, 8, 1, Run(0, Budget(epochs=1))).frames(CPU)
    with torch.inference_mode():
        four = learner._four(frames.clone(), 8)
    images = frames.flatten(0, 1).unflatten(1, (8, 8, 3)).permute(0, 3, 1, 2) / 255
    layer = encoded(learner, images)["layer1"]
    corners = torch.cat([layer[:, :, i, j] for i in (0, 4) for j in (0, 4)], dim=1)
    torch.testing.assert_close(four.flatten(0, 1), corners, atol=1e-4, rtol=1e-4)
    reduced = (four.flatten(0, 1) - learner.center) @ learner.components.T
    torch.testing.assert_close(pooled(reduced @ learner.second.T), encoded(learner, images)["layer2"][:, :, 0, 0])


# -- resume -------------------------------------------------------------------------------------------------------


# Either layer takes three steps, and a checkpoint follows every step but the one that was interrupted.
@pytest.mark.parametrize("after", [1, 2, 3, 4, 5])
def test_an_interrupted_fit_goes_on_bit_for_bit_in_either_layer(after, tmp_path, checkpoints):
    images = textures()
    undisturbed, run = fit(images)
    with pytest.raises(KeyboardInterrupt):
        fit(images, tmp_path, interrupting(after))
    told = []
    resumed, second_run = fit(images, tmp_path, lambda what, share, values: told.append(share))
    assert len(told) == 6 - after
    one, other = learner_state(undisturbed), learner_state(resumed)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert second_run.images_seen == run.images_seen
    assert [timeless(row) for row in second_run.history] == [timeless(row) for row in run.history]


def test_a_finished_fit_is_not_done_again(tmp_path, checkpoints):
    images = textures()
    one, _ = fit(images, tmp_path)
    other, _ = fit(images, tmp_path, lambda *told: pytest.fail("a step was made"))
    assert torch.equal(one.second, other.second) and torch.equal(one.first, other.first)


def timeless(row):
    return {name: value for name, value in row.items() if name != "seconds"}


# -- what every learner promises ------------------------------------------------------------------------------------


def test_it_keeps_what_every_learner_promises():
    findings = check_learner(DLIF, {**SMALL, "iterations": 12})
    assert len(findings) >= 20 and not [finding for finding in findings if finding.problem]


def test_it_sees_no_more_images_than_the_budget_allows():
    _, run = fit(textures(), budget=Budget(images=6))
    assert run.images_seen == 6


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11), (1, 32, 20)])
def test_it_takes_small_odd_and_oblong_images(shape):
    learner, _ = fit(textures(9, shape), receptive_field=4, shift=2)
    layers = encoded(learner, textures(2, shape, seed=1).batch(slice(0, 2)))
    height, width = shape[1:]
    assert layers["layer1"].shape == (2, 6, height - 3, width - 3)
    assert layers["layer2"].shape == (2, 5, height - 5, width - 5)
    assert all(layer.isfinite().all() and layer.std() > 0 for layer in layers.values())


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"receptive_field": 6}, r"windows of 12×12 .* images of 12×13 pixels; .* at most 11 together"),
        ({"receptive_field": 20}, r"windows of 40×40"),
        ({"receptive_field": 3, "downsample": 2}, r"6×6 pixels after downsample=2; .* at most 5 together"),
        ({"receptive_field": 2, "shift": 3, "stride": 2}, r"shift=3 is not a multiple of stride=2"),
    ],
)
def test_what_does_not_fit_is_reported_when_planning(parameters, words):
    with pytest.raises(UserError, match=words):
        make(DLIF, parameters, (1, 12, 13))


@pytest.mark.parametrize(("extra", "window"), [({}, 10), ({"stride": 2}, 9), ({"stride": 7}, 12), ({"shift": 2}, 7)])
def test_windows_of_layer_2_are_twice_as_wide_if_the_stride_allows_it(extra, window):
    learner = make(DLIF, {"receptive_field": 5, **extra}, (1, 32, 32))
    assert learner._window == window


def test_few_large_images_are_encoded_at_once():
    assert make(DLIF, SMALL, (1, 12, 12)).encode_batch_size == 256
    parameters = {"receptive_field": 16, "n_features": (400, 400)}
    # 81² positions of layer 1 and 65² of layer 2, each with 800 responses.
    assert make(DLIF, parameters, (3, 96, 96)).encode_batch_size == 2**24 // (800 * (81**2 + 65**2))


@pytest.mark.parametrize("wrong", [{"frames": 1}, {"slowness": -1}, {"n_features": (3,)}, {"shift": 0}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        DLIF(**wrong)
