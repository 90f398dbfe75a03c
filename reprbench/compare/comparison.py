"""The results of comparing two stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from reprbench.measurement import Better, Coordinate
from reprbench.spec import Call
from reprbench.trial import RowKey

ComparisonVerdict = Literal["worse", "better", "same", "not judged"]
ORDER: tuple[ComparisonVerdict, ...] = ("worse", "better", "same", "not judged")


class RowComparison(Struct, frozen=True):
    """One measurement of one row in both stores.

    Attributes
    ----------
    row : which row.
    dataset : its title.
    protocol : its call.
    seeds : those in BASE and those in NEW.
    metric, at, unit, better : which measurement; empty where a whole evaluation is missing.
    base, new : means over the shared folds, and over seeds; None where nothing was measured.
    folds : how many are shared; 0 for a value that belongs to no fold.
    p : p value of the test; None if there was none.
    adjusted : p, adjusted for all comparisons of the two stores.
    tolerance : how much worse the mean may be.
    verdict : the outcome.
    notes : what else a reader must know.
    """

    row: RowKey
    dataset: str
    protocol: Call
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    metric: str = ""
    at: dict[str, Coordinate] = {}
    unit: str = ""
    better: Better = "neither"
    base: float | None = None
    new: float | None = None
    folds: int = 0
    p: float | None = None
    adjusted: float | None = None
    tolerance: float = 0.0
    verdict: ComparisonVerdict = "same"
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> float | None:
        """NEW minus BASE."""
        return None if self.base is None or self.new is None else self.new - self.base

    @property
    def seeds_differ(self) -> bool:
        """Whether the fits of BASE and NEW have different seeds."""
        return self.seeds[0] != self.seeds[1]

    @property
    def gain(self) -> float:
        """How much better NEW is; negative where it is worse."""
        return (self.difference or 0.0) * (-1 if self.better == "lower" else 1)


@dataclass(frozen=True)
class StoreComparison:
    """All comparisons, the worst first, and the rows that were not compared.

    Attributes
    ----------
    unreliable : a line for each trial of either store that cannot be read, or was changed by hand.
    """

    rows: tuple[RowComparison, ...]
    only_base: tuple[RowKey, ...]
    only_new: tuple[RowKey, ...]
    notes: tuple[str, ...]
    ignore_seeds: bool
    unreliable: tuple[str, ...] = ()

    def count(self, verdict: ComparisonVerdict) -> int:
        """Return how many comparisons have this verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    @property
    def status(self) -> int:
        """The exit status: 0 no worse, 1 worse or not to be relied upon, 3 nothing to compare."""
        if self.worse:
            return 1
        return 3 if self.empty else 0

    @property
    def worse(self) -> bool:
        """Whether something got worse, or a trial cannot be relied upon."""
        return bool(self.count("worse") or self.unreliable)

    @property
    def empty(self) -> bool:
        """Whether there was nothing to compare, and nothing is worse."""
        return not (self.worse or self.compared)

    @property
    def compared(self) -> bool:
        """Whether there was anything to compare."""
        return any(row.difference is not None or row.verdict in ("better", "worse") for row in self.rows)
