"""What a run records of a trial: the request, the outcome of its process, and the evaluations that it finished."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from reprbench.evaluation import MOST_FIGURES, MOST_GRAMS
from reprbench.runner.job import FIT, ProtocolJob, TrialResult, evaluation_path, now, unfinished
from reprbench.runner.plan import Planned
from reprbench.runner.received import read_part
from reprbench.texts import TRACEBACK, clean, one_line, reason, warning_lines
from reprbench.trial import Cost, Evaluation, Trial


@dataclass(frozen=True)
class Finished:
    """What a trial's process has finished so far.

    Attributes
    ----------
    fit : the outcome of what the protocols share; None before only evaluations are left.
    evaluations : those of the first protocols of the job, in order; with failures that the process itself recorded.
    """

    fit: TrialResult | None = None
    evaluations: tuple[Evaluation, ...] = ()


def protocol_jobs(planned: Planned) -> list[ProtocolJob]:
    """Return the evaluations to make."""
    return [
        ProtocolJob(
            entry=one.entry,
            call=one.record.call,
            code=one.code,
            parameters=dict(one.parameters),
            hash=one.record.hash,
            others=one.others,
        )
        for one in planned.missing
    ]


def read_finished(folder: Path, asked: Sequence[ProtocolJob]) -> Finished:
    """Return what the process with that working folder has finished."""
    fit = None
    with suppress(OSError, ValueError):
        fit = read_part(folder / FIT, TrialResult)
    evaluations: list[Evaluation] = []
    for one in asked:
        if not evaluation_path(folder, one).exists():
            break
        evaluations.append(_read(evaluation_path(folder, one), one))
    return Finished(fit, tuple(evaluations))


def _read(path: Path, asked: ProtocolJob) -> Evaluation:
    try:
        found = read_part(path, Evaluation)
    except (OSError, ValueError) as error:
        return replace(unfinished(asked, "failed", f"its result cannot be read: {reason(error)}"), ended=now())
    # Which protocol it was is known from the request, whatever the process wrote.
    return replace(
        found,
        call=asked.call,
        code=asked.code,
        parameters=asked.parameters,
        hash=asked.hash,
        reason=one_line(found.reason),
        traceback=clean(found.traceback, TRACEBACK),
        warnings=warning_lines(found.warnings),
        figures=found.figures[:MOST_FIGURES],
        grams=found.grams[:MOST_GRAMS],
    )


def so_far(planned: Planned, finished: Finished, begun: str) -> Trial:
    """Return the record of a trial whose process is running."""
    return _record(planned, finished.fit or TrialResult(status="done"), finished.evaluations, begun)


def record(planned: Planned, result: TrialResult, signal_name: str | None, finished: Finished, begun: str) -> Trial:
    """Return the record of a trial whose process has ended.

    If the fit was done, what ended the process is recorded for the protocol that was being evaluated then: the first
    one without an evaluation. If there is none, what matters was finished before, and it is a warning.
    """
    evaluations, rest = list(finished.evaluations), protocol_jobs(planned)[len(finished.evaluations) :]
    if result.status == "done":
        lost = [replace(unfinished(one, "failed", "its process left no result of it"), ended=now()) for one in rest]
        return _record(planned, result, [*evaluations, *lost], begun)
    if planned.action == "run" and finished.fit is None:
        return _record(planned, result, evaluations, begun, signal_name)
    for one in rest[:1]:
        failed = unfinished(one, result.status, result.reason, result.traceback)
        evaluations.append(replace(failed, signal=signal_name, ended=now()))
    fit = finished.fit or TrialResult(status="done", provenance=result.provenance)
    if not rest and result.status != "interrupted":
        unsized = f"its size is not known: {result.status} after the last evaluation: {result.reason}"
        fit = replace(fit, warnings=[*fit.warnings, one_line(unsized)])
    cost = replace(fit.cost, peak_memory=result.cost.peak_memory, peak_device_memory=result.cost.peak_device_memory)
    return _record(planned, replace(fit, cost=cost), evaluations, begun)


def _record(
    planned: Planned,
    result: TrialResult,
    evaluations: Sequence[Evaluation],
    begun: str,
    signal_name: str | None = None,
) -> Trial:
    spec, stored = planned.spec, planned.stored
    provenance = {**result.provenance, "started": begun, "ended": now(), "resumed": result.resumed}
    if planned.action == "evaluate" and stored and not any(one.finished for one in evaluations):
        # Nothing was computed: all numbers are from the process that is recorded.
        provenance = stored.provenance
    return Trial(
        **spec.request(),
        benchmark=spec.benchmark,
        budget=spec.budget,
        precision=spec.precision,
        seed=spec.seed,
        identity=spec.identity(),
        hash=spec.hash,
        status=result.status,
        reason=result.reason,
        traceback=result.traceback,
        signal=signal_name,
        warnings=result.warnings,
        evaluations=list(evaluations),
        cost=_with_evaluations(result.cost, evaluations),
        provenance=provenance,
        requested=begun,
    )


def _with_evaluations(cost: Cost, evaluations: Sequence[Evaluation]) -> Cost:
    return replace(cost, evaluation_seconds=sum(one.seconds for one in evaluations)) if evaluations else cost
