"""The process of one trial: fit, encode, evaluate, answer. Started by the schedule as ``python -m``."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import select
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from reprbench.errors import UserError
from reprbench.file_parameter import parameters_by_content
from reprbench.files import write_json
from reprbench.history_file import write_history
from reprbench.runner.failure import failure_of
from reprbench.runner.job import (
    FIT,
    HISTORY,
    JOB,
    PROVENANCE,
    RESULT,
    Job,
    TrialResult,
    evaluation_path,
    read_job,
)
from reprbench.runner.received import Progress, number
from reprbench.texts import described, one_line, warning_lines
from reprbench.trial import to_json

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.learner import Learner
    from reprbench.protocols.base import Protocol
    from reprbench.registry import Entry
    from reprbench.runner.fitting import Fits
    from reprbench.spec import Call

HISTORY_SECONDS = 10.0
"""How often the history of a fit is written while it runs."""

Report = Callable[[str, float, Mapping[str, float]], None]
"""Receives the current task, the share of it that is done, and the latest values."""


def execute(job: Job, folder: Path, report: Report) -> TrialResult:
    """Run one trial in this process; failures become the result's status and reason."""
    from reprbench.cache import collected_warnings
    from reprbench.runner.provenance import peak_memory, provenance

    result = TrialResult(status="failed")
    about_cache: list[str] = []
    try:
        _prepare_torch(job)
        result.provenance = {**provenance(job.device, job.packages), "trials_at_once": job.trials_at_once}
        # Written at once, in case the process is killed.
        write_json(folder / PROVENANCE, result.provenance)
        with collected_warnings(about_cache):
            _work(job, folder, report, result)
        result.status = "done"
    except BaseException as error:  # a method's failure is recorded, not raised: the other trials go on
        result.status, result.reason, result.traceback = failure_of(error)
    result.warnings = warning_lines([*result.warnings, *about_cache])
    result.cost.peak_memory, result.cost.peak_device_memory = peak_memory(job.device)
    return result


def _work(job: Job, folder: Path, report: Report, result: TrialResult) -> None:
    from reprbench.runner.evaluate import Evaluator
    from reprbench.runner.fitting import Fits

    dataset = _planned_data(job, job.dataset, job.dataset_entry, job.data_digest)
    wanted = {one.call: one for asked in job.protocols for one in asked.others}
    others = {call: _planned_data(job, call, one.entry, one.digest) for call, one in wanted.items()}
    cls = job.entry.load()
    protocols = [asked.entry.load().model_validate(asked.parameters) for asked in job.protocols]
    _check_unchanged(job, cls, protocols)
    fits = Fits(job, cls, dataset, lambda *what: progress(*what), result.provenance)
    progress = _writing_history(fits, folder, report)
    try:
        if cls.kind != "supervised":
            fits.ensure(None)
        evaluator = Evaluator(job, cls, dataset, protocols, fits, folder, report, others)
        for asked, protocol in zip(job.protocols, protocols, strict=True):
            _note(fits, folder, result)
            # Says to the parent that the fit is done; those of a supervised learner are made by its evaluations.
            write_json(folder / FIT, to_json(msgspec.structs.replace(result, status="done")))
            write_json(evaluation_path(folder, asked), to_json(evaluator.attempt(asked, protocol)))
    finally:
        _note(fits, folder, result)
    _count(fits, dataset, job.device, result)


def _planned_data(job: Job, call: Call, entry: Entry, digest: str) -> Dataset:
    """Return a dataset, limited as the job says; raise a `UserError` if it is another than when the run was planned."""
    from reprbench.data.catalog import load_dataset

    whole = load_dataset(entry, call.parameters, data_dirs=job.data_dirs, cache_dir=job.cache)
    dataset = whole.limited(job.limit)
    if dataset.digest != digest:
        raise _other_than_planned(job, f"the files of {dataset.title}")
    return dataset


def _writing_history(fits: Fits, folder: Path, report: Report) -> Report:
    """Return `report`, which now and then writes what is logged so far: trackers and killed trials have it then."""
    written = time.monotonic()

    def progress(what: str, share: float, values: Mapping[str, float]) -> None:
        nonlocal written
        report(what, share, values)
        if time.monotonic() - written >= HISTORY_SECONDS:
            with contextlib.suppress(OSError):
                write_history(folder / HISTORY, fits.history(), lasting=False)
            written = time.monotonic()

    return progress


def _note(fits: Fits, folder: Path, result: TrialResult) -> None:
    """Fill in what is known of the fits, and write their history."""
    write_history(folder / HISTORY, fits.history())
    result.resumed = fits.resumed
    if fits.provenance() != result.provenance:
        result.provenance = {**result.provenance, "fit": fits.provenance()}
    result.warnings = list(dict.fromkeys(w for note in fits.notes.values() for w in note["warnings"]))
    if fits.notes:
        result.cost.images_seen = int(fits.total("images_seen"))
        # Who counts no steps made some that are not known.
        result.cost.steps = int(fits.total("steps")) or None
        result.cost.fit_flops = int(fits.total("flops")) if result.cost.steps else None
        result.cost.fit_seconds = fits.total("seconds")


def _check_unchanged(job: Job, cls: type[Learner], protocols: Sequence[Protocol]) -> None:
    """Raise a `UserError` if code, or a file that a parameter names, is another than when the run was planned."""
    from reprbench.learner import parameters_model
    from reprbench.runner.describe import code_of
    from reprbench.runner.plan import digest, protocol_hash

    parameters = parameters_by_content(parameters_model(cls).model_validate(job.parameters))
    now = {**job.identity, "code": to_json(code_of(cls, job.entry)), "parameters": parameters}
    changed = [f"method {job.entry.name}"] if digest(now) != job.hash else []
    for asked, protocol in zip(job.protocols, protocols, strict=True):
        code = code_of(type(protocol), asked.entry)
        if protocol_hash(asked.call.name, code, parameters_by_content(protocol), asked.others) != asked.hash:
            changed.append(f"protocol {asked.call}")
    if changed:
        raise _other_than_planned(job, f"the code or a file of {' and '.join(changed)}")


def _other_than_planned(job: Job, what: str) -> UserError:
    """Return the mistake that something is not what the run was planned with."""
    if job.sent:
        there = f"{what} on {platform.node()} are not those that the run was planned with"
        return UserError(f"{there}; have the same on all machines, or run it again if they changed meanwhile")
    return UserError(f"{what} changed after the run was planned; run it again")


def _count(fits: Fits, dataset: Dataset, device: str, result: TrialResult) -> None:
    """Fill in the size of the fitted learner."""
    from reprbench.capabilities import Precomputed
    from reprbench.state import encode_flops, parameter_count

    if not fits.notes:
        return
    learner = fits.last()
    result.cost.parameters = parameter_count(learner)
    if not isinstance(learner, Precomputed):
        result.cost.encode_flops = encode_flops(learner, dataset.train.batch(slice(0, 1), device))


def _prepare_torch(job: Job) -> None:
    """Set threads and determinism, and make the job's device the one that "cuda" means."""
    import torch

    torch.set_num_threads(job.threads)
    # Determinism where the device supports it; elsewhere torch warns instead of raising.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    # float32 means full precision; bfloat16 has to be requested by name.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if job.device != "cpu":
        torch.cuda.init()  # type: ignore[no-untyped-call]
        torch.cuda.set_device(job.device)


class Reporter:
    """Sends the trial's progress to the parent, as lines of JSON, at most a few per second.

    A report is only shown: whatever is wrong with it, or with the pipe, it never ends the trial.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        # If the parent does not read, reports are lost instead of waiting for it.
        os.set_blocking(descriptor, False)
        self._last = ("", 0.0)

    def __call__(self, what: str, share: float, values: Mapping[str, float]) -> None:
        """Report the current task, the share of it that is done, and the latest values; no number, no value."""
        now, done = time.monotonic(), number(share) or 0.0
        what = what if isinstance(what, str) else type(what).__name__
        if what == self._last[0] and now - self._last[1] < 0.2 and done < 1:
            return
        self._last = (what, now)
        numbers = {one_line(name, 40): number(value) for name, value in list(values.items())[:20]}
        known = {name: value for name, value in numbers.items() if value is not None}
        self._send(Progress(one_line(what, 80), done, known))

    def unwritten(self, error: Exception) -> None:
        """Say why there will be no result."""
        self._send(Progress("", 1.0, problem=f"its result could not be written: {described(error)}"))

    def _send(self, message: Progress) -> None:
        line = msgspec.json.encode(message)
        # Writing at most PIPE_BUF bytes is atomic: a line is there as a whole or not at all.
        if len(line) < select.PIPE_BUF:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, line + b"\n")


def _leave() -> NoReturn:
    """End the process at once: the result stands, and threads or exit handlers of a plugin cannot keep it waiting."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a plugin may have closed or replaced it
            stream.flush()
    os._exit(0)


def _log_to_stderr() -> None:
    """Let what a plugin logs and warns of appear in the trial's log, with its time and level."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)


def main() -> None:
    """Execute the job in the folder named first, reporting to the file descriptor named second."""
    folder, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    report = Reporter(descriptor)
    _log_to_stderr()
    result = execute(read_job(folder / JOB), folder, report)
    try:
        write_json(folder / RESULT, to_json(result))
    except Exception as error:
        report.unwritten(error)
    _leave()


if __name__ == "__main__":
    main()
