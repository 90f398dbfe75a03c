from __future__ import annotations

import pytest
import torch
from fits import blobs, digits, encoded, fitted, take_step
from pydantic import ValidationError
from reprbench.methods.mae import MAE, at, normalized, patches

from reprbench import Decodes, Reconstructs, Run, UserError
from reprbench.run_context import Budget, derive_seed

SHAPES = [(1, 8, 8), (3, 32, 32), (3, 12, 20)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@pytest.fixture
def run() -> Run:
    return Run(0, Budget(epochs=1))


def prepared(shape, run, **parameters):
    """Return a learner that is ready to learn, and images."""
    torch.manual_seed(0)
    learner = MAE(**{"width": 32, "depth": 2, "decoder_width": 32, "decoder_depth": 1, **parameters})
    learner.build(shape)
    learner.prepare(run)
    return learner, torch.rand(6, *shape)


def test_patches_are_cut_row_by_row():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    cut = patches(x, 2)
    assert cut.shape == (2, 6, 12)
    assert torch.equal(cut[1, 4], x[1, :, 2:4, 2:4].flatten())


def test_a_normalized_patch_has_mean_0_and_variance_1_and_a_constant_one_is_0():
    pixels = torch.rand(5, 4, 12, dtype=torch.float64)
    found = normalized(pixels)
    torch.testing.assert_close(found.mean(-1), torch.zeros(5, 4, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(found.square().mean(-1), torch.ones(5, 4, dtype=torch.float64), atol=1e-3, rtol=0)
    assert not normalized(torch.full((1, 2, 12), 0.3)).any()


@each_shape
@pytest.mark.parametrize("normalize", [True, False])
def test_the_loss_is_that_of_a_plain_float64_version(shape, normalize, run):
    """As in the code of He et al.: embed all patches, keep some, put mask tokens between, and weigh by the mask."""
    learner, x = prepared(shape, run, normalize=normalize)
    values = take_step(learner, run, x)
    learner, x = prepared(shape, run, normalize=normalize)
    encoder, decoder = learner.encoder.double(), learner.decoder.double()
    target = patches(x.double(), learner._side)
    count = target.shape[1]
    kept = count // 4
    noise = torch.rand(6, count, generator=torch.Generator().manual_seed(derive_seed(0, "mask")))
    errors = []
    for image, drawn in zip(target, noise, strict=True):
        order = drawn.argsort()
        tokens = (encoder.embed(image) + encoder.positions)[order[:kept]][None]
        for block in encoder.blocks:
            tokens = block(tokens)
        tokens = decoder.embed(encoder.norm(tokens))[0]
        shuffled = torch.cat([tokens, decoder.mask_token.expand(count - kept, -1)])
        whole = (shuffled[order.argsort()] + decoder.positions)[None]
        for block in decoder.blocks:
            whole = block(whole)
        predicted = decoder.pixels(decoder.norm(whole))[0]
        if normalize:
            image = (image - image.mean(1, keepdim=True)) / (image.var(1, correction=0, keepdim=True) + 1e-6).sqrt()
        mask = torch.ones(count).index_fill(0, order[:kept], 0)
        errors.append(((predicted - image).square().mean(1) * mask).sum() / mask.sum())
    torch.testing.assert_close(values["loss"].double(), torch.stack(errors).mean(), rtol=1e-5, atol=1e-6)


@each_shape
def test_nothing_of_the_visible_patches_is_a_target_and_nothing_of_the_masked_ones_is_seen(shape, run, monkeypatch):
    learner, x = prepared(shape, run, normalize=False)
    x.requires_grad_()
    predictions, predict = [], learner.decoder.predict

    def kept(tokens, visible, masked):
        predictions.append((predict(tokens, visible, masked), visible, masked))
        return predictions[-1][0]

    monkeypatch.setattr(learner.decoder, "predict", kept)
    loss = learner.loss(x, run)["loss"]
    predicted, visible, masked = predictions[0]
    (seen,) = torch.autograd.grad(predicted.square().sum(), x, retain_graph=True)
    assert not at(patches(seen, learner._side), masked).any()
    assert at(patches(seen, learner._side), visible).flatten(1).any(1).all()
    # With a prediction that is a constant, only targets are left.
    monkeypatch.setattr(learner.decoder, "predict", lambda *given: kept(*given).detach())
    (targets,) = torch.autograd.grad(learner.loss(x, run)["loss"], x)
    _, visible, masked = predictions[1]
    assert not at(patches(targets, learner._side), visible).any()
    assert at(patches(targets, learner._side), masked).flatten(1).any(1).all()
    assert loss.requires_grad


def test_the_gradient_reaches_all_weights(run):
    learner, x = prepared((3, 32, 32), run)
    learner.step(x, learner._optimizers, run)
    assert all(weight.grad.any() for network in (learner.encoder, learner.decoder) for weight in network.parameters())


@pytest.mark.parametrize(
    ("share", "side", "visible"), [(0.75, 2, 4), (0.5, 2, 8), (0.01, 2, 15), (0.99, 2, 1), (0.75, 4, 1), (0.2, 4, 3)]
)
def test_each_image_has_as_many_visible_patches_as_the_share_says(share, side, visible, run):
    learner, x = prepared((1, 8, 8), run, mask_share=share, patch_size=side)
    seen, masked = learner.places(patches(x, side), run)
    assert seen.shape == (6, visible)
    everywhere = torch.arange(64 // side**2).expand(6, -1)
    assert torch.equal(torch.cat([seen, masked], 1).sort(1).values, everywhere)


def test_masks_are_new_in_every_image_and_batch_and_the_same_for_a_seed(run):
    learner, x = prepared((1, 8, 8), run)
    first, second = (learner.places(patches(x, 2), run)[0] for _ in range(2))
    again, _ = learner.places(patches(x, 2), Run(0, Budget(epochs=1)))
    other, _ = learner.places(patches(x, 2), Run(1, Budget(epochs=1)))
    assert torch.equal(first, again)
    assert not torch.equal(first, second) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])
    # All places are visible equally often.
    seen, _ = learner.places(torch.zeros(4000, 16, 4), run)
    shares = torch.bincount(seen.flatten(), minlength=16) / 4000
    assert (shares - 0.25).abs().max() < 0.03


@each_shape
def test_the_layers_are_maps_of_tokens_and_see_the_whole_image(shape):
    images = blobs(8, shape)
    learner, _ = fitted(MAE, images, width=32, depth=2, decoder_width=32, decoder_depth=1)
    x = images.batch(slice(0, 2))
    maps = encoded(learner, x)
    assert list(maps) == ["block1", "block2", "norm"]
    assert all(layer.shape == (2, 32, *learner._grid) for layer in maps.values())
    assert [side * learner._side for side in learner._grid] == list(shape[1:])
    for place in (0, -1):
        changed = x.clone()
        changed[:, :, place, place] += 0.5
        change = (encoded(learner, changed)["block1"] - maps["block1"]).abs().mean((0, 1))
        assert change.flatten().argmax() == place % change.numel()


@pytest.mark.parametrize(("shape", "side"), [((1, 8, 8), 2), ((1, 28, 28), 4), ((3, 32, 32), 4), ((3, 96, 96), 8)])
def test_the_default_patch_depends_on_the_size_of_the_images(shape, side, run):
    assert prepared(shape, run)[0]._side == side


def test_it_is_no_learner_that_reconstructs():
    assert not isinstance(MAE(), Reconstructs) and not isinstance(MAE(), Decodes)


def test_weights_decay_that_are_matrices_alone_and_the_rate_follows_a_cosine_after_a_warm_up(run):
    learner, _ = prepared((1, 8, 8), run)
    decayed, others = learner.optimizers().param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0)
    assert {weight.ndim for weight in decayed["params"]} == {2}
    assert {weight.ndim for weight in others["params"]} == {1}
    weights = [weight for network in (learner.encoder, learner.decoder) for weight in network.parameters()]
    assert len(decayed["params"]) + len(others["params"]) == len(weights)
    factors = [learner.rate_factor(share) for share in (0, 0.025, 0.05, 0.525, 1)]
    assert factors == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_it_predicts_digits_better_than_by_the_mean_of_a_patch():
    _, run = fitted(MAE, digits(), epochs=15, width=32, depth=2, decoder_width=32, decoder_depth=1, lr=3e-3)
    losses = [row["loss"] for row in run.history]
    assert losses[-1] < 0.75 * losses[0]
    # Some patches are constant, and 0 when normalized.
    assert losses[-1] < normalized(patches(digits().batch(slice(None)), 2)).square().mean()


@pytest.mark.parametrize(("shape", "parameters"), [((1, 9, 12), {}), ((1, 8, 8), {"patch_size": 8})])
def test_images_that_cannot_be_cut_are_refused_in_one_line(shape, parameters):
    sides = f"{shape[1]}×{shape[2]}"
    with pytest.raises(UserError, match=rf"^images of {sides} pixels cannot .* give a patch_size that divides both"):
        MAE(**parameters).build(shape)


@pytest.mark.parametrize(
    "wrong", [{"width": 40}, {"width": 0}, {"mask_share": 1}, {"mask_share": 0}, {"patch_size": 0}, {"depth": 0}]
)
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        MAE(**wrong)
