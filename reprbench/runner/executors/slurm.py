"""Runs trials as jobs of Slurm, through submitit; the cache must be on a disk that all machines share.

Each job has a folder in the cache, in which appears what its trial writes. It is named by what the job computes, so
that the same command finds a job again that outlived the process that submitted it.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from reprbench.claims import Claims, owner_of
from reprbench.errors import UserError
from reprbench.files import make_ignored, replacing, write_text
from reprbench.runner.executors.host import decoded, looks, ordered
from reprbench.runner.executors.mirror import Mirror
from reprbench.runner.executors.settings import ExecutorSettings, Resources
from reprbench.runner.job import Job, TrialResult
from reprbench.runner.limits import Limits
from reprbench.runner.received import Progress, read_part
from reprbench.texts import reason
from reprbench.trial import Status

try:
    import submitit
    from submitit.helpers import DelayedSubmission
except ImportError:
    raise UserError("--executor slurm needs submitit; install it with: pip install 'reprbench[slurm]'") from None

ORDER, SUBMISSION, CLAIM = "order.json", "submission.json", "host.claim"
"""The files in the folder of a job besides those of its trial."""

STATE_SECONDS = 15.0
"""How often Slurm is asked for the states of the jobs."""

START_SECONDS = 120.0
"""How long a job may have ended, or seem to, before its trial counts as lost: a shared disk shows files late."""

TIMEOUT_MINUTES = 24 * 60
"""What Slurm gives a job, unless `slurm: timeout_min` says otherwise."""

_STATES: dict[str, tuple[Status, str]] = {
    "OUT_OF_MEMORY": ("out-of-memory", "it used more memory than Slurm gave it; see `resources: memory`"),
    "TIMEOUT": ("timeout", "it took longer than Slurm gave it; see `slurm: timeout_min`"),
    "DEADLINE": ("timeout", "it took longer than Slurm gave it"),
    "CANCELLED": ("interrupted", "its job was cancelled"),
    "PREEMPTED": ("interrupted", "its job was preempted, and not started again"),
    "NODE_FAIL": ("interrupted", "its machine failed, and its job was not started again"),
    "BOOT_FAIL": ("interrupted", "its machine failed, and its job was not started again"),
    "INTERRUPTED": ("interrupted", "its job was killed"),
}
"""What the states in which a job ends mean for its trial; that of any other is that it failed."""

_ALIVE = ["PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "RESIZING"]


class Submission(msgspec.Struct):
    """The content of ``submission.json``: the job that was submitted."""

    job: str


class SlurmTask:
    """What a job runs. Submitit keeps it, and its argument, the folder of the job, as a pickle."""

    def __call__(self, folder: Path) -> None:
        """Run the trial; what it writes appears in the folder."""
        mirror = Mirror(folder)
        with Claims(print) as claims:
            if mirror.ended() or claims.take(folder / CLAIM) is not None:
                return
            for files in looks(decoded((folder / ORDER).read_bytes())):
                mirror.put(files)

    def checkpoint(self, folder: Path) -> DelayedSubmission:
        """Let submitit put the job into the queue again when it is preempted: the fit goes on from its checkpoint."""
        return DelayedSubmission(self, folder)


class SlurmExecutor:
    """Submits trials as jobs, one for each.

    Parameters
    ----------
    limits : `jobs` is how many are submitted at the same time; None is all.
    device : ``auto``, ``cpu`` or ``cuda``.
    cache : the folder of the cache.

    Raises
    ------
    UserError
        If this machine submits no jobs to Slurm, or a parameter is wrong.
    """

    def __init__(self, settings: ExecutorSettings, limits: Limits, device: str, cache: Path) -> None:
        self._settings, self._limits, self._device = settings, limits, device
        self._folder = cache / "slurm"
        self._open: set[SlurmTrial] = set()
        try:
            make_ignored(self._folder)
            self._submitter({})
        except (RuntimeError, ValueError, NameError, TypeError, AssertionError) as error:
            raise UserError(f"--executor slurm: {reason(error)}") from None

    def has_room(self) -> bool:
        """Return whether fewer trials are submitted than ``--jobs`` says."""
        return self._limits.jobs is None or len(self._open) < self._limits.jobs

    def submit(self, job: Job) -> SlurmTrial:
        """Submit a trial, unless its job is there."""
        folder = self._folder / job.key[:32]
        found = self._found(folder, job)
        if found is None:
            resources = self._settings.resources_of(job.label, job.entry.name)
            device = "cuda" if resources.gpus and self._device != "cpu" else "cpu"
            order = ordered(job, self._limits.timeout, self._limits.memory, device, resources.cpus or 1)
            with replacing(folder / ORDER) as temporary:
                temporary.write_bytes(order)
            found = self._submitter(self._parameters(job, resources)).submit(SlurmTask(), folder)
            write_text(folder / SUBMISSION, msgspec.json.encode(Submission(found.job_id)).decode())
        trial = SlurmTrial(folder, found, self._open.discard)
        self._open.add(trial)
        return trial

    def warnings(self) -> list[str]:
        """Return nothing."""
        return []

    def close(self) -> None:
        """Leave the jobs that have not been closed to themselves."""

    def _found(self, folder: Path, job: Job) -> submitit.Job[None] | None:
        """Return the job that was submitted for this trial, unless it has ended without a result."""
        try:
            job_id = read_part(folder / SUBMISSION, Submission).job
            asked = {one.hash for one in decoded((folder / ORDER).read_bytes()).job.protocols}
        except (OSError, ValueError):
            return None
        kind = submitit.SlurmJob if self._settings.cluster == "slurm" else submitit.LocalJob
        found: submitit.Job[None] = kind(self._folder / "log", job_id)
        if not asked.issuperset(one.hash for one in job.protocols):
            # It does not compute what is asked for now: results were removed from the store.
            found.cancel(check=False)
            return None
        age = time.time() - (folder / SUBMISSION).stat().st_mtime
        alive = Mirror(folder).ended() or owner_of(folder / CLAIM) is not None or _state(found) in _ALIVE
        # Slurm may not know of it yet.
        return found if alive or (_state(found) == "UNKNOWN" and age < START_SECONDS) else None

    def _submitter(self, parameters: Mapping[str, Any]) -> submitit.AutoExecutor:
        made = submitit.AutoExecutor(
            self._folder / "log", cluster=self._settings.cluster, slurm_max_num_timeout=self._settings.retries
        )
        made.update_parameters(timeout_min=TIMEOUT_MINUTES, **parameters)
        made.update_parameters(**self._settings.slurm)
        return made

    def _parameters(self, job: Job, resources: Resources) -> dict[str, Any]:
        memory = resources.memory or self._limits.memory
        return {
            "name": "".join(letter if letter.isalnum() else "-" for letter in job.label)[:60],
            "cpus_per_task": resources.cpus or 1,
            **({"gpus_per_node": math.ceil(resources.gpus)} if resources.gpus else {}),
            **({"mem_gb": memory / 2**30} if memory else {}),
        }


class SlurmTrial(Mirror):
    """A trial that was submitted to Slurm.

    Parameters
    ----------
    path : the folder of its job.
    closed : called with it when it is closed.
    """

    def __init__(self, path: Path, job: submitit.Job[None], closed: Callable[[SlurmTrial], None]) -> None:
        super().__init__(path)
        self._job, self._closed = job, closed
        self._failure: tuple[Status, str] | None = None
        self._next_look = 0.0
        self._missed: float | None = None
        self._begun = False

    def messages(self) -> list[Progress]:
        """Return the last progress report, if there is a new one."""
        found = super().messages()
        if not self._begun:
            self._begun = True
            return [Progress(f"job {self._job.job_id}", 0.0), *found]
        return found

    def ended(self) -> bool:
        """Return whether it has ended; ask Slurm every few seconds."""
        if super().ended() or self._failure is not None:
            return True
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + STATE_SECONDS
            self._look()
        return self._failure is not None

    def end(self, status: Status, reason: str) -> None:
        """Cancel its job; `status` and `reason` say why."""
        if not super().ended():
            self._failure = self._failure or (status, reason)
            with contextlib.suppress(Exception):
                self._job.cancel(check=False)

    def result(self) -> tuple[TrialResult, str | None]:
        """Return how it ended; a result that is written stands."""
        if super().ended():
            return super().result()
        status, why = self._failure or ("failed", "its job ended without a result")
        return TrialResult(status=status, reason=why), None

    def close(self) -> None:
        """Cancel its job, unless it has ended, and remove its folder; the log of one without a result stays."""
        self.end("interrupted", "it was closed")
        if super().ended():
            for path in self._job.paths.folder.glob(f"{self._job.job_id}_*"):
                path.unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        self._closed(self)

    def _look(self) -> None:
        """Find out whether the job has ended without a result."""
        state = _state(self._job)
        if state in _ALIVE or owner_of(self.path / CLAIM) is not None:
            self._missed = None
            return
        # After a final state the files are on their way at most; otherwise Slurm may not know the job yet.
        self._missed = self._missed or time.monotonic()
        final = state in _STATES or state in ("FAILED", "COMPLETED", "FINISHED")
        if time.monotonic() - self._missed >= (STATE_SECONDS if final else START_SECONDS):
            why = f"its job ({self._job.job_id}, {state}) ended without a result; see {self._job.paths.stderr}"
            self._failure = _STATES.get(state, ("failed", why))


def _state(job: submitit.Job[None]) -> str:
    """Return the state of a job, without what Slurm adds, as in ``CANCELLED by 1000``."""
    with contextlib.suppress(Exception):
        # By itself, submitit asks Slurm every ten minutes.
        state = job.watcher.get_state(job.job_id, "force") if isinstance(job, submitit.SlurmJob) else job.state
        return str(state).split()[0].rstrip("+")
    return "UNKNOWN"
