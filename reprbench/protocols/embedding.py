"""The protocol embedding: a sample of the test images as points in the plane, by PCA and by t-SNE of their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from reprbench.data.folds import named_generator, stratified_rows
from reprbench.errors import UserError
from reprbench.probes.projections import Plane, largest_perplexity, most_neighbors, principal_components, tsne
from reprbench.probes.standardize import standardize
from reprbench.protocols.base import Headline, Measurement, Outcome, Subject
from reprbench.protocols.codes import CodeProtocol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reprbench.data.dataset import Dataset
    from reprbench.images import Indices, Labels

SMALLEST_SAMPLE = 10
"""The fewest images of which a map is meaningful."""
NAMED_CLASSES = 20
"""The most classes that a legend names."""


class Embedding(CodeProtocol):
    """Maps of a stratified sample of the test images, the same for every method, and their trustworthiness.

    The features are standardized on the sample, so that their scale does not matter. PCA is exact; t-SNE (scikit-learn)
    is applied to the first 50 principal components and starts from the first two, so that neither depends on a seed:
    the same features give the same bits on one machine. But t-SNE magnifies rounding errors, so that reordering the
    features may move its points. Labels color the points; no number depends on them.
    """

    name = "embedding"
    version = 1
    headlines = ("trustworthiness",)

    images: Annotated[int, Field(ge=SMALLEST_SAMPLE, le=5000)] = 1000
    tsne: bool = True
    perplexity: Annotated[float, Field(ge=1)] = 30.0
    neighbors: PositiveInt = 10

    @model_validator(mode="after")
    def _sample_suffices(self) -> Embedding:
        if self.tsne and self.perplexity > largest_perplexity(self.images):
            raise ValueError(
                f"a perplexity of {self.perplexity:g} needs {int(np.ceil(3 * self.perplexity)) + 1} images, "
                f"not {self.images}; set perplexity lower or images higher"
            )
        if self.neighbors > most_neighbors(self.images):
            raise ValueError(
                f"{self.neighbors} neighbors need {2 * self.neighbors + 1} images, not {self.images}; "
                "set neighbors lower or images higher"
            )
        return self

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the trustworthiness, in [0, 1], of each map, and the share of the variance (%) that PCA's explains.

        Trustworthiness (J. Venna, S. Kaski, "Neighborhood preservation in nonlinear projection methods", 2001) is 1 if
        the nearest neighbors of every point on the map are its nearest neighbors among the features.
        """
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        dataset = subject.dataset
        rows = self.sample(dataset)
        if len(rows) < SMALLEST_SAMPLE:
            return Outcome(missing=f"{self.name} needs {SMALLEST_SAMPLE} test images, and there are {len(rows)}")
        (wanted,) = self.reads(dataset, subject.supervised)
        features = subject.features(wanted)
        codes = standardize(features, rows).apply(features, rows)
        if not codes.any():
            return Outcome(missing=f"{self.name}: all images have the same code")
        outcome = Outcome()
        # One thread: sums in another order would give other bits.
        with threadpool_limits(1):
            maps = self._maps(codes, subject, outcome)
        outcome.headlines = [Headline("trustworthiness", {"map": list(maps)[-1]})]
        outcome.figures["map"] = draw_maps(maps, dataset.test_labels[rows], dataset.classes)
        return outcome

    def _maps(self, codes: NDArray[np.float32], subject: Subject, outcome: Outcome) -> dict[str, Plane]:
        """Return the maps of the standardized codes (n, D); add their trustworthiness to the outcome."""
        from sklearn.manifold import trustworthiness

        components, explained = principal_components(codes)
        maps = {"PCA": components[:, :2]}
        if self.tsne:
            subject.progress("t-SNE", 0.1)
            maps["t-SNE"] = tsne(components, self._perplexity(len(codes), outcome))
        neighbors = self._neighbors(len(codes), outcome)
        subject.progress("trustworthiness", 0.8)
        for name, plane in maps.items():
            trust = float(trustworthiness(codes, plane, n_neighbors=neighbors))
            outcome.measurements.append(Measurement("trustworthiness", trust, "", "higher", {"map": name}))
        outcome.measurements.append(Measurement("variance explained", 100 * explained, "%", at={"map": "PCA"}))
        return maps

    def sample(self, dataset: Dataset) -> Indices:
        """Return the rows of the test split that are shown; they depend on the dataset and `images` alone.

        Raises
        ------
        UserError
            If there are more classes than images.
        """
        if len(dataset.test) <= self.images:
            return np.arange(len(dataset.test), dtype=np.int64)
        if self.images < len(dataset.classes):
            raise UserError(
                f"{self.name}: {self.images} images leave out some of {len(dataset.classes)} classes; set images higher"
            )
        name = f"{dataset.name} embedding"
        return stratified_rows(dataset.test_labels, self.images, named_generator(name))

    def _perplexity(self, count: int, outcome: Outcome) -> float:
        """Return the perplexity for a sample of `count`, lowered if that is too small for the parameter."""
        allowed = largest_perplexity(count)
        if self.perplexity > allowed:
            outcome.warnings.append(f"{self.name}: perplexity lowered to {allowed:.3g} for {count} test images")
        return min(self.perplexity, allowed)

    def _neighbors(self, count: int, outcome: Outcome) -> int:
        allowed = most_neighbors(count)
        if self.neighbors > allowed:
            outcome.warnings.append(f"{self.name}: trustworthiness of {allowed} neighbors for {count} test images")
        return min(self.neighbors, allowed)


def draw_maps(maps: dict[str, Plane], labels: Labels, classes: tuple[str, ...]) -> Figure:
    """Return the maps side by side, the points colored by class, with a legend of at most 20 class names."""
    from reprbench.plotting import new_axes, new_figure

    figure = new_figure(2.9 * len(maps) + 1.2, 2.9)
    colors = _class_colors(len(classes))
    for axes, (name, plane) in zip(new_axes(figure, 1, len(maps))[0], maps.items(), strict=True):
        _scatter(axes, plane, colors[labels])
        axes.set_title(name)
        unit = "component" if name == "PCA" else "dimension"
        axes.set_xlabel(f"first {unit}")
        axes.set_ylabel(f"second {unit}")
    _legend(figure, colors, classes)
    return figure


def _scatter(axes: Axes, plane: Plane, colors: NDArray[np.float64]) -> None:
    # In random order, as the class drawn last would hide the others.
    order = named_generator("embedding drawing order").permutation(len(plane))
    x, y = plane[order].T
    axes.scatter(x, y, c=colors[order], s=min(16.0, 6000 / len(plane)), linewidths=0, alpha=0.8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_box_aspect(1)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])


def _legend(figure: Figure, colors: NDArray[np.float64], classes: tuple[str, ...]) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = [
        Line2D([], [], color=color, marker="o", markersize=5, linestyle="", label=name)
        for color, name in zip(colors[:NAMED_CLASSES], classes, strict=False)
    ]
    if len(classes) > NAMED_CLASSES:
        handles.append(Line2D([], [], linestyle="", label=f"and {len(classes) - NAMED_CLASSES} more"))
    size = 8 if len(handles) <= 12 else 6
    figure.legend(
        handles=handles, loc="outside right center", fontsize=size, frameon=False, handletextpad=0.1, labelspacing=0.35
    )


def _class_colors(count: int) -> NDArray[np.float64]:
    """Return a color (red, green, blue, opacity) for each class; up to 20 classes have distinct colors."""
    import matplotlib as mpl

    if count <= 20:
        colors: NDArray[np.float64] = mpl.colormaps["tab10" if count <= 10 else "tab20"](np.arange(count))
    else:
        colors = mpl.colormaps["turbo"](np.linspace(0, 1, count))
    return colors
