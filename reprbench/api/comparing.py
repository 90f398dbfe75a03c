"""What `LoadedStore.compare` returns."""

from __future__ import annotations

from reprbench.compare.comparison import StoreComparison
from reprbench.compare.text import FORMATS
from reprbench.errors import UserError


class Comparison:
    """What `LoadedStore.compare` found. ``print`` shows it as the command line does.

    Attributes
    ----------
    worse : whether something got worse, or a trial cannot be relied upon.
    empty : whether there was nothing to compare.
    problems : a line for each trial that cannot be read, or was changed by hand.
    """

    def __init__(self, stores: StoreComparison, problems: list[str]) -> None:
        self.worse, self.empty, self.problems = stores.worse, stores.empty, problems
        self._stores = stores

    def text(self, form: str = "table") -> str:
        """Return it as "table", "markdown" or "json"."""
        if form not in FORMATS:
            raise UserError(f"format {form!r}: expected one of {', '.join(FORMATS)}")
        return FORMATS[form](self._stores).rstrip("\n")

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__
