"""Multinomial logistic regression on the features of each fold: accuracies, F1, and how far its confidence is right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reprbench.probes.calibration import BINS, EDGES, calibration
from reprbench.protocols.base import Measurement, Outcome, Subject
from reprbench.protocols.folds import Fold
from reprbench.protocols.linear_svm import INNER_ACCURACY, CostProtocol, head_measurements
from reprbench.protocols.reliability import reliability_diagram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reprbench.images import Labels
    from reprbench.probes.linear_svm import TrainedFold
    from reprbench.probes.logistic import Logistic

TOP = 5

Probabilities = NDArray[np.float64]
"""Shape (m, K), of m images."""


class LogisticRegression(CostProtocol):
    """Multinomial logistic regression with an L2 penalty, trained on each fold, tested on the whole test split.

    Features are standardized on the fold, C is chosen by cross-validation inside the fold, with the same inner folds,
    and a supervised learner gets a fixed one, all as in `linear-svm`; but the best C is that of the smallest log loss,
    as accuracies have ties between probabilities that differ much. The classifier is that of scikit-learn (½‖W‖² + C·Σ
    log loss, biases free), trained by L-BFGS.

    Metrics, each at {"fold"}
    -------------------------
    accuracy (%) : the most probable class is right.
    top-5 accuracy (%) : the class is among the five most probable; only with more than five classes.
    macro F1 (%) : the mean over classes of the harmonic mean of precision and recall; 0 for a class never got right.
    calibration error : expected, in [0, 1], of the most probable class, with 15 bins of equal width: the mean over the
        images of |accuracy − mean confidence| of their bin.
    inner accuracy (%) : of the chosen C in the cross-validation.
    C : the chosen one.
    """

    name = "logistic"
    version = 1
    headlines = ("accuracy",)

    @property
    def selects(self) -> tuple[str, ...]:
        """Accuracy of the chosen C in the cross-validation; there is none if there is only one."""
        return (INNER_ACCURACY,) if len(self.costs) > 1 else ()

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the metrics of every fold, and a reliability diagram of all of them."""
        outcome, choices, judged, unfinished = Outcome(), [], [], 0
        for fold in self.each_fold(subject):
            classifier = self._train(fold, subject, seed)
            judged.append(judge(_probabilities(classifier, fold), subject.dataset.test_labels))
            outcome.measurements += [
                *_measurements(judged[-1], fold.number),
                *self.chosen(classifier.choice, fold.number),
                *head_measurements(subject, fold),
            ]
            choices.append(classifier.choice)
            unfinished += not all(classifier.machines.converged)
        outcome.measurements.append(Measurement("feature dimension", fold.train.shape[1]))
        outcome.warnings += self.cost_warnings(subject, choices)
        if unfinished:
            outcome.warnings.append(f"the regression had not converged in {unfinished} of {len(choices)} folds")
        outcome.figures["reliability"] = reliability_figure(
            np.concatenate([one.confidence for one in judged]), np.concatenate([one.right for one in judged])
        )
        return outcome

    def _train(self, fold: Fold, subject: Subject, seed: int) -> TrainedFold[Logistic]:
        from reprbench.probes.linear_svm import train_with
        from reprbench.probes.logistic import fit_logistics

        return self.trained(partial(train_with, fit_logistics), fold, subject, seed)


@dataclass(frozen=True)
class Judged:
    """How right the probabilities of m images are.

    Attributes
    ----------
    right : bool (m,), whether the most probable class is the image's.
    confidence : float64 (m,), the probability of that class.
    top : share of images whose class is among the five most probable, in [0, 1]; None with at most five classes.
    macro_f1 : in [0, 1].
    """

    right: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    top: float | None
    macro_f1: float


def judge(probabilities: Probabilities, labels: Labels) -> Judged:
    """Compare the probabilities (m, K) of images with their `labels` (m,)."""
    from sklearn.metrics import f1_score

    classes = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(1)
    # How many classes are more probable than the image's own.
    rank = (probabilities > np.take_along_axis(probabilities, labels[:, None], 1)).sum(1)
    return Judged(
        right=predicted == labels,
        confidence=probabilities.max(1),
        top=float((rank < TOP).mean()) if len(classes) > TOP else None,
        macro_f1=float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
    )


def _probabilities(classifier: TrainedFold[Logistic], fold: Fold) -> Probabilities:
    """Return the probabilities of the test images of a fold, read in blocks."""
    from scipy.special import softmax

    from reprbench.probes.standardize import row_blocks

    logits = [
        classifier.machines.logits(classifier.standardizer.apply(values))[0] for _, values in row_blocks(fold.test)
    ]
    probabilities: Probabilities = softmax(np.concatenate(logits).astype(np.float64), axis=1)
    return probabilities


def _measurements(judged: Judged, fold: int) -> list[Measurement]:
    at: dict[str, Any] = {"fold": fold}
    error = calibration(judged.confidence, judged.right).error
    found = [
        Measurement("accuracy", 100 * float(judged.right.mean()), "%", "higher", at),
        Measurement("macro F1", 100 * judged.macro_f1, "%", "higher", at),
        Measurement("calibration error", error, "", "lower", at),
    ]
    if judged.top is not None:
        found.append(Measurement(f"top-{TOP} accuracy", 100 * judged.top, "%", "higher", at))
    return found


def reliability_figure(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Figure:
    """Return the accuracy against the confidence of images (m,), above a histogram of the confidence."""
    from reprbench.plotting import COLORS

    shown = calibration(confidence, right)
    text = f"calibration error {shown.error:.3f}"
    figure, lower = reliability_diagram(
        shown, observed="accuracy", points="all folds together", diagonal="calibrated", text=text
    )
    weights = np.full(len(confidence), 100 / len(confidence))
    lower.hist(confidence, bins=EDGES.tolist(), weights=weights, color=COLORS[0])
    lower.set(xlabel=f"confidence, bins of 1/{BINS}", ylabel="share of images (%)")
    return figure
