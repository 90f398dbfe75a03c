"""What all learners from two views share: teachers, schedules, collapse, what is evaluated, and what is resumed."""

from __future__ import annotations

import math

import pytest
import torch
from fits import TWO_VIEW, blobs, encoded, fit, fitted, small
from reprbench.methods.autoencoders import AE
from reprbench.methods.barlow_twins import BarlowTwins
from reprbench.methods.byol import BYOL
from reprbench.methods.dino import DINO
from reprbench.methods.simclr import SimCLR
from views import prepared, students

from reprbench import UserError
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded
from reprbench.state import learner_state

each = pytest.mark.parametrize("cls", TWO_VIEW, ids=lambda cls: cls.method_name)
each_taught = pytest.mark.parametrize("cls", [BYOL, DINO], ids=lambda cls: cls.method_name)


# -- teachers ---------------------------------------------------------------------------------------------------------


@each_taught
def test_a_teacher_starts_as_the_student_and_follows_the_average_of_its_weights(cls):
    learner, run = prepared(cls, momentum=0.8)
    pairs = list(zip(teacher(learner), student(learner), strict=True))
    assert all(torch.equal(one, other) for one, other in pairs)
    x, expected = blobs(6, (3, 32, 32)).batch(slice(0, 6)), [one.double() for one, _ in pairs]
    for share in (0.0, 0.3, 0.9):
        run.share = share
        learner.step(x, learner._optimizers, run)
        momentum = 1 - 0.2 * (math.cos(math.pi * share) + 1) / 2
        moved = [
            momentum * before + (1 - momentum) * w.double()
            for before, w in zip(expected, student(learner), strict=True)
        ]
        for now, weight in zip(teacher(learner), moved, strict=True):
            torch.testing.assert_close(now.double(), weight, rtol=1e-6, atol=1e-8)
        expected = moved


@each_taught
def test_a_teacher_is_nothing_that_the_optimizer_or_a_gradient_reaches(cls):
    learner, run = prepared(cls)
    assert not any(name.startswith("_teacher") for name in students(learner))
    learner.step(blobs(6, (3, 32, 32)).batch(slice(0, 6)), learner._optimizers, run)
    assert all(weight.grad is None and not weight.requires_grad for weight in teacher(learner))


@each_taught
def test_momentum_of_one_leaves_the_teacher_alone_and_none_makes_it_the_student(cls):
    for momentum in (1.0, 0.0):
        learner, run = prepared(cls, momentum=momentum)
        before = [weight.clone() for weight in teacher(learner)]
        run.share = 0.0
        learner.step(blobs(6, (3, 32, 32)).batch(slice(0, 6)), learner._optimizers, run)
        expected = before if momentum else student(learner)
        for one, other in zip(teacher(learner), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-7)


def teacher(learner):
    return list(learner._teacher.parameters())


def student(learner):
    return [*learner.encoder.parameters(), *learner._projector.parameters()]


# -- fits -------------------------------------------------------------------------------------------------------------


@each
def test_learning_rates_follow_the_budget(cls):
    learner, run = prepared(cls, lr=0.5, warmup=0.5, batch_size=6)
    rates, step = [], learner.step
    learner.step = lambda *given: rates.append(learner._optimizers["optimizer"].param_groups[0]["lr"]) or step(*given)
    fit(learner, blobs(24, (3, 32, 32)), run)
    assert rates == pytest.approx(
        [0.125, 0.375, 0.25 * (1 + math.cos(math.pi / 4)), 0.25 * (1 + math.cos(3 * math.pi / 4))]
    )


@pytest.mark.parametrize("cls", [SimCLR, BYOL, DINO], ids=lambda cls: cls.method_name)
@pytest.mark.parametrize("backbone", ["p-res", "resnet18"])
def test_a_resumed_fit_has_the_heads_and_teachers_of_an_undisturbed_one_bit_for_bit(
    cls, backbone, tmp_path, checkpoints
):
    images, given = blobs(16, (3, 16, 16)), {"backbone": backbone, "augmentation": "simclr"}
    width = {"width": None} if backbone == "resnet18" else {}
    whole, _ = fitted(cls, images, epochs=3, **given, **width)
    interrupted, _ = unfitted(cls, images, **given, **width)
    step, steps = interrupted.step, iter(range(99))
    interrupted.step = lambda *batch: 1 / 0 if next(steps) == 3 else step(*batch)
    with pytest.raises(ZeroDivisionError):
        fit(interrupted, images, Run(0, Budget(epochs=3), folder=tmp_path))
    resumed, run = fitted(cls, images, epochs=3, folder=tmp_path, **given, **width)
    assert run.resumed
    one, other = (flat(learner.training_state()) for learner in (whole, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any("_teacher" in name for name in one) == (cls is not SimCLR)


def unfitted(cls, images, **parameters):
    with seeded(0, "weights"):
        return make(cls, small(cls, **parameters), images.shape), Run(0, Budget(epochs=3))


def flat(state, prefix=""):
    found = {}
    items = state.items() if isinstance(state, dict) else enumerate(state)
    for name, value in items:
        if isinstance(value, dict | list):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = torch.as_tensor(float("nan") if value is None else value).nan_to_num()
    return found


@each
def test_evaluation_sees_the_backbone_alone(cls):
    images = blobs(16, (3, 32, 32))
    learner, run = fitted(cls, images)
    assert list(encoded(learner, images.batch(slice(0, 4)))) == [f"layer{number}" for number in range(1, 12)]
    assert all(name.startswith("encoder.") for name in learner_state(learner))
    assert run.warnings == []


@each
def test_p_res_starts_from_the_weights_of_the_autoencoders(cls):
    one = learner_state(unfitted(cls, blobs(2))[0])
    other = learner_state(unfitted(AE, blobs(2))[0])
    assert all(torch.equal(one[name], other[name]) for name in one)


@each
def test_a_fit_in_reduced_precision_computes_its_loss_in_float32(cls):
    learner, run = prepared(cls)
    run.precision = "bf16"
    values = learner.step(blobs(6, (3, 32, 32)).batch(slice(0, 6)), learner._optimizers, run)
    assert all(value.dtype == torch.float32 and value.isfinite() for value in values.values())


# -- collapse ---------------------------------------------------------------------------------------------------------


@each
def test_an_encoder_that_says_the_same_of_all_images_gets_a_warning(cls):
    learner, run = prepared(cls)
    with torch.no_grad():
        learner.encoder.last.scale.zero_()
        learner.encoder.last.offset.fill_(1)
    values = learner.loss(blobs(6, (3, 32, 32)).batch(slice(0, 6)), run)
    warnings = learner.warnings([{name: float(value) for name, value in values.items()}])
    assert float(values["code_std"]) < 1e-3
    said = "representations hardly differ in direction, "
    assert any(warning.startswith(said) and "0.000/√d" in warning for warning in warnings)


@each
def test_a_fit_that_went_well_gets_none(cls):
    learner, run = fitted(cls, blobs(40), epochs=3)
    assert learner.warnings(run.history) == []
    assert all(row["code_std"] > 0.1 and row["projection_std"] > 0.1 for row in run.history)
    assert learner.warnings([]) == []


def test_a_collapse_of_the_projection_alone_is_told():
    row = {"code_std": 0.8, "projection_std": 0.0123}
    (warning,) = SimCLR().warnings([{"code_std": 0.0, "projection_std": 0.0}, row])
    assert warning == (
        "projections hardly differ in direction, which may be a collapse: scaled to length 1, their standard deviation "
        "over the images of a batch was 0.012/√d in the last epoch (below 0.1/√d)"
    )


# -- mistakes ---------------------------------------------------------------------------------------------------------


@each
def test_images_too_small_or_too_few_are_one_line(cls):
    with pytest.raises(UserError, match="^images of 7×7 pixels are too small for the encoder: it needs at least 8×8"):
        make(cls, small(cls), (1, 7, 7))
    with pytest.raises(UserError, match="compares the images of a batch and needs at least two; give more images"):
        fitted(cls, blobs(1))


def test_a_batch_of_one_is_no_parameter():
    with pytest.raises(ValueError, match="batch_size"):
        SimCLR(batch_size=1)


@each
def test_a_run_can_be_planned_on_the_meta_device(cls):
    with torch.device("meta"):
        make(cls, small(cls), (3, 32, 32))


def test_changes_of_the_augmentation_reach_both_views():
    learner, _ = prepared(BarlowTwins, smallest_crop=0.5, flip=False, jitter=0.5, gray=0.1, blur=0.3)
    first, second = learner._augmentations
    assert first == second
    assert (first.smallest_crop, first.flip, first.gray, first.blur) == (0.5, 0.0, 0.1, 0.3)
    assert first.jitter == (0.2, 0.2, 0.2, 0.05)
