"""The far side of executors: runs one trial on the machine that it was sent to, and yields what it writes."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
from msgspec.structs import replace

import reprbench
from reprbench import cache_folder
from reprbench.data.locate import data_dirs
from reprbench.errors import UserError, system_reason
from reprbench.files import open_regular
from reprbench.registry import Entry
from reprbench.runner.devices import choose_devices
from reprbench.runner.job import (
    ENDED,
    FIT,
    LOG,
    PROGRESS,
    Ended,
    Job,
    ProtocolJob,
    TrialResult,
    converted,
    evaluation_path,
)
from reprbench.runner.process import TrialProcess
from reprbench.runner.received import RESULT_BYTES, Progress, stored_files
from reprbench.runner.working_folder import WorkingFolder, remove_abandoned
from reprbench.source import code_files
from reprbench.texts import reason
from reprbench.trial import to_json

LOOK_SECONDS = 0.5
"""How often to look at what the trial has written."""

Files = dict[str, bytes]
"""The content of files by their paths in the trial's folder."""


# -- what is sent -----------------------------------------------------------------------------------------------------


class Order(msgspec.Struct, kw_only=True):
    """What is sent to a machine: a job, its limits, plugin files, and the version of reprbench that made it.

    Names of files in the job that are not absolute are below `folder`, where the machine has that.
    """

    job: Job
    timeout: float | None
    memory: int | None
    code: dict[str, bytes] = {}
    """The content, by absolute paths, of the plugin files that the job needs, and of what these import there."""
    folder: Path = msgspec.field(default_factory=Path.cwd)
    version: str = reprbench.__version__


def ordered(
    job: Job, timeout: float | None, memory: int | None, device: str, threads: int, with_code: bool = False
) -> bytes:
    """Return as JSON the order to run a job elsewhere.

    Parameters
    ----------
    timeout, memory : the most seconds and bytes that it may take.
    device : ``cpu``, or ``cuda`` for the first that the trial's machine has to offer.
    threads : CPU threads.
    with_code : whether plugin files travel with it, since its machine may see none of the disks here.
    """
    folders = [folder.absolute() for folder in job.data_dirs]
    job = replace(job, device=device, threads=threads, data_dirs=folders, sent=True)
    order = Order(job=job, timeout=timeout, memory=memory, code=_code(job) if with_code else {})
    # In ASCII, since names of files need not be UTF-8.
    return json.dumps(to_json(order), allow_nan=False).encode()


def decoded(content: bytes) -> Order:
    """Return the order that `ordered` wrote; raise a `UserError` if another version of reprbench did."""
    found = json.loads(content)
    if found["version"] != reprbench.__version__:
        here = f"it has reprbench {reprbench.__version__}, the run {found['version']}"
        raise UserError(f"{here}; install the same on all machines")
    return msgspec.convert(found, Order, dec_hook=converted)


def _code(job: Job) -> dict[str, bytes]:
    others = [other.entry for one in job.protocols for other in one.others]
    entries = [job.entry, job.dataset_entry, *(one.entry for one in job.protocols), *others]
    try:
        paths = {path for entry in entries if entry.way == "file" for path in code_files(entry.file())}
        return {str(path): path.read_bytes() for path in sorted(paths)}
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read: {system_reason(error)}") from None


# -- where it runs ----------------------------------------------------------------------------------------------------


def looks(content: bytes) -> Generator[Files]:
    """Run the trial of an order in a process of its own; yield, again and again, the new files, which may be none.

    The last has ``ended.json``. Closing the iterator ends the trial.
    """
    with ExitStack() as opened:
        try:
            remove_abandoned()
            order = decoded(content)
            process = _started(order, opened)
        except (OSError, UserError, ValueError) as error:
            why = f"{platform.node()}: could not be started: {reason(error)}"
            yield _ended(TrialResult(status="failed", reason=why), None)
            return
        opened.enter_context(closing(process))
        written = Written(process.path, order.job.protocols)
        while not process.ended():
            yield _progress(process.messages()) | written.new()
            time.sleep(LOOK_SECONDS)
        result, signal_name = process.result()
        # Files that were being written in the last look are complete now.
        last = written.new()
        result.warnings = [*result.warnings, *written.warnings]
        yield last | _log(process) | _ended(result, signal_name)


def _started(order: Order, opened: ExitStack) -> TrialProcess:
    """Return the process of a trial, started in the run's folder if this machine has that."""
    job = _here(order, opened)
    with ExitStack() as inside:
        with contextlib.suppress(OSError):
            inside.enter_context(contextlib.chdir(order.folder))
        return TrialProcess(job, order.timeout, order.memory)


def _here(order: Order, opened: ExitStack) -> Job:
    """Return the job with what this machine decides: its device, and where its data and plugin files are."""
    job = order.job
    cache_folder.make(job.cache)
    try:
        device = choose_devices(job.device)[0]
    except UserError as error:
        raise UserError(f"its executor gives it a GPU (`resources: gpus`), and none can be used: {error}") from None
    job = replace(job, device=device, data_dirs=list(dict.fromkeys([*data_dirs(None), *job.data_dirs])))
    if all(_is(Path(path), content) for path, content in order.code.items()):
        return job  # also with what a plugin reads that is no code
    folder = WorkingFolder()
    opened.callback(folder.close)
    return _moved(job, _written_below(folder.path, order.code))


def _is(path: Path, content: bytes) -> bool:
    with contextlib.suppress(OSError, ValueError), open_regular(path) as file:
        return file.read(len(content) + 1) == content
    return False


def _written_below(folder: Path, code: dict[str, bytes]) -> Callable[[Entry], Entry]:
    """Write plugin files as they lay to each other; return what makes an entry that of the file here."""

    def below(path: str) -> Path:
        return folder / os.path.relpath(path, "/")

    for path, content in code.items():
        below(path).parent.mkdir(parents=True, exist_ok=True)
        below(path).write_bytes(content)

    def moved(entry: Entry) -> Entry:
        return Entry(entry.name, entry.way, str(below(entry.target)), entry.kind) if entry.way == "file" else entry

    return moved


def _moved(job: Job, moved: Callable[[Entry], Entry]) -> Job:
    def with_others(one: ProtocolJob) -> ProtocolJob:
        others = tuple(replace(other, entry=moved(other.entry)) for other in one.others)
        return replace(one, entry=moved(one.entry), others=others)

    protocols = [with_others(one) for one in job.protocols]
    return replace(job, entry=moved(job.entry), dataset_entry=moved(job.dataset_entry), protocols=protocols)


def _progress(messages: list[Progress]) -> Files:
    return {PROGRESS: msgspec.json.encode(messages[-1])} if messages else {}


def _log(process: TrialProcess) -> Files:
    path = process.files().get(LOG)
    return {LOG: path.read_bytes()} if path else {}


def _ended(result: TrialResult, signal_name: str | None) -> Files:
    return {ENDED: msgspec.json.encode(to_json(Ended(result, signal_name)))}


class Written:
    """What a trial writes.

    Attributes
    ----------
    warnings : about what cannot be sent.
    """

    def __init__(self, folder: Path, protocols: Sequence[ProtocolJob]) -> None:
        self.warnings: list[str] = []
        self._folder, self._protocols = folder, protocols
        self._seen: dict[Path, tuple[int, int]] = {}

    def new(self) -> Files:
        """Return the files that have changed: an evaluation comes after the figures and the fit that belong to it."""
        # In the other order, figures could be written between the two looks.
        evaluations = self._read([evaluation_path(self._folder, one) for one in self._protocols])
        others = self._read([*stored_files(self._folder).values()])
        for name in [name for name, content in others.items() if len(content) > RESULT_BYTES]:
            del others[name]
            self.warnings.append(f"{name} has more than {RESULT_BYTES // 2**20} MB and stayed on {platform.node()}")
        return others | self._read([self._folder / FIT]) | evaluations

    def _read(self, paths: Sequence[Path]) -> Files:
        files: Files = {}
        for path in paths:
            # What cannot be read counts as not written: the driver says what is missing.
            with contextlib.suppress(OSError, ValueError), open_regular(path) as file:
                found = os.fstat(file.fileno())
                state = found.st_mtime_ns, found.st_size
                if self._seen.get(path) != state:
                    files[str(path.relative_to(self._folder))] = file.read(RESULT_BYTES + 1)
                    self._seen[path] = state
        return files
