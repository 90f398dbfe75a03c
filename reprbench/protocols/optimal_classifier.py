"""How far the codes of reconstructions are from those of originals, by a new classifier trained to convergence."""

from __future__ import annotations

import math
import os
import tempfile
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from reprbench.capabilities import Reconstructs
from reprbench.data.folds import random_test_rows
from reprbench.errors import UserError
from reprbench.features import Pooling, View
from reprbench.outputs import CheckedBatches, checked_images
from reprbench.probes.calibration import BINS, EDGES, calibration
from reprbench.protocols.base import Measurement, Outcome, Protocol, Subject
from reprbench.protocols.reliability import reliability_diagram
from reprbench.run_context import derive_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from reprbench.data.dataset import Dataset
    from reprbench.images import Indices
    from reprbench.probes.density_ratio import Codes, Judgement, Parts, RatioClassifier

FEWEST_IMAGES = 20
"""Enough for two validation images."""


class OptimalClassifier(Protocol):
    """Propositions 1 and 2 of AME-AE on real codes: a new classifier C separates E(x) from E(x̂), x̂ = D(E(x)).

    The best C is q_d/(q_d + q_r), the densities being those of the codes of originals and of reconstructions. C is
    trained to convergence on images of the test split, which the learner never saw: 50 % of them for training, 10 % for
    early stopping, and 40 % for evaluation; x and x̂ are always in the same part. The parts are the same for every
    method and seed. Neither direction is better: a C at chance means that originals and reconstructions look alike to
    E, or that E is blind.

    Metrics
    -------
    accuracy (%) : of C at ½; 50 is chance.
    log loss (nats) : per code; log 2 is chance.
    calibration error : expected, in [0, 1], with 15 bins: how far C is from being a probability.
    lower bound of 2·JSD − log 4 (nats) : V = E[log C(h)] + E[log(1 − C(ĥ))], in [−log 4, 0] for the best C; a C that is
        worse than chance on the evaluated images gives less than −log 4. Its standard error over images is given, too:
        within that, the true number is not lower.
    lower bound of JSD (nats) : (V + log 4)/2, not below 0; in [0, log 2].
    epochs, best epoch : how many C was trained for, and the one whose weights it has.

    Parameters
    ----------
    pooling, grid : how the last layer's maps are pooled to codes; the bounds are those of the pooled codes.
    images : the most images of the test split that are used.
    width : of the two hidden layers of C.
    learning_rate : of Adam.
    batch_size : originals, and as many reconstructions, per step.
    epochs : the most; a warning reports a C that did not converge by then.
    patience : epochs without progress on the validation part after which C has converged.
    """

    name = "optimal-classifier"
    version = 1
    headlines = ("accuracy",)
    needs = (Reconstructs,)

    pooling: Pooling = "mean"
    grid: PositiveInt = 2
    images: Annotated[int, Field(ge=FEWEST_IMAGES)] = 10_000
    width: PositiveInt = 128
    learning_rate: PositiveFloat = 1e-3
    batch_size: PositiveInt = 128
    epochs: PositiveInt = 200
    patience: PositiveInt = 10

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return how well C separates the codes of the evaluation part, and how well calibrated it is."""
        from reprbench.probes.density_ratio import divide, judge

        rows = self.rows(subject.dataset)
        codes = self._codes(subject, rows)
        parts = divide(len(rows), subject.generator(f"{self.name} parts"))
        classifier = self._train(codes, parts, subject, seed)
        originals, reconstructions = (classifier.logits(codes[which, parts.evaluation]) for which in (0, 1))
        judged = judge(originals, reconstructions)
        outcome = Outcome(
            _measurements(judged, classifier),
            figures={"reliability": reliability_figure(originals, reconstructions, judged)},
        )
        if not classifier.converged:
            outcome.warnings.append(
                f"the classifier had not converged after {classifier.epochs} epochs: the bounds may be loose"
            )
        return outcome

    def _train(self, codes: Codes, parts: Parts, subject: Subject, seed: int) -> RatioClassifier:
        from reprbench.probes.density_ratio import Training, train_classifier

        return train_classifier(
            codes,
            parts,
            Training(self.width, self.learning_rate, self.batch_size, self.epochs, self.patience),
            derive_seed(seed, self.name),
            subject.device,
            lambda share: subject.progress(f"{self.name}: train", share),
        )

    def rows(self, dataset: Dataset) -> Indices:
        """Return the test images that are used, sorted.

        Raises
        ------
        UserError
            If there are too few to divide.
        """
        total = len(dataset.test)
        if total < FEWEST_IMAGES:
            raise UserError(
                f"{self.name}: {total} test images cannot be divided in three; "
                f"expected at least {FEWEST_IMAGES}, use a larger --limit or dataset"
            )
        return random_test_rows(dataset, self.name, self.images)

    def _codes(self, subject: Subject, rows: Indices) -> Codes:
        """Return the codes of the test images at `rows` and of their reconstructions, encoded the same way."""
        import torch

        from reprbench.state import evaluating

        learner = subject.learner(subject.trained)
        if not isinstance(learner, Reconstructs):
            raise TypeError(f"{type(learner).__name__} does not reconstruct")
        view = View(pooling=self.pooling, grid=self.grid)
        codes, done = np.empty((2, 0, 0), dtype=np.float32), 0
        checks = CheckedBatches(), CheckedBatches()
        for x in subject.dataset.test.take(rows).batches(learner.encode_batch_size, subject.device):
            with evaluating(learner):
                made = checked_images(learner.reconstruct(x), x.shape, "reconstruct")
                both = [
                    view.matrix(check.add(learner.encode(of), len(x)))
                    for check, of in zip(checks, (x, made), strict=True)
                ]
                batch = torch.stack(both).cpu().numpy()
            if done == 0:
                codes = _mapped((2, len(rows), batch.shape[2]))
            codes[:, done : done + len(x)] = batch
            done += len(x)
            subject.progress(f"{self.name}: encode", done / len(rows))
        return codes


def _mapped(shape: tuple[int, int, int]) -> Codes:
    """Return an array in a temporary file, which vanishes with the array: raw pixels of STL-10, twice, take 1.8 GB."""
    with tempfile.TemporaryFile(prefix="reprbench-") as file:
        if hasattr(os, "posix_fallocate"):
            # On a full disk that is an error; writing to a mapped hole would end the process.
            os.posix_fallocate(file.fileno(), 0, 4 * math.prod(shape))
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def _measurements(judged: Judgement, classifier: RatioClassifier) -> list[Measurement]:
    return [
        Measurement("accuracy", 100 * judged.accuracy, "%"),
        Measurement("log loss", judged.log_loss, "nats"),
        Measurement("calibration error", judged.calibration_error),
        Measurement("lower bound of 2·JSD − log 4", judged.value, "nats"),
        Measurement("standard error of the bound of 2·JSD − log 4", judged.standard_error, "nats"),
        Measurement("lower bound of JSD", judged.divergence, "nats"),
        Measurement("epochs", classifier.epochs),
        Measurement("best epoch", classifier.best_epoch),
    ]


def reliability_figure(
    originals: NDArray[np.float64], reconstructions: NDArray[np.float64], judged: Judgement
) -> Figure:
    """Return the reliability diagram of the logits of n originals and n reconstructions, above a histogram of C."""
    from scipy.special import expit

    sides = expit(originals), expit(reconstructions)
    value = f"{round(judged.value, 3) + 0.0:.3f}".replace("-", "−")
    figure, lower = reliability_diagram(
        calibration(np.concatenate(sides), np.repeat([True, False], len(originals))),
        observed="share of originals among codes",
        points="classifier $C$",
        diagonal="$C = q_d/(q_d + q_r)$",
        text=f"calibration error {judged.calibration_error:.3f}\n"
        f"2·JSD − log 4 ≥ {value} nats\nJSD ≥ {judged.divergence:.3f} nats",
    )
    _draw_probabilities(lower, sides)
    return figure


def _draw_probabilities(axes: Axes, sides: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    """Draw the histograms of C for originals and reconstructions."""
    from reprbench.plotting import COLORS

    weights = [np.full(len(side), 100 / (2 * len(side))) for side in sides]
    labels = ["originals", "reconstructions"]
    axes.hist(sides, bins=EDGES.tolist(), weights=weights, stacked=True, color=COLORS[:2], label=labels, rwidth=0.9)
    axes.set(xlabel=f"C, bins of 1/{BINS}", ylabel="share of codes (%)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 0.97), ncols=2, fontsize=8, frameon=False)
