"""A run, from what the user says to the table: the command line and `reprbench.run` both go through here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from reprbench.api.tracking import tracked
from reprbench.benchmark import DEFAULT_PROTOCOLS, Benchmark, find_benchmark, row_of
from reprbench.cache_folder import CACHE, prepare
from reprbench.data.catalog import load_dataset
from reprbench.data.locate import data_dirs, expanded
from reprbench.errors import UserError
from reprbench.registry import Registry, discover
from reprbench.run_context import checkpoint_seconds
from reprbench.runner.descriptions import SECONDS_EACH
from reprbench.runner.devices import CPU, choose_devices
from reprbench.runner.estimate import Remaining, estimate
from reprbench.runner.executors.base import Executor
from reprbench.runner.executors.choose import check_device, make_executor
from reprbench.runner.executors.settings import ExecutorSettings, read_settings
from reprbench.runner.launch import launcher
from reprbench.runner.limits import Limits
from reprbench.runner.plan import Planned, TrialSpec, plan
from reprbench.runner.process import trial_environment
from reprbench.runner.request import Overrides, Request, apply
from reprbench.runner.schedule import Folders, Listener, Schedule
from reprbench.runner.specs import check_entries, make_specs
from reprbench.runner.waiting import held_by_others
from reprbench.spec import Budget, Call
from reprbench.store import Store
from reprbench.trackers.base import Tracker
from reprbench.trackers.choose import make_trackers
from reprbench.trial import ADHOC

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.owner import Owner
    from reprbench.report.table import Table
    from reprbench.runner.estimate import Estimate
    from reprbench.trial import Trial

DEFAULT_EPOCHS = 10


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a user asks of a run.

    Attributes
    ----------
    benchmark : its name or file; None for an ad hoc one of the methods in `overrides`.
    overrides : what differs from the benchmark.
    plugins : files with methods, protocols and datasets of the user's own.
    data_dir : where datasets are searched first.
    store, cache : the folders of trials and of what can be made anew.
    jobs, jobs_per_device, timeout, memory, device : see `Limits`, and `choose_devices`.
    executor : what runs the trials, or the file that says so.
    debug : whether the only trial to run runs in this process.
    log_to : trackers, or names of trackers, that are told what happens.
    """

    overrides: Overrides = field(default_factory=Overrides)
    benchmark: str | None = None
    plugins: tuple[Path, ...] = ()
    data_dir: Path | None = None
    store: Path = Path("results")
    cache: Path = CACHE
    jobs: int | None = None
    jobs_per_device: int = 1
    timeout: float | None = None
    memory: int | None = None
    device: str = "auto"
    executor: str = "local"
    debug: bool = False
    log_to: tuple[str | Tracker, ...] = ()


@dataclass(frozen=True)
class RunEnd:
    """How a run ended.

    Attributes
    ----------
    trials : those that were asked for, in the order of the store, whether they ran now or before.
    failures : of those that ran now, the ones that failed in something that was asked for.
    interrupted : whether a signal ended the run.
    sweeps : the keys of the sweeps that were asked for.
    """

    trials: tuple[Trial, ...]
    failures: tuple[Trial, ...]
    interrupted: bool
    sweeps: frozenset[str] = frozenset()

    @property
    def failed(self) -> bool:
        """Whether something failed."""
        return bool(self.failures)

    @property
    def tables(self) -> list[Table]:
        """The tables of its trials."""
        from reprbench.report.table import make_tables  # takes a while, in which trials could be running

        # A trial may also be a setting of a sweep that was asked for by an earlier run.
        asked = [[sweep for sweep in trial.sweeps if sweep.key in self.sweeps] for trial in self.trials]
        return make_tables(replace(trial, sweeps=own) for trial, own in zip(self.trials, asked, strict=True))


@dataclass(frozen=True)
class PreparedRun:
    """A run that is planned and checked, and has not begun.

    Attributes
    ----------
    work : what is to be done for every trial.
    store : where trials are written.
    limits : of this machine.
    debug : whether the only trial to run runs in this process.
    """

    work: list[Planned]
    store: Store
    limits: Limits
    _settings: ExecutorSettings
    _device: str
    _folders: Folders
    _trackers: Sequence[tuple[str, Tracker]] = ()
    debug: bool = False
    _earlier: Sequence[Trial] = ()

    @property
    def to_run(self) -> list[Planned]:
        """The trials that a process has to run for."""
        return [planned for planned in self.work if planned.runs]

    def owners(self) -> list[Owner | None]:
        """Return who else is running each trial of the work now."""
        cache = self._folders.cache
        return [held_by_others(one, self.store, cache) if one.runs else None for one in self.work]

    def estimate(self) -> Estimate:
        """Return how long the trials to run will take, as far as the store tells."""
        return estimate(self.work, self._earlier)

    def lines(self) -> list[dict[str, Any]]:
        """Return what is to be done for every trial, and why, as shown by ``--plan``."""
        return [
            {
                "label": one.spec.label,
                "seed": one.spec.seed,
                "budget": str(one.spec.budget),
                "action": "wait" if owner else one.action,
                "reason": f"running on {owner}" if owner else one.reason,
                "hash": one.spec.hash,
                "protocols": ", ".join(str(protocol.record.call) for protocol in one.missing),
            }
            for one, owner in zip(self.work, self.owners(), strict=True)
        ]

    def remaining(self) -> Remaining:
        """Return what says, in the course of the run, how long the rest of it takes."""
        submitted = self.limits.jobs or len(self.to_run)
        at_once = self.limits.at_once if self._settings.executor == "local" else submitted
        return Remaining(self.to_run, self._earlier, max(1, at_once))

    def check(self) -> None:
        """Make the cache and the store; raise a `UserError` if one of them cannot be written."""
        prepare(self._folders.cache)
        self.store.check_writable()

    def execute(self, listener: Listener) -> RunEnd:
        """Run what is to be run, and store it; the listener is told what happens."""
        with (
            contextlib.closing(self._executor()) as own,
            tracked(self._trackers, self.store.root, own, listener) as (executor, listens),
        ):
            # A job of Slurm claims its fit itself: it may outlive this process.
            claim_fits = self._settings.executor != "slurm"
            schedule = Schedule(self.store, self._folders, executor, listens, claim_fits)
            ended = schedule.run(self.work)
        # A row may have protocols of its own: what failed of others, once, is not what this run asked for.
        wanted = {planned.spec.hash: planned.hashes for planned in self.work}
        failures = tuple(trial for trial in ended if trial.failure(wanted[trial.hash]))
        sweeps = frozenset(sweep.key for planned in self.work for sweep in planned.spec.sweeps)
        return RunEnd(tuple(self._all(ended)), failures, schedule.interrupted, sweeps)

    def _executor(self) -> Executor:
        if self.debug:
            from reprbench.runner.executors.debug import DebugExecutor  # imports what trials do

            return DebugExecutor(self.limits)
        # With nothing to run, no cluster is needed.
        settings = self._settings if self.to_run else ExecutorSettings(executor="local")
        return make_executor(settings, self.limits, self._device, self._folders.cache)

    def _all(self, ended: list[Trial]) -> list[Trial]:
        """Return the trials of the whole request, also those that did not run now."""
        asked = {(planned.spec.benchmark, planned.spec.hash) for planned in self.work}
        just_run = {trial.hash for trial in ended}
        kept = [one for one in self.store.read()[0] if (one.benchmark, one.hash) in asked and one.hash not in just_run]
        # In the order of the store: which trials another run has run makes no difference.
        return sorted([*kept, *ended], key=lambda trial: trial.folder.split("/"))


def prepare_run(options: RunOptions, warn: Callable[[str], None]) -> PreparedRun:
    """Check what the user asks for, and plan it; nothing runs, and nothing is written.

    Parameters
    ----------
    warn : is called with a line for the user.

    Raises
    ------
    UserError
        If something is wrong with the request.
    """
    checkpoint_seconds()
    store, data = Store(options.store), data_dirs(options.data_dir)
    settings = read_settings(options.executor)
    if options.debug:
        _check_debug(options, settings)
    check_device(settings, options.device)
    trackers = make_trackers(options.log_to)
    devices = choose_devices(options.device, warn=warn) if settings.executor == "local" else CPU
    limits = Limits(options.jobs, options.timeout, options.memory, devices, options.jobs_per_device)
    _say_if_fewer(limits, warn)
    launcher.prepare(trial_environment(limits.threads_each))
    folders = Folders(data, options.cache.resolve())
    specs = requested_specs(options, discover(options.plugins), folders, limits)
    earlier, problems = store.read()
    unused = settings.unused_rows({name for spec in specs for name in (spec.label, spec.method.name)})
    for problem in [*problems, *(f"--executor {options.executor}: {line}" for line in unused)]:
        warn(problem)
    work = plan(specs, earlier)
    prepared = PreparedRun(work, store, limits, settings, options.device, folders, trackers, options.debug, earlier)
    if options.debug and len(prepared.to_run) > 1:
        many = f"--debug runs one trial, and {len(prepared.to_run)} are to be run"
        raise UserError(f"{many}; name one method, with one value of each parameter, and one seed")
    return prepared


def _check_debug(options: RunOptions, settings: ExecutorSettings) -> None:
    """Raise a `UserError` if something is asked for that this process cannot do for its own trial."""
    given = {"executor": settings.executor != "local", "timeout": options.timeout, "memory": options.memory}
    if wrong := [f"--{name}" for name, value in given.items() if value]:
        raise UserError(f"--debug runs the trial in this process, without limits; leave out {' and '.join(wrong)}")


def _say_if_fewer(limits: Limits, warn: Callable[[str], None]) -> None:
    """Warn if fewer trials run at the same time than ``--jobs`` says."""
    if limits.jobs is not None and limits.at_once < limits.jobs:
        count = len(limits.devices)
        warn(
            f"--jobs {limits.jobs}: only {limits.at_once} at the same time, "
            f"{limits.jobs_per_device} on each of {count} CUDA device{'s' if count > 1 else ''}; "
            f"--jobs-per-device {-(-limits.jobs // count)} lets them share"
        )


def requested_specs(options: RunOptions, registry: Registry, folders: Folders, limits: Limits) -> list[TrialSpec]:
    """Return every trial of the request.

    Parameters
    ----------
    limits : of the trials, whose methods may take as much to import and build, and always a minute.
    """
    name = options.benchmark
    request = apply(find_benchmark(name), options.overrides) if name is not None else _adhoc(options.overrides)
    # Cheap mistakes first: reading data can take a while.
    check_entries(request.benchmark, registry)
    seconds = max(limits.timeout or 0, SECONDS_EACH)
    limit = request.benchmark.limit

    def load(call: Call) -> Dataset:
        return _load(call, registry, folders, options.data_dir).limited(limit)

    return make_specs(request, registry, load(request.benchmark.dataset), seconds, limits.memory, load)


def _adhoc(overrides: Overrides) -> Request:
    """Return an ad hoc benchmark of the methods; dataset, protocols, budget and seeds are its own, not deviations."""
    if not overrides.methods:
        raise UserError("nothing to run: name methods or a benchmark")
    benchmark = Benchmark(
        name=ADHOC,
        title=ADHOC,
        dataset=overrides.dataset or Call(name="digits"),
        protocols=overrides.protocols or DEFAULT_PROTOCOLS,
        methods=tuple(map(row_of, dict.fromkeys(overrides.methods))),
        budget=Budget(epochs=overrides.epochs or DEFAULT_EPOCHS),
        seeds=overrides.seeds or (0,),
    )
    rest = Overrides(limit=overrides.limit, precision=overrides.precision, settings=overrides.settings)
    return apply(benchmark, rest)


def _load(call: Call, registry: Registry, folders: Folders, data_dir: Path | None) -> Dataset:
    entry = registry.find("dataset", call.name)
    named = data_dir and expanded(data_dir)
    return load_dataset(entry, call.parameters, data_dirs=folders.data, cache_dir=folders.cache, named=named)
