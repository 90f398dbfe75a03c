"""The files of a trial's folder that its ``trial.json`` names."""

from __future__ import annotations

from pathlib import Path

from reprbench.trial import Trial


def file_of(trial: Trial, name: str) -> Path | None:
    """Return the path of a file in a trial's folder; None if there is no such file, or it is elsewhere or a pipe.

    Names of figures come from ``trial.json``, and stores from anywhere.
    """
    if not trial.path:
        return None
    folder = Path(trial.path).parent
    try:
        inside = (folder / name).resolve().is_relative_to(folder.resolve())
        found = inside and (folder / name).is_file()
    except (OSError, ValueError, RuntimeError):
        # Not a path: it contains a NUL, or its links form a circle.
        return None
    return folder / name if found else None
