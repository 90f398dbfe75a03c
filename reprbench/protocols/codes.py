"""The base of protocols that look at codes: vectors into which feature maps are made as their parameters say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveInt

from reprbench.features import Pooling, View
from reprbench.protocols.base import Features, Protocol

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset


class CodeProtocol(Protocol):
    """A protocol that looks at vectors, by default at those of the test images.

    Parameters
    ----------
    layers : "last", "all" or tuple of str
        The layers whose features are concatenated.
    pooling : "max", "mean", "sum" or "l2"
        What becomes of the numbers of a cell, as in `View`.
    grid : int
        Cells along either side of a map, as in `View`.
    """

    layers: Literal["last", "all"] | Annotated[tuple[str, ...], Field(min_length=1)] = "last"
    pooling: Pooling = "max"
    grid: PositiveInt = 2

    @property
    def view(self) -> View:
        """How feature maps are made into vectors."""
        return View(layers=self.layers, pooling=self.pooling, grid=self.grid)

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return the features of the whole test split: classifiers read them too, so that they cost no extra pass."""
        return [Features.of_split(dataset, supervised, "test", self.view)]
