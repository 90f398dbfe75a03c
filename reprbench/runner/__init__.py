"""Turns a request into finished trials: request → plan (pure) → schedule → one process per trial."""

import sys

from reprbench.errors import UserError

if sys.platform == "win32":
    # Processes are forked, supervised and stopped by what only POSIX systems have.
    raise UserError(
        "reprbench runs methods on Linux and macOS, not on Windows: use it in WSL or a container "
        "(https://learn.microsoft.com/windows/wsl); report, compare and show work here too"
    )
