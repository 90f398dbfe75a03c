"""The geometry of codes: alignment, uniformity, and three numbers of their spectrum, none of which needs a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from reprbench.capabilities import CannotEncode
from reprbench.data.augmented import Transformation, augmented
from reprbench.data.folds import random_test_rows
from reprbench.features import Matrix, Pooling, extract
from reprbench.protocols.base import Headline, Measurement, Outcome, Subject
from reprbench.protocols.codes import CodeProtocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.images import Indices
    from reprbench.probes.spectra import Eigenvalues, PowerLaw

SAME = 1e-5
"""Codes that differ by no more than this share of their size are one: in float32, equal ones may differ by 1e-6."""


class Geometry(CodeProtocol):
    """Alignment, uniformity, RankMe, LiDAR and α-ReQ of the codes of test images, by the definitions of their papers.

    Alignment and LiDAR need several views of an image. Here a view, a positive, is a copy that was transformed at
    random by `transformations`; the views are the same for every method and seed. So they are not those that a learner
    was trained with, and numbers of papers, which are, are not comparable. The first three need the images alone.

    Neither direction is better alone: a code that collapsed to a point is perfectly aligned. A layer of more than 4096
    units is represented by 4096 random ones, the same for every method and seed.

    Metrics
    -------
    RankMe : exp(−Σ pₖ log pₖ), pₖ = σₖ / ‖σ‖₁ + 1e-7, of the singular values σ of the codes of the whole test split,
        not centered (Garrido et al. 2023).
    uniformity : log E exp(−2‖f(x) − f(y)‖²) over all pairs of test images, in [−8, 0], codes f divided by their length
        (T. Wang, P. Isola 2020).
    alpha : the exponent of the power law λᵣ ∝ r^−α of the eigenvalues of the covariance, fitted to the logarithms at
        the ranks 11 to 100 with weights 1/r (α-ReQ: Agrawal et al. 2022).
    alignment : E‖f(x) − f(y)‖² over pairs of views of an image, in [0, 4], codes divided by their length (T. Wang, P.
        Isola 2020).
    LiDAR : exp(−Σ pᵢ log pᵢ), pᵢ = λᵢ / ‖λ‖₁ + 1e-7, of the eigenvalues λ of Σ_w^−½ Σ_b Σ_w^−½, images being the
        classes and 1e-4 added to the diagonal of Σ_w (Thilak et al. 2024). Codes are first divided by one number, so
        that 1e-4 means the same for all. At most `images` − 1.

    Parameters
    ----------
    layers, pooling, grid : how maps are made into codes, as in `View`.
    images : how many random test images are transformed; the paper of LiDAR has 1000.
    views : of each; that paper has 50.
    transformations : in this order: "shift" by up to ⅛ of a side, the border repeated; "flip" left and right, with
        probability ½; "brightness" and "contrast", times a factor in [0.6, 1.4]; "gaussian" noise, σ = 0.05 of the
        range. A flip is left out by default: it makes other digits and letters.
    """

    name = "geometry"
    version = 1
    headlines = ("RankMe", "LiDAR", "alpha", "alignment", "uniformity")

    pooling: Pooling = "mean"
    grid: PositiveInt = 1
    images: Annotated[int, Field(ge=2)] = 1000
    views: Annotated[int, Field(ge=2)] = 10
    transformations: Annotated[tuple[Transformation, ...], Field(min_length=1)] = ("shift", "brightness", "contrast")

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the numbers of the test images, then those of the views; draw the spectrum."""
        from reprbench.probes.spectra import representatives

        if len(subject.dataset.test) < 2:
            return Outcome(missing=f"{self.name} needs two test images")
        (wanted,) = self.reads(subject.dataset, subject.supervised)
        features = subject.features(wanted)
        columns = representatives(features.shape[1], f"{self.name} units")
        found = _of_images(features, columns, subject.device)
        if found is None:
            return Outcome(missing=f"{self.name}: all images have the same code")
        measured, warnings = list(found.measurements), _warnings(features.shape[1], len(columns), found)
        try:
            measured += self._of_views(subject, columns)
        except CannotEncode as error:
            warnings.append(f"alignment and LiDAR are not measured, which need transformed images: {error}")
        there = {one.metric for one in measured}
        return Outcome(
            measured,
            warnings=warnings,
            figures={"spectrum": spectrum_figure(found.covariance, found.law)},
            headlines=[Headline(metric) for metric in self.headlines if metric in there],
        )

    def _of_views(self, subject: Subject, columns: Indices) -> list[Measurement]:
        """Return alignment and LiDAR."""
        from reprbench.probes.hypersphere import alignment
        from reprbench.probes.spectra import lidar

        codes = self._codes(subject, columns)
        return [
            Measurement("alignment", alignment(codes)),
            Measurement("LiDAR", lidar(codes, subject.device)),
        ]

    def _codes(self, subject: Subject, columns: Indices) -> NDArray[np.float32]:
        """Return the codes of the views of some images, shape (images, views, columns)."""
        dataset, learner = subject.dataset, subject.learner(subject.trained)
        images = dataset.test.take(random_test_rows(dataset, self.name, self.images))
        codes = np.empty((len(images), self.views, len(columns)), dtype=np.float32)
        for number in range(self.views):
            subject.progress(f"{self.name}: views", number / self.views)
            copies, done = augmented(images, self.transformations, dataset.name, number), 0
            for (matrix,) in extract(learner, copies, [self.view], subject.device):
                codes[done : done + len(matrix), number] = matrix[:, columns]
                done += len(matrix)
        return codes


@dataclass(frozen=True)
class OfImages:
    """What was measured of the test images: numbers, the eigenvalues of the covariance, and their power law."""

    measurements: list[Measurement]
    covariance: Eigenvalues
    law: PowerLaw | None


def _of_images(features: Matrix, columns: Indices, device: str) -> OfImages | None:
    """Return what can be measured without views; None if all images have the same code, up to rounding."""
    from reprbench.probes.hypersphere import uniformity
    from reprbench.probes.spectra import power_law, rank_me, spectrum

    covariance, moments = (spectrum(features, columns, centered=which, device=device) for which in (True, False))
    if covariance.sum() <= SAME**2 * moments.sum():
        return None
    law = power_law(covariance)
    found = [
        Measurement("RankMe", rank_me(moments)),
        Measurement("uniformity", uniformity(features[:, columns], device)),
        *([] if law is None else [Measurement("alpha", law.alpha)]),
    ]
    return OfImages(found, covariance, law)


def _warnings(units: int, ranked: int, found: OfImages) -> list[str]:
    warnings = [f"all numbers are those of {ranked} of the {units} features"] if ranked < units else []
    if found.law is None:
        warnings.append(f"alpha is not measured: only {int((found.covariance > 0).sum())} eigenvalues are positive")
    return warnings


def spectrum_figure(covariance: Eigenvalues, law: PowerLaw | None) -> Figure:
    """Draw the positive eigenvalues against their ranks, both logarithmic, and the power law where it was fitted."""
    from reprbench.plotting import COLORS, line, new_axes, new_figure
    from reprbench.probes.spectra import FITTED

    figure = new_figure(3.5, 2.6)
    axes = new_axes(figure)[0, 0]
    positive = covariance[covariance > 0]
    line(axes, list(range(1, len(positive) + 1)), positive.tolist(), "eigenvalues", marker="." if law is None else "")
    if law is not None:
        ranks = np.array([FITTED[0], law.last])
        fitted = np.exp(law.intercept - law.alpha * np.log(ranks))
        axes.plot(ranks, fitted, "--", color=COLORS[1], label=f"α = {law.alpha:.2f}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(xlabel="rank", ylabel="eigenvalue of the covariance")
    axes.legend(loc="lower left", fontsize=8, frameon=False)
    return figure
