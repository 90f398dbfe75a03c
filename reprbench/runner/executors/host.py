"""The far side of executors: runs one trial on the machine that it was sent to, and yields what it writes."""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

import reprbench
from reprbench.data.locate import data_dirs
from reprbench.errors import UserError
from reprbench.files import open_regular
from reprbench.runner.devices import choose_devices
from reprbench.runner.job import ENDED, FIT, PROGRESS, Ended, Job, ProtocolJob, TrialResult, converted, evaluation_path
from reprbench.runner.process import TrialProcess
from reprbench.runner.received import RESULT_BYTES, Progress, stored_files
from reprbench.trial import to_json

LOOK_SECONDS = 0.5
"""How often to look at what the trial has written."""

Files = dict[str, bytes]
"""The content of files by their paths in the trial's folder."""


class Order(msgspec.Struct, kw_only=True):
    """What is sent to a machine: a job, its limits, and the version of reprbench that made it."""

    job: Job
    timeout: float | None
    memory: int | None
    version: str = reprbench.__version__


def ordered(job: Job, timeout: float | None, memory: int | None, device: str, threads: int) -> bytes:
    """Return as JSON the order to run a job elsewhere.

    Parameters
    ----------
    timeout, memory : the most seconds and bytes that it may take.
    device : ``cpu``, or ``cuda`` for the first that the trial's machine has to offer.
    threads : CPU threads.
    """
    folders = [folder.absolute() for folder in job.data_dirs]
    order = Order(job=replace(job, device=device, threads=threads, data_dirs=folders), timeout=timeout, memory=memory)
    # In ASCII, since names of files need not be UTF-8.
    return json.dumps(to_json(order), allow_nan=False).encode()


def decoded(content: bytes) -> Order:
    """Return the order that `encoded` wrote."""
    return msgspec.convert(json.loads(content), Order, dec_hook=converted)


def looks(order: Order) -> Iterator[Files]:
    """Run a trial in a process of its own; yield, again and again, the files that are new, which may be none.

    The last has ``ended.json``. Closing the iterator ends the trial.
    """
    try:
        process = TrialProcess(_here(order), order.timeout, order.memory)
    except (OSError, UserError) as error:
        yield _ended(TrialResult(status="failed", reason=f"{platform.node()}: could not be started: {error}"), None)
        return
    seen: dict[Path, tuple[int, int]] = {}
    try:
        while not process.ended():
            files = _progress(process.messages())
            yield files | _new(process.path, order.job.protocols, seen)
            time.sleep(LOOK_SECONDS)
        result, signal_name = process.result()
        # Files that were being written in the last look are complete now.
        yield _new(process.path, order.job.protocols, seen) | _ended(result, signal_name)
    finally:
        process.close()


def _here(order: Order) -> Job:
    """Return the job with what this machine decides: its device, and where its data are."""
    if order.version != reprbench.__version__:
        raise UserError(f"it has reprbench {reprbench.__version__}, the run {order.version}; install the same")
    job = order.job
    device = choose_devices(job.device)[0]
    return replace(job, device=device, data_dirs=list(dict.fromkeys([*data_dirs(None), *job.data_dirs])))


def _progress(messages: list[Progress]) -> Files:
    return {PROGRESS: msgspec.json.encode(messages[-1])} if messages else {}


def _ended(result: TrialResult, signal_name: str | None) -> Files:
    return {ENDED: msgspec.json.encode(to_json(Ended(result, signal_name)))}


def _new(folder: Path, protocols: Sequence[ProtocolJob], seen: dict[Path, tuple[int, int]]) -> Files:
    """Return the files that have changed: an evaluation comes after the figures and the fit that belong to it."""
    paths = [*stored_files(folder).values(), folder / FIT]
    paths += [evaluation_path(folder, one) for one in protocols]
    files: Files = {}
    for path in paths:
        # What cannot be read counts as not written: the driver says what is missing.
        with contextlib.suppress(OSError, ValueError), open_regular(path) as file:
            state = path.stat().st_mtime_ns, path.stat().st_size
            if seen.get(path) != state:
                files[str(path.relative_to(folder))] = file.read(RESULT_BYTES + 1)
                seen[path] = state
    return files
