"""Merges two records of one trial, those of two runs: nothing finished is ever replaced by less. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import convert
from msgspec.structs import replace

from reprbench.evaluation import FINISHED, Evaluation
from reprbench.trial import Cost, ProtocolRecord, SweepRecord, Trial, to_json

PEAKS = ("peak_memory", "peak_device_memory")


def merged(stored: Trial, new: Trial) -> Trial:
    """Return one record of a trial from the stored one and a new one.

    What the request says is that of the last request, what the fit says that of the last fit that is done, and each
    evaluation is the last one that is finished.
    """
    asked, before = (new, stored) if new.requested >= stored.requested else (stored, new)
    fit = fit_of(stored, new)
    evaluations = merged_evaluations(stored.evaluations, new.evaluations)
    return replace(
        fit,
        label=asked.label,
        method=asked.method,
        dataset=asked.dataset,
        protocols=_protocols(asked.protocols, before.protocols, evaluations),
        sweeps=_all_sweeps(before.sweeps, asked.sweeps),
        # What was once asked for as a row of its own stays one.
        only_setting=asked.only_setting and before.only_setting,
        deviations=asked.deviations,
        reference=asked.reference,
        title=asked.title,
        group=asked.group,
        requested=asked.requested,
        evaluations=evaluations,
        cost=_cost(fit.cost, (stored if fit is new else new).cost, evaluations),
        changed_by_hand=stored.changed_by_hand or new.changed_by_hand,
    )


def _all_sweeps(before: Sequence[SweepRecord], asked: Sequence[SweepRecord]) -> list[SweepRecord]:
    """Return the sweeps that a trial is a setting of, those that were asked for last at the end."""
    keys = {sweep.key for sweep in asked}
    return [*(sweep for sweep in before if sweep.key not in keys), *asked]


def fit_of(stored: Trial, new: Trial) -> Trial:
    """Return the record whose fit counts: one that is done, and of two such the later one.

    A run that only tried to evaluate, and computed nothing, has the times of the stored one, which stays. The fits of a
    supervised learner are those that its evaluations need: the record of more of them counts.
    """

    def rank(trial: Trial) -> tuple[bool, int, str]:
        fitted = trial.cost.images_seen or 0 if trial.method.kind == "supervised" else 0
        return trial.status in FINISHED, fitted, trial.ended

    return new if rank(new) > rank(stored) else stored


def merged_evaluations(stored: Sequence[Evaluation], new: Sequence[Evaluation]) -> list[Evaluation]:
    """Return the evaluations that count, in the order in which they ended.

    Of several with the same hash that is a finished one before one that failed, then the later one. An evaluation with
    other code gives way to a later one, too, unless it is finished and the later one is not.
    """
    by_hash = {one.hash: one for one in sorted([*stored, *new], key=lambda one: (one.finished, one.ended))}
    ordered = sorted(by_hash.values(), key=lambda one: one.ended)
    later = {one.hash: ordered[place + 1 :] for place, one in enumerate(ordered)}
    return [one for one in ordered if not any(_replaces(other, one) for other in later[one.hash])]


def _replaces(later: Evaluation, earlier: Evaluation) -> bool:
    """Return whether a later evaluation makes an earlier one, with other code, superfluous."""
    if later.call != earlier.call:
        return False
    # Defaults may have changed with the code; then the earlier one answers another question.
    return later.finished and later.parameters == earlier.parameters if earlier.finished else True


def _protocols(
    asked: Sequence[ProtocolRecord], before: Sequence[ProtocolRecord], evaluations: Sequence[Evaluation]
) -> list[ProtocolRecord]:
    """Return the protocols to record: those last requested, and earlier ones of which there is a record."""
    there = {one.hash for one in evaluations} - {one.hash for one in asked}
    return [*asked, *(one for one in before if one.hash in there)]


def _cost(fit: Cost, other: Cost, evaluations: Sequence[Evaluation]) -> Cost:
    """Return what is known of the cost: that of the `fit` that counts before the `other`, and the higher peaks."""
    known = {**_known(other), **_known(fit)}
    for name in PEAKS:
        peaks = [cost[name] for cost in (_known(fit), _known(other)) if name in cost]
        known |= {name: max(peaks)} if peaks else {}
    if evaluations:
        known["evaluation_seconds"] = sum(one.seconds for one in evaluations)
    return convert(known, Cost)


def _known(cost: Cost) -> dict[str, float]:
    return {name: value for name, value in to_json(cost).items() if value is not None}
