"""What an exception in a trial's process is recorded as."""

from __future__ import annotations

import traceback

from reprbench.errors import Diverged, UserError
from reprbench.trial import Status


def failure_of(error: BaseException) -> tuple[Status, str, str]:
    """Return status, reason and traceback of what ended with this exception."""
    if isinstance(error, Diverged):
        return "diverged", str(error), ""
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    status: Status = "out-of-memory" if _is_memory_error(error) else "failed"
    return status, kind + " ".join(str(error).split()), "".join(traceback.format_exception(error))


def _is_memory_error(error: BaseException) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)
