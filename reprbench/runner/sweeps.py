"""Sweeps of a request: their settings, the measurement that chooses one, and the seeds it is chosen on. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

from reprbench.benchmark import BenchmarkRow
from reprbench.errors import UserError
from reprbench.grammar import Alternatives, show_parameters
from reprbench.learner import Kind
from reprbench.runner.plan import ProtocolSpec, TrialSpec
from reprbench.runner.request import Request, settings_for
from reprbench.spec import Call
from reprbench.sweep import Distribution, Setting, Sweep, Tune
from reprbench.trial import Deviation, SweepRecord


@dataclass(frozen=True)
class Variant:
    """A row of a benchmark with one value for each parameter.

    Attributes
    ----------
    origin : the row as it was requested.
    row : the same with one setting of what it tunes.
    deviations : of the row from the benchmark's file.
    offered : what ``--set`` gives to its method if that has such parameters, one value each.
    swept : by parameter, what ``--set`` gives several values.
    setting : the values here of what is swept.
    """

    origin: BenchmarkRow
    row: BenchmarkRow
    deviations: tuple[Deviation, ...]
    offered: Mapping[str, Any]
    swept: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    setting: Setting = field(default_factory=dict)


def variants(request: Request) -> list[list[Variant]]:
    """Return, for each row of the request, one variant for each combination of what may be swept."""
    rows = zip(request.benchmark.methods, request.deviations, strict=True)
    return [list(_variants(row, deviations, request)) for row, deviations in rows]


def _variants(row: BenchmarkRow, deviations: tuple[Deviation, ...], request: Request) -> Iterator[Variant]:
    settings = settings_for(row.method.name, request.settings)
    swept = {name: value.values for name, value in settings.items() if isinstance(value, Alternatives)}
    fixed = {name: value for name, value in settings.items() if name not in swept}
    tuned = row.tune.settings(f"{request.benchmark.name}/{row.name}") if row.tune else [{}]
    for own, values in product(tuned, product(*swept.values())):
        given = dict(zip(swept, values, strict=True))
        method = row.method.with_parameters(**own)
        single = row.model_copy(update={"method": method, "tune": None})
        yield Variant(row, single, deviations, {**fixed, **given}, swept, {**own, **given})


def swept_by(variant: Variant, applied: Sequence[str]) -> Sweep | None:
    """Return what is swept of the variant's row, if its method has the `applied` ones of the parameters offered."""
    tune = variant.origin.tune
    own = {name: values for name, values in (tune.parameters if tune else {}).items() if name not in applied}
    given = {name: values for name, values in variant.swept.items() if name in applied}
    if not (own or given):
        return None
    fixed = {name: variant.offered[name] for name in applied if name not in given}
    parameters = {**variant.origin.method.parameters, **fixed}
    call = Call(
        name=variant.row.method.name, parameters={key: one for key, one in parameters.items() if key not in given}
    )
    asked = Tune.model_construct(parameters={**own, **given}) if tune is None else tune
    return Sweep(call, asked.model_copy(update={"parameters": {**own, **given}}))


@dataclass(frozen=True)
class Criterion:
    """The measurement that chooses a setting: its metric, its protocol, and whether that is of development images."""

    by: str
    protocol: ProtocolSpec
    development: bool


def criterion(name: str, by: str | None, kind: Kind, protocols: Sequence[ProtocolSpec], dataset: Call) -> Criterion:
    """Return what chooses the setting of the row called `name`.

    That is a metric that a protocol measures without the test split; or a headline, if the test split are development
    images. All features of a supervised learner have seen the labels, so nothing inside the training images chooses.

    Raises
    ------
    UserError
        In one line, if there is no such measurement, or none of the metric `by`.
    """
    developing = dataset.parameters.get("development") is not None
    inside = [Criterion(metric, one, False) for one in protocols for metric in one.selects if kind != "supervised"]
    beside = [Criterion(metric, one, True) for one in protocols for metric in one.headlines if developing]
    offers = [*inside, *beside]
    found = next((one for one in offers if by in (None, one.by)), None)
    if found is None:
        raise UserError(f"sweep of {name!r}: {_refusal(by, [one.by for one in offers], dataset, developing)}")
    return found


def _refusal(by: str | None, known: Sequence[str], dataset: Call, developing: bool) -> str:
    remedies = [f"choose by {' or '.join(dict.fromkeys(known))}"] if known else []
    if developing:
        return f"{by!r} is no headline of its protocols; {', '.join(remedies)}"
    example = dataset.with_parameters(development=1000)
    remedies.append(f"test on development images, like --dataset {str(example)!r}")
    what = "nothing is measured" if by is None else f"{by!r} is not measured"
    return f"{what} without the test split, by which a setting could be chosen; {', or '.join(remedies)}"


def sweep_records(
    sweep: Sweep, row: BenchmarkRow, found: Criterion, seeds: Sequence[int], settings: Sequence[tuple[Setting, Call]]
) -> list[SweepRecord]:
    """Return what the trials of each setting record of the sweep.

    Parameters
    ----------
    settings : those of the sweep, and the calls of the method with them.
    """
    chosen_on = tuple(seeds[: max(1, len(seeds) // 2)])
    return [
        SweepRecord(
            row=row.label or str(sweep),
            name=f"{row.label}[{show_parameters(setting)}]" if row.label else str(call),
            setting=setting,
            parameters={name: _plain(values) for name, values in sweep.tune.parameters.items()},
            tries=len(settings),
            by=found.by,
            protocol=found.protocol.record.hash,
            on="development images" if found.development else "training images",
            chosen_on=chosen_on,
            reported_on=tuple(seeds[len(chosen_on) :]) or chosen_on,
        )
        for setting, call in settings
    ]


def _plain(values: tuple[Any, ...] | Distribution) -> Any:
    return asdict(values) if isinstance(values, Distribution) else list(values)


def together(first: TrialSpec, other: TrialSpec) -> TrialSpec:
    """Return the one trial of two specs of the same fit: named after the one that is a row of its own, if one is."""
    own, setting = (other, first) if first.only_setting else (first, other)
    keys = {sweep.key for sweep in own.sweeps}
    more = tuple(sweep for sweep in setting.sweeps if sweep.key not in keys)
    return replace(own, sweeps=(*own.sweeps, *more))


def sweep_lines(specs: Sequence[TrialSpec]) -> list[str]:
    """Return a line for each sweep: how many settings and trials it has, and how one setting is chosen."""
    trials: dict[str, list[SweepRecord]] = {}
    for spec in specs:
        for sweep in spec.sweeps:
            trials.setdefault(sweep.key, []).append(sweep)
    return [_line(found[0], len(found)) for found in trials.values()]


def _line(sweep: SweepRecord, trials: int) -> str:
    return f"sweep of {sweep.row}: {sweep.tries} settings, {trials} trials; one is chosen {sweep.how}"
