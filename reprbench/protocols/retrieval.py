"""Retrieval: test images as queries for the training images of their class, ranked by the similarity of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field, PositiveInt

from reprbench.errors import UserError
from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Subject
from reprbench.protocols.folds import FoldProtocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.probes.ranking import Rankings

SHOWN_RANKS = 100


class Retrieval(FoldProtocol):
    """Every test image is a query; the gallery is the labeled training images of a fold; those of its class count.

    Nothing is trained. Features are not standardized; neither scaling all of them nor permuting them changes a ranking.
    Queries whose class is not in the gallery are left out.

    Metrics, each at {"fold"}
    -------------------------
    mAP (%) : the mean over queries of the average precision over the whole gallery (scikit-learn's definition, without
        interpolation; images that are equally similar count as ranked together).
    recall (%), at {"k"} : share of queries with an image of their class among the k most similar (H. Jégou, M. Douze,
        C. Schmid, "Product quantization for nearest neighbor search", 2011, as in metric learning). Among images that
        are equally similar the first of the gallery come first.

    Parameters
    ----------
    k : the ranks of recall.
    metric : what is similar.
    """

    name = "retrieval"
    version = 1
    headlines = ("mAP", "recall")

    k: Annotated[
        tuple[PositiveInt, ...], Field(min_length=1), AfterValidator(lambda ranks: tuple(sorted(set(ranks))))
    ] = (1, 5, 10)
    metric: Literal["euclidean", "cosine"] = "cosine"

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return mAP and recall of every fold."""
        from reprbench.probes.ranking import rank

        outcome, found, labels = Outcome(), [], subject.dataset.test_labels
        for fold in self.each_fold(subject):
            if self.k[-1] > len(fold.train):
                raise UserError(f"recall at {self.k[-1]} needs as many labeled images, not {len(fold.train)}; lower k")
            found.append(rank(fold.train, fold.labels, fold.test, labels, self.metric, subject.device))
            outcome.measurements += self._measurements(found[-1], fold.number)
        if not outcome.measurements:
            return Outcome(missing=f"{self.name}: no test image has its class among the labeled images")
        if left_out := max(int(np.isnan(one.precision).sum()) for one in found):
            outcome.warnings.append(f"up to {left_out} test images left out: their class is not in a fold")
        outcome.headlines = [Headline("mAP"), Headline("recall", {"k": self.k[0]})]
        if len(self.k) > 1:
            outcome.curves = [Curve("recall", "k", title="Recall (%)", x_label="images retrieved", log=True)]
        outcome.figures["recall"] = recall_figure(found)
        return outcome

    def _measurements(self, found: Rankings, fold: int) -> list[Measurement]:
        """Return the numbers of a fold; none if its images are of other classes than all queries."""
        known = np.isfinite(found.precision)
        if not known.any():
            return []
        at: dict[str, Any] = {"fold": fold}
        precision = 100 * float(found.precision[known].mean())
        recalls = [Measurement("recall", 100 * found.recall(k), "%", "higher", {**at, "k": k}) for k in self.k]
        return [Measurement("mAP", precision, "%", "higher", at), *recalls]


def recall_figure(found: Sequence[Rankings]) -> Figure:
    """Draw the recall against the number of images retrieved, with its standard deviation over folds."""
    from reprbench.plotting import line, new_axes, new_figure

    ranks = list(range(1, SHOWN_RANKS + 1))
    judged = [one for one in found if np.isfinite(one.precision).any()]
    recalls = 100 * np.array([[one.recall(k) for k in ranks] for one in judged])
    figure = new_figure(3.5, 2.6)
    axes = new_axes(figure)[0, 0]
    label = "mean ± standard deviation over folds"
    line(axes, ranks, recalls.mean(0).tolist(), label, spread=recalls.std(0).tolist(), marker="")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set(xlabel="images retrieved", ylabel="recall (%)")
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    return figure
