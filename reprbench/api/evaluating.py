"""`reprbench.evaluate`: a protocol on a learner that is at hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pydantic import ValidationError

from reprbench.api.calls import asked_call
from reprbench.api.datasets import dataset as load_dataset
from reprbench.capabilities import check_that_it_encodes, miscounted
from reprbench.data.adapted import adapted
from reprbench.data.dataset import Dataset
from reprbench.errors import UserError
from reprbench.grammar import brief
from reprbench.learner import Learner, SupervisedLearner
from reprbench.protocols.base import Features, Protocol, Subject
from reprbench.protocols.outcomes import checked_outcome
from reprbench.protocols.subject import features_of, first_maps_of
from reprbench.registry import discover
from reprbench.runner.evaluate import lacking
from reprbench.spec import Call, mistakes
from reprbench.state import device_of

if TYPE_CHECKING:
    from reprbench.features import Matrix
    from reprbench.images import Indices
    from reprbench.measurement import Measurement


def evaluate(
    learner: Learner, protocol: str | Call | Protocol, dataset: Dataset | str | Call, seed: int = 0
) -> list[Measurement]:
    """Evaluate a fitted learner under a protocol, in this process, and return the measurements.

    Nothing is stored, and features are extracted anew; they are kept in memory meanwhile.

    Parameters
    ----------
    learner : fitted, such as `StoredTrial.learner` returns it.
    protocol : a name or call, such as ``"linear-svm[folds=none]"``, or an object.
    dataset : such as `dataset` returns it, or a name or call.
    seed : from which the protocol draws.

    Raises
    ------
    UserError
        If there is no such protocol, or it cannot be run on the learner. A supervised learner is refused: a protocol
        must fit it anew to each fold, which `run` does. So is one that lacks what `build` or `fit` makes.

    Examples
    --------
    >>> from reprbench import dataset, evaluate
    >>> from reprbench.methods.controls import RawPixels
    >>> digits = dataset("digits", limit=200)
    >>> [found] = [one for one in evaluate(RawPixels(), "knn[folds=none]", digits) if one.metric == "accuracy"]
    >>> 50 < found.value <= 100
    True
    """
    chosen, name = _protocol(protocol)
    _check_learner(learner)
    data = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    if isinstance(learner, SupervisedLearner):
        raise UserError(f"{type(learner).__name__} is supervised, and must be fitted to each fold: use reprbench.run")
    if needs := lacking(chosen, type(learner)):
        raise UserError(f"{name} needs a learner that {' and '.join(needs)}, which {type(learner).__name__} does not")
    if wrong := miscounted(learner, {"train": len(data.train), "test": len(data.test)}):
        raise UserError(f"{type(learner).__name__}: {wrong}")
    subject = _subject(learner, data, str(device_of(learner)))
    try:
        outcome = checked_outcome(chosen.evaluate(subject, seed), name)
    except AttributeError as error:
        if error.obj is not learner:
            raise
        raise UserError(f"{type(learner).__name__} has no attribute {error.name!r}: {_FITTED}") from error
    if outcome.missing:
        raise UserError(outcome.missing)
    return outcome.measurements


def _subject(learner: Learner, dataset: Dataset, device: str) -> Subject:
    def at_hand(rows: Indices | None) -> Learner:
        check_that_it_encodes(type(learner))
        return learner

    def on(call: Call) -> Subject:
        check_that_it_encodes(type(learner))
        return _subject(learner, adapted(load_dataset(call), dataset.train.shape), device)

    features, first_maps = _features(learner, dataset, device), partial(first_maps_of, learner, dataset, device)
    return Subject(dataset, False, at_hand, features, device=device, on=on, first_maps=first_maps)


_FITTED = "expected a fitted learner, such as trial.learner() returns"


def _check_learner(given: object) -> None:
    if isinstance(given, type) and issubclass(given, Learner):
        raise UserError(f"the class {given.__name__} is given: {_FITTED}")
    if not isinstance(given, Learner):
        raise UserError(f"{brief(given)} is given: {_FITTED}")


def _protocol(asked: str | Call | Protocol) -> tuple[Protocol, str]:
    if isinstance(asked, Protocol):
        return asked, asked.name or type(asked).__name__
    call = asked_call(asked, "protocol")
    cls: type[Protocol] = discover().find("protocol", call.name).load_or_refuse()
    try:
        return cls.model_validate(call.parameters), str(call)
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, f"protocol {call.name}", cls.model_fields))) from None


def _features(learner: Learner, dataset: Dataset, device: str) -> Callable[[Features], Matrix]:
    """Return what extracts features, each once: protocols ask for the same ones in every fold."""
    known: dict[object, Matrix] = {}

    def features(asked: Features) -> Matrix:
        key = asked.split, asked.rows.tobytes(), asked.view
        if key not in known:
            known[key] = features_of(learner, dataset, asked, device)
        return known[key]

    return features
