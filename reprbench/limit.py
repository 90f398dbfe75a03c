"""How many images of each split are used: one number for all of them, or one for each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict

from reprbench.grammar import LARGEST_INTEGER, brief
from reprbench.spec import Count


@dataclass(frozen=True)
class Limit:
    """The largest number of images in each split; None is all of them.

    It is a dataclass, so that pydantic can read it from a benchmark's file, and msgspec from stored trials.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    unlabeled: Count | None = None
    train: Count | None = None
    test: Count | None = None

    @classmethod
    def each(cls, count: int) -> Limit:
        """Return the limit of `count` images in every split."""
        return cls(count, count, count)

    @property
    def plain(self) -> int | Limit:
        """The number alone, where it is the same for all splits: as it is written and stored."""
        number = self.unlabeled
        return self if number is None or self != Limit.each(number) else number

    def __str__(self) -> str:
        if isinstance(self.plain, int):
            return str(self.plain)
        return ",".join(f"{split}={count}" for split, count in asdict(self).items() if count is not None)


def _as_limit(value: Any) -> Any:
    """Make the mapping of a number; a mapping is checked by pydantic."""
    if isinstance(value, Limit) or (isinstance(value, dict) and value):
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_INTEGER:
        raise ValueError(
            f"expected a whole number from 1, or such numbers by split, like {{unlabeled: 10000}}, not {brief(value)}"
        )
    return Limit.each(value)


LimitField = Annotated[Limit, BeforeValidator(_as_limit)]
