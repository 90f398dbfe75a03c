"""The errors that reprbench distinguishes, and "Did you mean" suggestions for their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A user's mistake: shown without a traceback, with exit status 2.

    The message names what is wrong, what was expected and the remedy.
    """


class Diverged(Exception):
    """A quantity that training depends on is no longer finite; the trial ends as ``diverged``."""


def system_reason(error: Exception) -> str:
    """Return what the system says of an error, as the middle of a sentence; the text of one that is not the system's.

    >>> system_reason(FileNotFoundError(2, "No such file or directory")), system_reason(ValueError("not JSON"))
    ('no such file or directory', 'not JSON')
    >>> system_reason(OSError(None, "Results is a link; expected a folder"))
    'Results is a link; expected a folder'
    """
    reason: str = getattr(error, "strerror", None) or str(error)
    # Our own errors of the system's type have no number, and may begin with a path.
    return reason[:1].lower() + reason[1:] if getattr(error, "errno", None) is not None else reason


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'dae'?`` for the known name nearest to `name`, or an empty string.

    >>> did_you_mean("dea", ["ae", "dae", "pca"])
    " Did you mean 'dae'?"
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
