"""The near side of executors: a trial that runs elsewhere, and a folder in which appears what it writes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from reprbench.files import replacing
from reprbench.runner.job import ENDED, EVALUATIONS, FIGURES, FIT, GRAMS, HISTORY, LOG, PROGRESS, Ended, TrialResult
from reprbench.runner.received import RESULT_BYTES, Progress, checked_progress, cleaned, read_part, stored_files
from reprbench.trial import Status


class Mirror:
    """What a trial that runs elsewhere has written so far.

    Parameters
    ----------
    path : the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._said = 0

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files that have come; those that a trial has no business with are left out.

        A file that is too large is cut, so that its reader refuses it.
        """
        for name, content in files.items():
            if _expected(name):
                # Losing a report of progress costs nothing, and they come all the time.
                with replacing(self.path / name, lasting=name != PROGRESS) as temporary:
                    temporary.write_bytes(content[: RESULT_BYTES + 1])

    def messages(self) -> list[Progress]:
        """Return the last progress report, if it came since the last call."""
        with suppress(OSError, ValueError):
            written = (self.path / PROGRESS).stat().st_mtime_ns
            if written != self._said:
                self._said = written
                return [checked_progress(read_part(self.path / PROGRESS, Progress))]
        return []

    def ended(self) -> bool:
        """Return whether the trial has ended and everything is here."""
        return (self.path / ENDED).exists()

    def result(self) -> tuple[TrialResult, str | None]:
        """Return how it ended; raise an `OSError` or a `ValueError` if that is not here or cannot be read."""
        found = read_part(self.path / ENDED, Ended)
        return cleaned(found.result), found.signal

    def files(self) -> dict[str, Path]:
        """Return the files that belong in the trial's folder in the store."""
        log = self.path / LOG
        # That of a try whose machine died could be there already.
        return stored_files(self.path) | ({LOG: log} if Mirror.ended(self) and log.exists() else {})


class RemoteTrial(Mirror, ABC):
    """A trial that runs elsewhere: it ends with its result, or here, with a reason.

    Parameters
    ----------
    path : the folder.
    no_result : the reason if it has none.
    """

    def __init__(self, path: Path, no_result: str) -> None:
        super().__init__(path)
        self._no_result = no_result
        self._failure: tuple[Status, str] | None = None

    def end(self, status: Status, reason: str) -> None:
        """Cancel it; `status` and `reason` say why."""
        if not Mirror.ended(self):
            self._failure = self._failure or (status, reason)
            self._cancel()

    def result(self) -> tuple[TrialResult, str | None]:
        """Return how it ended; a result that is here stands."""
        if Mirror.ended(self):
            return super().result()
        status, why = self._failure or ("failed", self._no_result)
        return TrialResult(status=status, reason=why), None

    @abstractmethod
    def _cancel(self) -> None:
        """Cancel it where it runs, if that can be done; raise nothing."""


def _expected(name: str) -> bool:
    path = PurePosixPath(name)
    if str(path) != name or not name.isprintable():
        return False
    if len(path.parts) == 1:
        return name in (FIT, HISTORY, LOG, PROGRESS, ENDED)
    folders = ((EVALUATIONS, ".json"), (FIGURES, ".png"), (GRAMS, ".npy"))
    return len(path.parts) == 2 and (path.parts[0], path.suffix) in folders
