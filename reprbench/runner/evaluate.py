"""The evaluations of one trial: the features that its protocols read are extracted once for all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from reprbench.arrays import npy_header
from reprbench.capabilities import CannotEncode, check_that_it_encodes
from reprbench.data.adapted import adapted
from reprbench.errors import Diverged, UserError
from reprbench.evaluation import GRAMS, Gram
from reprbench.features import FeatureCache
from reprbench.files import replacing
from reprbench.measurement import LARGEST, Headline
from reprbench.protocols.base import Features, KeptGram, Protocol, Subject
from reprbench.protocols.outcomes import checked_outcome
from reprbench.protocols.subject import first_fit, first_maps_of
from reprbench.runner.failure import failure_of
from reprbench.runner.job import FIGURES, now, unfinished
from reprbench.spec import check_name
from reprbench.trial import Evaluation, Figure, to_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from reprbench.data.dataset import Dataset
    from reprbench.features import Matrix, View
    from reprbench.images import Indices
    from reprbench.learner import FeatureMaps, Learner
    from reprbench.runner.fitting import Fits
    from reprbench.runner.job import Job, ProtocolJob
    from reprbench.spec import Call


class Evaluator:
    """Runs the protocols of one trial.

    Parameters
    ----------
    job : the trial.
    cls : the learner's class.
    dataset : the data, already limited.
    protocols : all that will be run: one pass over the images extracts the features that all of them read.
    fits : the fitted learners.
    folder : where figures are drawn, in a folder of their own.
    report : called with the current task, the share of it that is done and the latest values.
    others : the further datasets of the protocols, already limited.
    """

    def __init__(
        self,
        job: Job,
        cls: type[Learner],
        dataset: Dataset,
        protocols: Sequence[Protocol],
        fits: Fits,
        folder: Path,
        report: Callable[[str, float, Mapping[str, float]], None],
        others: Mapping[Call, Dataset] | None = None,
    ) -> None:
        self._job, self._cls, self._dataset, self._others = job, cls, dataset, others or {}
        self._fits, self._folder, self._report = fits, folder, report
        self._cache = FeatureCache(job.cache / "features", job.hash)
        self._read: list[Features] = []
        for protocol in [one for one in protocols if not lacking(one, cls)]:
            try:
                self._read += self._reads(protocol)
            except BaseException as error:
                # What is wrong with one protocol is raised again by its own evaluation, and fails no other.
                if isinstance(error, KeyboardInterrupt):
                    raise

    def attempt(self, asked: ProtocolJob, protocol: Protocol) -> Evaluation:
        """Run one protocol; its failure is recorded, not raised: the others are run, too, unless the user ends them."""
        try:
            evaluation = self.evaluate(asked, protocol)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a plugin raises
            evaluation = unfinished(asked, *failure_of(error))
        evaluation.ended = now()
        return evaluation

    def evaluate(self, asked: ProtocolJob, protocol: Protocol) -> Evaluation:
        """Run one protocol and draw its figures."""
        evaluation = Evaluation(
            call=asked.call,
            code=asked.code,
            parameters=asked.parameters,
            hash=asked.hash,
            seconds=0.0,
            headlines=[Headline(metric) for metric in protocol.headlines],
            measurements=[],
        )
        if needs := lacking(protocol, self._cls):
            return _skipped(evaluation, f"{asked.call.name} needs a learner that {' and '.join(needs)}")
        self._reads(protocol)
        before, fitting = time.monotonic(), self._fits.seconds_here
        try:
            outcome = checked_outcome(protocol.evaluate(self._subject(), self._job.seed), asked.call.name)
        except CannotEncode as error:
            return _skipped(evaluation, f"{asked.call.name} encodes images itself; {error}")
        evaluation.figures = self._draw(evaluation, outcome.figures)
        evaluation.grams = self._keep(evaluation, outcome.grams)
        # The fits of a supervised learner happen in here; their time counts as fitting.
        evaluation.seconds = time.monotonic() - before - (self._fits.seconds_here - fitting)
        evaluation.measurements = outcome.measurements
        evaluation.warnings = outcome.warnings
        evaluation.headlines = outcome.headlines or evaluation.headlines
        evaluation.curves = outcome.curves
        return _as_stored(_skipped(evaluation, outcome.missing or _unmeasured(evaluation)))

    def _reads(self, protocol: Protocol) -> list[Features]:
        """Return what a protocol will request.

        Raises
        ------
        TypeError
            If a plugin's protocol returns something else.
        """
        found = list(protocol.reads(self._dataset, self._cls.kind == "supervised"))
        if wrong := [one for one in found if not isinstance(one, Features)]:
            raise TypeError(f"{type(protocol).__name__}.reads must return Features, not {type(wrong[0]).__name__}")
        return found

    def _subject(self) -> Subject:
        return Subject(
            self._dataset,
            self._cls.kind == "supervised",
            self._learner,
            self._features,
            lambda what, share: self._report(what, share, {}),
            self._fits.snapshots,
            self._job.device,
            self._on,
            self._first_maps,
        )

    def _on(self, call: Call) -> Subject:
        """Return the learner as a subject on another dataset, as `Subject` describes."""
        check_that_it_encodes(self._cls)
        dataset = adapted(self._others[call], self._dataset.train.shape)
        own = self._subject()
        self._ensure(own.trained)
        return Subject(
            dataset,
            False,
            lambda rows: own.learner(own.trained),
            lambda asked: self._matrices(replace(asked, trained=own.trained), dataset, [asked.view]),
            own.progress,
            device=own.device,
        )

    def _features(self, asked: Features) -> Matrix:
        """Return the requested features, and extract the other views of the same rows in the same pass."""
        self._ensure(asked.trained)
        others = [other.view for other in self._read if _same_rows(other, asked)]
        views = list(dict.fromkeys([asked.view, *others]))
        try:
            return self._matrices(asked, self._dataset, views)
        except Exception:
            if len(views) == 1:
                raise
            # The cause may be another protocol's view, which must fail that protocol alone: a layer that the learner
            # does not have, or one that is not finite. From now on each view is extracted by itself.
            self._read = []
            return self._matrices(asked, self._dataset, [asked.view])

    def _ensure(self, trained: Indices | None) -> None:
        """Fit, also if the features are cached: the trial records the cost of its fits."""
        if self._fits.key(trained) not in self._fits.notes:
            self._fits.ensure(trained)

    def _matrices(self, asked: Features, dataset: Dataset, views: Sequence[View]) -> Matrix:
        """Return the requested features of a dataset in the first of the `views`, which are all extracted."""
        key = {
            "fit": self._job.hash,
            "trained": self._fits.key(asked.trained),
            "data": dataset.digest,
            "split": asked.split,
        }
        return self._cache.matrices(
            key,
            lambda: self._fits.learner(asked.trained),
            getattr(dataset, asked.split),
            asked.rows,
            views,
            self._job.device,
            lambda share: self._report(f"encode {asked.split}", share, {}),
            asked.split,
        )[0]

    def _learner(self, trained: Indices | None) -> Learner:
        """Return the fitted learner for a protocol that encodes images itself."""
        check_that_it_encodes(self._cls)
        return self._fits.learner(trained)

    def _first_maps(self) -> FeatureMaps:
        trained = first_fit(self._dataset, self._cls.kind == "supervised")
        return first_maps_of(self._fits.learner(trained), self._dataset, self._job.device)

    def _keep(self, evaluation: Evaluation, grams: Mapping[str, KeptGram]) -> list[Gram]:
        """Write the Gram matrices as .npy files into the trial's folder."""
        kept = []
        for name, gram in grams.items():
            file = f"{GRAMS}/{evaluation.call.name}-{evaluation.hash[:8]}-{check_name(name, 'Gram matrix')}.npy"
            with replacing(self._folder / file) as temporary:
                temporary.write_bytes(npy_header(gram.packed.shape, gram.packed.dtype) + gram.packed.tobytes())
            kept.append(Gram(name, file, gram.images))
        return kept

    def _draw(self, evaluation: Evaluation, drawings: Mapping[str, Drawing]) -> list[Figure]:
        """Write the figures as PNG files into the trial's folder."""
        if not drawings:
            # Importing matplotlib takes longer than a small evaluation.
            return []
        from reprbench.plotting import save_png

        figures = []
        for name, drawing in drawings.items():
            file = f"{FIGURES}/{evaluation.call.name}-{evaluation.hash[:8]}-{check_name(name, 'figure')}.png"
            save_png(drawing, self._folder / file)
            figures.append(Figure(name, file))
        return figures


def _skipped(evaluation: Evaluation, reason: str) -> Evaluation:
    """Return the evaluation with the reason why it was skipped, if there is one."""
    if reason:
        evaluation.status, evaluation.reason = "skipped", reason
    return evaluation


def _unmeasured(evaluation: Evaluation) -> str:
    """Return that no headline was measured, if so; without a value the row would be a hole that nothing explains."""
    measured = {one.metric for one in evaluation.measurements}
    metrics = [headline.metric for headline in evaluation.headlines]
    if measured.intersection(metrics):
        return ""
    return f"{evaluation.call.name} measured no {' and no '.join(map(repr, metrics))}, which its headlines name"


def _as_stored(evaluation: Evaluation) -> Evaluation:
    """Return the evaluation as the store will read it, so that a protocol's mistakes show before others are run."""
    try:
        for one in evaluation.measurements:
            if not abs(float(one.value)) <= LARGEST:
                raise Diverged(f"{one.metric} is {one.value}")
        content = json.dumps(to_json(evaluation), allow_nan=False)
        return msgspec.json.decode(content, type=Evaluation)
    except (TypeError, ValueError) as error:
        raise UserError(f"what {evaluation.call} yields cannot be stored: {error}") from None


def lacking(protocol: Protocol, cls: type[Learner]) -> list[str]:
    """Return the capabilities that the protocol needs and this class lacks, as verbs: "reconstructs"."""
    return [need.__name__.lower() for need in protocol.needs if not issubclass(cls, need)]


def _same_rows(one: Features, other: Features) -> bool:
    def same(a: Indices | None, b: Indices | None) -> bool:
        return a is b or (a is not None and b is not None and np.array_equal(a, b))

    return one.split == other.split and same(one.trained, other.trained) and same(one.rows, other.rows)
