"""Nearest neighbors: how good the geometry of the features is, without any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from reprbench.errors import UserError
from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.folds import Fold, FoldProtocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.images import Images, Indices

SHOWN_IMAGES = 8
NEIGHBOR_NAMES = ("nearest", "2nd", "3rd", "4th", "5th")
"""Of the neighbors in the figure."""


class KNN(FoldProtocol):
    """Exact k nearest neighbors: the test accuracy of a vote among the k nearest examples of each fold.

    Features are not standardized; neither scaling all of them nor permuting them changes the neighbors. In case of
    ties, the class with the nearest example wins. No hyperparameter is selected, on any split.

    Parameters
    ----------
    k : how many neighbors vote.
    metric : what is near; the cosine if votes are weighted.
    weighted : a vote counts exp(cosine / `temperature`), as in Z. Wu et al., "Unsupervised feature learning via
        non-parametric instance discrimination" (2018), with k = 200, and in papers on self-supervised learning since,
        with k = 20 or 200. Only classes of the k neighbors are candidates.
    temperature : of weighted votes; 0.07 in these papers.
    """

    name = "knn"
    version = 1
    headlines = ("accuracy",)

    k: PositiveInt = 1
    metric: Literal["euclidean", "cosine"] = "euclidean"
    weighted: bool = False
    temperature: PositiveFloat = 0.07

    @model_validator(mode="before")
    @classmethod
    def _weights_are_of_cosines(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("weighted") is True:
            return {"metric": "cosine", **given}
        return given

    @model_validator(mode="after")
    def _fits_together(self) -> KNN:
        if self.weighted and self.metric != "cosine":
            raise ValueError("votes are weighted by cosines; leave metric out or set metric=cosine")
        if not self.weighted and self.temperature != type(self).model_fields["temperature"].default:
            raise ValueError("temperature is that of weighted votes; set weighted=true or leave it out")
        return self

    @model_serializer(mode="wrap")
    def _without_unused_weights(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave the weights out where there are none: stored evaluations from before there were any stay the same."""
        content: dict[str, Any] = serialize(self)
        unused = () if self.weighted else ("weighted", "temperature")
        return {name: value for name, value in content.items() if name not in unused}

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the accuracy (%) of every fold; draw the nearest images of the first."""
        outcome = Outcome()
        for fold in self.each_fold(subject):
            if self.k > len(fold.train):
                raise UserError(f"{self.k} neighbors need as many labeled images, not {len(fold.train)}; set k lower")
            right = self._voted(fold, subject.device) == subject.dataset.test_labels
            outcome.measurements.append(
                Measurement("accuracy", 100 * float(right.mean()), "%", "higher", {"fold": fold.number})
            )
            if fold.number == 0:
                outcome.figures["neighbors"] = self._figure(subject, fold)
        outcome.measurements.append(Measurement("feature dimension", fold.train.shape[1]))
        return outcome

    def _voted(self, fold: Fold, device: str) -> NDArray[np.int64]:
        """Return the class of every test image."""
        from reprbench.probes.knn import exponential_weights, nearest, nearest_cosines, vote, weighted_vote

        if not self.weighted:
            return vote(fold.labels[nearest(fold.train, fold.test, self.k, self.metric, device)])
        neighbors, cosines = nearest_cosines(fold.train, fold.test, self.k, device)
        return weighted_vote(fold.labels[neighbors], exponential_weights(cosines, self.temperature))

    def _figure(self, subject: Subject, fold: Fold) -> Figure:
        """Draw the first test image of each class, at most eight, next to the nearest training images of the fold."""
        from reprbench.plotting import image_grid
        from reprbench.probes.knn import nearest

        dataset = subject.dataset
        shown = np.unique(dataset.test_labels, return_index=True)[1][:SHOWN_IMAGES]
        # Searched separately from the vote, whose ties must not depend on how many neighbors are drawn.
        most = min(len(NEIGHBOR_NAMES), len(fold.train))
        found = nearest(fold.train, fold.test[shown], most, self.metric, subject.device)
        rows = self._folds(dataset)[fold.number]
        images = [
            np.concatenate([_floats(dataset.test, shown[[i]]), _floats(dataset.train, rows[found[i]])])
            for i in range(len(shown))
        ]
        names = [dataset.classes[label] for label in dataset.test_labels[shown]]
        figure = image_grid(images, names, ["test image", *NEIGHBOR_NAMES[: found.shape[1]]])
        _frame(figure, fold.labels[found] == dataset.test_labels[shown][:, None])
        return figure


def _frame(figure: Figure, same: NDArray[np.bool_]) -> None:
    """Frame the neighbors in a grid of images, whose first column has none, by whether their class is the `same`."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.patches import Patch

    from reprbench.plotting import COLORS

    panels = np.array(figure.axes).reshape(len(same), -1)[:, 1:]
    for panel, right in zip(panels.flat, same.flat, strict=True):
        panel.spines[:].set(visible=True, color=COLORS[2 if right else 1], linewidth=2)
    legend = [Patch(color=COLORS[2], label="same class"), Patch(color=COLORS[1], label="another class")]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    # Leaves space for the frames and the legend.
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0.02, hspace=0.02))
    width, height = figure.get_size_inches()
    figure.set_size_inches(width + 0.3, height + 0.5)


def _floats(images: Images, rows: Indices) -> NDArray[np.float32]:
    """Return the images at `rows`, float32 in [0, 1]."""
    return images.pixels(rows).astype(np.float32) / np.float32(255)
