"""Runs trials as jobs of Slurm, through submitit; the cache must be on a disk that all machines share.

Each job has a folder in the cache, in which appears what its trial writes. It is named by what the job computes, so
that the same command finds a job again that outlived the process that submitted it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

import msgspec

from reprbench.claims import owner_of
from reprbench.errors import UserError
from reprbench.files import make_ignored, replacing, write_text
from reprbench.runner.executors.host import decoded, ordered
from reprbench.runner.executors.mirror import Mirror, RemoteTrial
from reprbench.runner.executors.settings import ExecutorSettings, Resources
from reprbench.runner.job import Job
from reprbench.runner.limits import Limits
from reprbench.runner.received import Progress, read_part
from reprbench.texts import reason
from reprbench.trial import Status

try:
    import submitit
    from submitit.slurm.slurm import SlurmInfoWatcher

    from reprbench.runner.executors.slurm_task import CLAIM, ORDER, SUBMISSION, SlurmTask
except ImportError:
    raise UserError("--executor slurm needs submitit; install it with: pip install 'reprbench[slurm]'") from None

LOOK_SECONDS = 1.0
"""How often to look at what a job has written."""

STATE_SECONDS = 15
"""How often Slurm is asked for the states of all jobs; more often as long as they are young."""

LOST_SECONDS = 60.0
"""How long a job may have ended before its trial counts as lost: a shared disk shows files late, and Slurm or submitit
may put the job into the queue again."""

UNKNOWN_SECONDS = 600.0
"""How long Slurm may know nothing of a job."""

KEPT_SECONDS = 30 * 24 * 3600
"""How long the folders and logs are kept of jobs that nobody asked for again."""

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

_ALIVE = [
    "PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED", "RESIZING", "STOPPED",
]  # fmt: skip


class Submission(msgspec.Struct):
    """The content of ``submission.json``: the job that was submitted."""

    job: str


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
        except OSError as error:
            raise UserError(f"--executor slurm: {reason(error)}") from None
        except (RuntimeError, ValueError, NameError, TypeError, AssertionError) as error:
            raise UserError(
                f"--executor slurm: {reason(error)}; run it where sbatch works, or mend `slurm:` in its file; "
                "`cluster: local` tries it on this machine"
            ) from None
        self._remove_forgotten()

    def has_room(self) -> bool:
        """Return whether fewer trials are submitted than ``--jobs`` says."""
        return self._limits.jobs is None or len(self._open) < self._limits.jobs

    def submit(self, job: Job) -> SlurmTrial:
        """Submit a trial, unless its job is there.

        Raises
        ------
        UserError
            If Slurm refuses it.
        """
        folder = self._folder / job.key[:32]
        trial = SlurmTrial(folder, self._found(folder, job) or self._submit(folder, job), self._open.discard)
        self._open.add(trial)
        return trial

    def warnings(self) -> list[str]:
        """Return nothing."""
        return []

    def close(self) -> None:
        """Leave the jobs that have not been closed to themselves."""

    def _submit(self, folder: Path, job: Job) -> submitit.Job[None]:
        shutil.rmtree(folder, ignore_errors=True)  # what a job has left that did not come to its end
        resources = self._settings.resources_of(job.label, job.entry.name)
        device = "cuda" if resources.gpus and self._device != "cpu" else "cpu"
        order = ordered(job, self._limits.timeout, self._limits.memory, device, resources.cpus or 1)
        with replacing(folder / ORDER) as temporary:
            temporary.write_bytes(order)
        try:
            made: submitit.Job[None] = self._submitter(self._parameters(job, resources)).submit(SlurmTask(), folder)
        except (RuntimeError, CalledProcessError) as error:
            raise UserError(f"Slurm refused it: {reason(error)}") from None
        write_text(folder / SUBMISSION, msgspec.json.encode(Submission(made.job_id)).decode())
        return made

    def _found(self, folder: Path, job: Job) -> submitit.Job[None] | None:
        """Return the job that was submitted for this trial, unless it has ended without a result."""
        try:
            job_id = read_part(folder / SUBMISSION, Submission).job
            asked = {one.hash for one in decoded((folder / ORDER).read_bytes()).job.protocols}
        except (OSError, ValueError, KeyError, UserError):
            return None
        kind = submitit.SlurmJob if self._settings.cluster == "slurm" else submitit.LocalJob
        found: submitit.Job[None] = kind(self._folder / "log", job_id)
        # Unless it computes all that is asked for now, results were removed from the store.
        if asked.issuperset(one.hash for one in job.protocols) and _serves(found, folder):
            return found
        _cancel(found)
        return None

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
            **({"gpus_per_node": int(resources.gpus)} if resources.gpus else {}),
            **({"mem_gb": memory / 2**30} if memory else {}),
        }

    def _remove_forgotten(self) -> None:
        """Remove the folders and logs of jobs whose command nobody repeated."""
        old = time.time() - KEPT_SECONDS
        for path in [*self._folder.glob("*/"), *self._folder.glob("log/*")]:
            with contextlib.suppress(OSError):
                if path.name != "log" and path.stat().st_mtime < old:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


class SlurmTrial(RemoteTrial):
    """A trial that was submitted to Slurm.

    Parameters
    ----------
    path : the folder of its job.
    closed : called with it when it is closed.
    """

    def __init__(self, path: Path, job: submitit.Job[None], closed: Callable[[SlurmTrial], None]) -> None:
        super().__init__(path, "its job ended without a result")
        self._job, self._closed = job, closed
        self._reports = [Progress(f"job {job.job_id}", 0.0)]
        self._complete = False
        self._next_look = 0.0
        self._missed: float | None = None
        _watcher.register_job(job.job_id)

    def messages(self) -> list[Progress]:
        """Return the last progress report, if there is a new one."""
        found, self._reports = self._reports, []
        return found

    def ended(self) -> bool:
        """Return whether it has ended; look every second."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            self._complete = super().ended()
            self._reports += super().messages()
            if not self._complete:
                self._look()
        return self._complete or self._failure is not None

    def close(self) -> None:
        """Cancel its job, unless it has ended, and remove its folder; the log of one without a result stays."""
        self.end("interrupted", "it was closed")
        if super().ended():
            for path in self._job.paths.folder.glob(f"{self._job.job_id}_*"):
                path.unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        self._closed(self)

    def _cancel(self) -> None:
        _cancel(self._job)

    def _look(self) -> None:
        """Find out whether the job has ended without a result."""
        state = _state(self._job)
        if state in _ALIVE or owner_of(self.path / CLAIM) is not None:
            self._missed = None
            return
        self._missed = self._missed or time.monotonic()
        if time.monotonic() - self._missed >= (UNKNOWN_SECONDS if state == "UNKNOWN" else LOST_SECONDS):
            why = f"its job ({self._job.job_id}, {state}) ended without a result; see {self._job.paths.stderr}"
            self._failure = _STATES.get(state, ("failed", why))


class _Watcher(SlurmInfoWatcher):
    """Asks Slurm for the states of all jobs together, also of those that submitit takes for ended."""

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        return False


_watcher = _Watcher(delay_s=STATE_SECONDS)


def _state(job: submitit.Job[None]) -> str:
    """Return the state of a job, without what Slurm adds, as in ``CANCELLED by 1000``."""
    state = _watcher.get_state(job.job_id) if isinstance(job, submitit.SlurmJob) else job.state
    return state.split()[0].rstrip("+")


def _serves(job: submitit.Job[None], folder: Path) -> bool:
    """Return whether a job has a result, or may still have one."""
    if Mirror(folder).ended() or owner_of(folder / CLAIM) is not None:
        return True
    age = time.time() - (folder / SUBMISSION).stat().st_mtime
    state = _state(job)
    # Slurm may not know of it yet.
    return state in _ALIVE or (state == "UNKNOWN" and age < UNKNOWN_SECONDS)


def _cancel(job: submitit.Job[None]) -> None:
    """Cancel a job, if that can be done; it also ends when its folder is gone."""
    with contextlib.suppress(OSError):
        job.cancel(check=False)
