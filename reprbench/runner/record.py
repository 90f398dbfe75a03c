"""What a run records: the request, the result of a trial's process, and what the store already has of the trial."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import msgspec

from reprbench.runner.job import HISTORY, TrialResult
from reprbench.runner.plan import Planned, TrialSpec, protocol_records
from reprbench.store import Store
from reprbench.trial import Evaluation, Trial, to_json


def record(planned: Planned, result: TrialResult, signal_name: str | None, begun: str) -> Trial:
    """Combine the request, the result, and the stored evaluations of the same fit."""
    spec = planned.spec
    kept = _kept_evaluations(planned, result.evaluations)
    cost = result.cost
    if planned.action == "evaluate" and planned.stored is not None:
        # A failed evaluation does not invalidate the fit and earlier evaluations.
        newer = {name: value for name, value in to_json(result.cost).items() if value is not None}
        cost = msgspec.structs.replace(planned.stored.cost, **newer)
        cost.evaluation_seconds = sum(evaluation.seconds for evaluation in kept)
    return Trial(
        benchmark=spec.benchmark,
        label=spec.label,
        method=spec.method,
        dataset=spec.dataset,
        budget=spec.budget,
        precision=spec.precision,
        seed=spec.seed,
        identity=spec.identity(),
        hash=spec.hash,
        status=result.status,
        reason=result.reason,
        traceback=result.traceback,
        signal=signal_name,
        protocols=protocol_records(spec, planned.stored, kept),
        deviations=list(spec.deviations),
        warnings=result.warnings,
        reference=spec.reference,
        evaluations=kept,
        cost=cost,
        provenance={**result.provenance, "started": begun, "ended": now(), "resumed": result.resumed},
        requested=begun,
    )


def requested_anew(spec: TrialSpec, stored: Trial) -> Trial:
    """Return the stored trial with everything that the request says about it, and the results that it has."""
    return msgspec.structs.replace(
        stored,
        label=spec.label,
        method=spec.method,
        dataset=spec.dataset,
        protocols=protocol_records(spec, stored, stored.evaluations),
        deviations=list(spec.deviations),
        reference=spec.reference,
        requested=now(),
    )


def _kept_evaluations(planned: Planned, found: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the new evaluations, and those stored ones that they do not replace (as older versions of the same)."""
    stored = planned.stored.evaluations if planned.stored else []
    return [*(one for one in stored if not any(_replaces(new, one) for new in found)), *found]


def _replaces(new: Evaluation, old: Evaluation) -> bool:
    return (new.call.name, new.parameters) == (old.call.name, old.parameters)


def kept_files(store: Store, trial: Trial) -> dict[str, Path]:
    """Return the files of this trial in the store that still belong to it."""
    folder = store.root / trial.folder
    names = [HISTORY, *(figure.file for evaluation in trial.evaluations for figure in evaluation.figures)]
    return {name: folder / name for name in names if (folder / name).is_file()}


def now() -> str:
    """Return the time in ISO 8601, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
