"""What an exception in a trial's process is recorded as."""

from __future__ import annotations

import sys
from bdb import BdbQuit

from reprbench.errors import Diverged, UserError
from reprbench.texts import described, reason, traceback_of
from reprbench.trial import Status


def failure_of(error: BaseException) -> tuple[Status, str, str]:
    """Return status, reason and traceback of what ended with this exception.

    The exception may be one of a plugin, and so may be its methods.
    """
    if isinstance(error, Diverged):
        return "diverged", reason(error), ""
    if isinstance(error, BdbQuit):
        return "failed", "a breakpoint in a process without a terminal; --debug runs the trial in this one", ""
    status: Status = "out-of-memory" if _is_memory_error(error) else "failed"
    return status, reason(error) if isinstance(error, UserError) else described(error), traceback_of(error)


def _is_memory_error(error: BaseException) -> bool:
    torch = sys.modules.get("torch")  # its import may be what failed
    of_device = isinstance(error, torch.cuda.OutOfMemoryError) if torch else False
    return of_device or isinstance(error, MemoryError) or "can't allocate memory" in reason(error)
