"""The conformance suite for learners, built in or not: it checks what the harness relies on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reprbench.arrays import pack, unpack
from reprbench.batch_norm import LARGEST_DIFFERENCE, difference, normalizations, stale
from reprbench.errors import Diverged
from reprbench.images import Images
from reprbench.learner import FeatureMaps, ImageShape, Learner, SupervisedLearner, make
from reprbench.outputs import checked
from reprbench.run_context import Run, seeded
from reprbench.spec import Budget
from reprbench.state import evaluating, learner_state, load_learner_state, to_device
from reprbench.texts import described

SHAPES: tuple[ImageShape, ...] = ((1, 12, 12), (3, 12, 12))
"""Gray and color, and small enough for a quick fit by any method."""
COUNT, CLASSES = 48, 4
LEARNING_NOTHING = ("control", "pretrained")
"""Kinds of learners whose fit may leave the state as `build` made it, possibly empty."""
TOLERANCE = 1e-4
"""How much the size of the batch may change a feature, relative to the largest: kernels differ in their last bits."""


@dataclass(frozen=True)
class Finding:
    """The result of one check on images of one shape; `problem` is empty if it passed.

    Findings with the same `cause` have one: the same line of code raised an exception, or the problem is the same.
    """

    check: str
    promise: str
    shape: ImageShape
    problem: str = ""
    traceback: str = field(default="", repr=False)
    cause: str = field(default="", repr=False)


class Broken(Exception):
    """A promise that a learner does not keep."""


@dataclass(frozen=True)
class Case:
    """A learner class with parameters, on random images of one shape."""

    cls: type[Learner]
    parameters: Mapping[str, Any]
    shape: ImageShape

    def images(self, seed: int = 0, count: int = COUNT) -> Images:
        """Return random images: smooth patches with noise, so that there is something to learn."""
        generator = np.random.default_rng(seed)
        channels, height, width = self.shape
        coarse = generator.integers(0, 200, (count, channels, -(-height // 4), -(-width // 4)))
        smooth = coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :height, :width]
        return Images((smooth + generator.integers(0, 56, smooth.shape)).astype(np.uint8))

    def make(self) -> Learner:
        """Return an unfitted learner, made as by the harness."""
        with seeded(0, "weights"):
            return make(self.cls, self.parameters, self.shape)

    def fit(
        self,
        budget: Budget | None = None,
        seed: int = 0,
        images: Images | None = None,
        learner: Learner | None = None,
    ) -> tuple[Learner, Run]:
        """Fit a learner, a new one unless one is given; return it and its run."""
        learner, run = learner or self.make(), Run(seed, budget or Budget(epochs=2))
        images = images or self.images()
        with seeded(seed, "fit"):
            if isinstance(learner, SupervisedLearner):
                learner.fit_labeled(images, np.arange(len(images), dtype=np.int64) % CLASSES, run)
            else:
                learner.fit(images, run)
        return learner, run

    @cached_property
    def ordinary(self) -> tuple[dict[str, Tensor], Run]:
        """The state after a fit with the defaults of `fit`, and its run: what several checks compare others with."""
        learner, run = self.fit()
        return learner_state(learner), run

    def encode(self, learner: Learner, x: Tensor | None = None) -> dict[str, Tensor]:
        """Return the feature maps of `x` (by default new images), encoded as by the harness."""
        x = self.images(seed=1).batch(slice(0, 16)) if x is None else x
        with evaluating(learner):
            return dict(checked(learner.encode(x), len(x)))


def check_fits_and_encodes(case: Case) -> None:
    """A fit on a few images ends, and the feature maps are finite."""
    learner, _ = case.fit()
    for name, layer in case.encode(learner).items():
        _demand(bool(torch.isfinite(layer).all()), f"layer {name!r} has values that are not finite")


def check_is_deterministic(case: Case) -> None:
    """The same seed gives the same bits."""
    again = learner_state(case.fit()[0])
    _demand_same(case.ordinary[0], again, "two fits with the same seed differ in {}; draw from run.generator(name)")


def check_is_deterministic_beside_others(case: Case) -> None:
    """Earlier draws from global generators do not matter."""
    before = case.ordinary[0]
    torch.rand(7)
    np.random.rand(7)  # noqa: NPY002  (disturbs the global state on purpose)
    _demand_same(before, learner_state(case.fit()[0]), "{} depends on a global random state; use run's generators")


def check_ignores_batch_composition(case: Case) -> None:
    """An image's features do not depend on the other images of its batch."""
    learner, _ = case.fit()
    x = case.images(seed=1).batch(slice(0, 16))
    whole = case.encode(learner, x)
    parts = [case.encode(learner, part) for part in (x[:1], x[1:4], x[4:])]
    for name, layer in whole.items():
        alone = torch.cat([part[name] for part in parts])
        difference = float((alone - layer).abs().max() / layer.abs().max().clamp(min=1e-12))
        _demand(difference <= TOLERANCE, f"layer {name!r} changes by {difference:.1e} of its size with the batch")


def check_encodes_the_same_twice(case: Case) -> None:
    """Encoding has no side effects: a second time gives the same bits."""
    learner, _ = case.fit()
    one, two = case.encode(learner), case.encode(learner)
    _demand_same(one, two, "layer {} is different the second time; is something left in training mode?")


def check_state_round_trip(case: Case) -> None:
    """A fresh learner that loads the saved state encodes the same bits."""
    learner, _ = case.fit()
    state = learner_state(learner)
    loaded, _ = unpack(pack(state))
    fresh = case.make()
    load_learner_state(fresh, loaded)
    # As the harness does with every learner it loads; the memory layout decides which kernels run.
    for one in (learner, fresh):
        to_device(one, "cpu")
    _demand_same(state, learner_state(fresh), "{} is not the same after loading")
    _demand_same(case.encode(learner), case.encode(fresh), "layer {} of the loaded learner differs")


def check_encodes_as_it_was_trained(case: Case) -> None:
    """Running averages of batch normalizations give nearly the features that statistics of a batch give."""
    if case.cls.kind == "pretrained" or not case.cls.remeasure_batch_norm:
        return
    learner, _ = case.fit()
    if units := normalizations(learner):
        layer, share = difference(learner, units, case.images().batch(slice(0, COUNT)))
        _demand(share <= LARGEST_DIFFERENCE, f"{stale(layer, share)}; call measure_batch_norm at the end of fit")


def check_leaves_images_alone(case: Case) -> None:
    """Neither fitting nor encoding changes its input."""
    images = case.images()
    before = images.pixels(slice(None))
    learner, _ = case.fit(images=images)
    _demand(np.array_equal(before, images.pixels(slice(None))), "fit changed its images")
    x = images.batch(slice(0, 8))
    copy = x.clone()
    case.encode(learner, x)
    _demand(torch.equal(x, copy), "encode changed its input")


def check_honors_the_budget(case: Case) -> None:
    """A fit counts at most twice as many images as its budget allows."""
    _, run = case.fit(Budget(images=COUNT))
    # A fold has so few images that a supervised learner may need more passes than the others.
    if case.cls.kind not in (*LEARNING_NOTHING, "supervised"):
        _demand(run.images_seen <= 2 * COUNT, f"saw {run.images_seen} images with a budget of {COUNT}")


def check_learns_from_what_it_sees(case: Case) -> None:
    """Other images give another state, unless the method is a control or pretrained."""
    if case.cls.kind in LEARNING_NOTHING:
        return
    one, two = case.ordinary[0], learner_state(case.fit(images=case.images(5))[0])
    _demand(any(not torch.equal(one[name], two[name]) for name in one), "the state is the same on other images")


def check_sees_only_its_images(case: Case) -> None:
    """Images outside the given sequence, such as those of the test split, change nothing."""
    shown, hidden = case.images(), case.images(seed=7)
    pixels = np.concatenate([hidden.pixels(slice(None)), shown.pixels(slice(None))])
    among_others = Images(pixels).take(np.arange(len(hidden), len(pixels), dtype=np.int64))
    state = learner_state(case.fit(images=among_others)[0])
    _demand_same(case.ordinary[0], state, "{} depends on images that are not in the sequence given to fit")


def check_labels_reach_supervised_learners_alone(case: Case) -> None:
    """A supervised learner cannot be fitted without labels; the others never get any."""
    if not issubclass(case.cls, SupervisedLearner):
        _demand(not hasattr(case.cls, "fit_labeled"), "fit_labeled is never called: derive from SupervisedLearner")
        return
    try:
        case.make().fit(case.images(), Run(0, Budget(epochs=1)))
    except TypeError:
        return
    raise Broken("a supervised learner learned something from images without labels; do not override fit")


def check_gradients_are_finite(case: Case) -> None:
    """Gradients and learned values are never NaN or infinite."""
    learner, wrong = case.make(), set()
    weights = {
        f"{attribute}.{name}": weight
        for attribute, network in vars(learner).items()
        if isinstance(network, torch.nn.Module)
        for name, weight in network.named_parameters()
    }

    def look(name: str, weight: Tensor) -> None:
        if weight.grad is not None and not bool(torch.isfinite(weight.grad).all()):
            wrong.add(f"the gradient of {name}")

    for name, weight in weights.items():
        if weight.requires_grad:
            hook: Any = weight.register_post_accumulate_grad_hook
            hook(lambda w, name=name: look(name, w))
    case.fit(learner=learner)
    for name, weight in weights.items():
        look(name, weight)  # gradients computed by hand trigger no hook
    wrong |= {name for name, value in learner_state(learner).items() if not bool(torch.isfinite(value).all())}
    _demand(not wrong, f"not finite: {', '.join(sorted(wrong)[:3])}")


def check_logs_finite_values(case: Case) -> None:
    """Logged values are finite: `run.log` ends the fit otherwise."""
    _, run = case.ordinary
    _demand(all(np.isfinite(list(row.values())).all() for row in run.history), "the history has non-finite values")


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_fits_and_encodes,
    check_is_deterministic,
    check_is_deterministic_beside_others,
    check_ignores_batch_composition,
    check_encodes_the_same_twice,
    check_state_round_trip,
    check_encodes_as_it_was_trained,
    check_leaves_images_alone,
    check_honors_the_budget,
    check_learns_from_what_it_sees,
    check_sees_only_its_images,
    check_labels_reach_supervised_learners_alone,
    check_gradients_are_finite,
    check_logs_finite_values,
)


def check_learner(
    cls: type[Learner], parameters: Mapping[str, Any] | None = None, shapes: Sequence[ImageShape] = SHAPES
) -> list[Finding]:
    """Run the whole suite on a learner class; exceptions of the learner are reported as findings, too.

    Parameters
    ----------
    parameters : of the learner; preferably such that a fit is fast.
    shapes : (channels, height, width) of the random images that it is fitted to, 48 of each shape.

    Returns
    -------
    A finding for each check and shape, in order; where a check failed, `problem` says why.

    Examples
    --------
    >>> from reprbench import Learner
    >>> from reprbench.testing import check_learner
    >>> class BatchMean(Learner):
    ...     def fit(self, images, run):
    ...         self.mean = images.batch(slice(0, 16)).mean(0)
    ...         run.images_seen += 16
    ...     def encode(self, x):
    ...         return {"centered": x - x.mean(0)}
    >>> [finding.check for finding in check_learner(BatchMean, shapes=[(1, 12, 12)]) if finding.problem]
    ['ignores batch composition']
    """
    return list(_findings(cls, parameters or {}, shapes))


def _findings(cls: type[Learner], parameters: Mapping[str, Any], shapes: Sequence[ImageShape]) -> Iterator[Finding]:
    cases = [Case(cls, parameters, shape) for shape in shapes]
    for check in CHECKS:
        name = check.__name__.removeprefix("check_").replace("_", " ")
        promise = (check.__doc__ or "").strip()
        for case in cases:
            try:
                check(case)
            except (Broken, Diverged) as broken:
                yield Finding(name, promise, case.shape, str(broken), cause=str(broken))
            except Exception as error:  # whatever the learner raises is to be reported
                problem = described(error)
                yield Finding(name, promise, case.shape, problem, traceback.format_exc(), _cause(error))
            else:
                yield Finding(name, promise, case.shape)


def _cause(error: Exception) -> str:
    """Return the type of an exception and the place where it was raised, whatever its message says of the images."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} {place.filename}:{place.lineno}"


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Broken(otherwise)


def _demand_same(one: Mapping[str, Tensor] | FeatureMaps, two: Mapping[str, Tensor], otherwise: str) -> None:
    _demand(one.keys() == two.keys(), f"the names differ: {', '.join(one)} and {', '.join(two)}")
    different = [name for name in one if not torch.equal(one[name], two[name])]
    _demand(not different, otherwise.format(", ".join(map(repr, different[:3]))))
