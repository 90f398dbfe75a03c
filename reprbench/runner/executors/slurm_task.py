"""What a job of Slurm runs: one trial, which writes into the folder of the job."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from submitit.helpers import DelayedSubmission

from reprbench.claims import Claims
from reprbench.errors import UserError
from reprbench.runner.executors.host import decoded, looks
from reprbench.runner.executors.mirror import Mirror
from reprbench.runner.waiting import fit_claim

ORDER, SUBMISSION, CLAIM = "order.json", "submission.json", "host.claim"
"""The files in the folder of a job besides those of its trial."""

WAIT_SECONDS = 5.0
"""How often to look whether another job still runs this trial."""

END_SECONDS = 600.0
"""How long Slurm may take to end a job that it has sent SIGTERM."""


class SlurmTask:
    """Runs a trial. Submitit keeps a reference to this class, and its argument, the folder of the job, as a pickle."""

    def __call__(self, folder: Path) -> None:
        """Run the trial; what it writes appears in the folder. If that is removed, nobody waits for it any more."""
        mirror = Mirror(folder)
        with _terminated() as terminated, Claims(print) as claims:
            # A job that was requeued may begin before the claim of the machine that died is stale; and after its driver
            # has died, a job goes on while another driver may ask for the same fit with other protocols.
            while not mirror.ended() and (folder / ORDER).exists() and not terminated():
                if claims.take(*_claims(folder)) is None:
                    _run(mirror, terminated)
                    break
                time.sleep(WAIT_SECONDS)
        if terminated():
            # Slurm requeues a job that it preempts only if that has not ended by itself.
            time.sleep(END_SECONDS)

    def checkpoint(self, folder: Path) -> DelayedSubmission:
        """Let submitit queue the job again before its time is over; the fit goes on from its checkpoint."""
        return DelayedSubmission(self, folder)


def _claims(folder: Path) -> list[Path]:
    """Return the claims of a job: on its folder, and on the fit that it makes."""
    found = [folder / CLAIM]
    # What is wrong with an order is said in its trial.
    with suppress(UserError, ValueError, KeyError):
        cache = folder.parent.parent
        found.append(fit_claim(cache, decoded((folder / ORDER).read_bytes()).job.hash))
    return found


def _run(mirror: Mirror, terminated: Callable[[], bool]) -> None:
    order = mirror.path / ORDER
    with closing(looks(order.read_bytes())) as found:
        for files in found:
            # Slurm sends SIGTERM to the trial, too: that this ended it is not how the trial ended.
            if terminated() or not order.exists():
                return
            mirror.put(files)


@contextmanager
def _terminated() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether there was a SIGTERM, which Slurm sends before it ends or preempts a job."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        yield lambda: bool(seen)
    finally:
        signal.signal(signal.SIGTERM, before)
