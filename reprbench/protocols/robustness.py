"""Robustness to noise (Fig. 4a of the AME-AE paper): corrupted test images, reconstructed and classified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from reprbench.capabilities import Reconstructs
from reprbench.data.corruptions import CORRUPTIONS, Kind, corrupted
from reprbench.features import extract
from reprbench.images import Images
from reprbench.learner import Learner
from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Subject
from reprbench.protocols.linear_svm import SVMProtocol
from reprbench.state import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from reprbench.images import Indices
    from reprbench.probes.linear_svm import FoldClassifier

Levels = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], ...], AfterValidator(lambda levels: tuple(sorted(set(levels))))
]

SHOWN_IMAGES = 8
HEADLINE = 0.4
"""The level of masking that is the headline, where it is measured: the middle one of the paper's."""
IDENTITY = " of the identity"
"""What is measured of the corrupted images themselves ends with this."""
PROBE = "probe accuracy"
QUALITY_BATCH = 64
"""Images compared at a time: SSIM takes up to forty times their memory."""
NO_RECONSTRUCTION = " (the learner does not reconstruct)"


@dataclass(frozen=True)
class Probe:
    """A fold's classifier, trained on clean codes.

    Attributes
    ----------
    fold : its number.
    trained : the rows whose labels its learner saw; None for an unsupervised one.
    classifier : of the fold.
    clean : its accuracy on the codes of the clean test images, in [0, 1].
    """

    fold: int
    trained: Indices | None
    classifier: FoldClassifier
    clean: float


class Robustness(SVMProtocol):
    """What corrupted test images lose in reconstruction and in the code, of a learner fitted to clean ones.

    For each kind of corruption and each level: MSE, PSNR (dB) and SSIM of the reconstruction, and of the corrupted
    image itself ("… of the identity"), against the clean image; and for each fold the accuracy (%) of a linear SVM,
    trained on clean codes as `linear-svm` trains it (C is chosen inside the fold), on the codes of the corrupted test
    images. All channels of a pixel are corrupted together, except by Gaussian noise. The corrupted images are the
    same for every method and seed, and rounded to 8 bits. The probe of the identity is the row of `raw-pixels`.

    Source: Fig. 4a of the AME-AE paper for `mask` and its levels; the other corruptions and their levels are ours.

    Parameters
    ----------
    mask : probabilities that a pixel is 0. Level 0 is the clean image; no levels leave a corruption out.
    gaussian : standard deviations of added noise, in units of the pixels' range.
    salt_and_pepper : shares of pixels that are set to 0 or 1.
    occlusion : shares of the image's area that a black square covers.
    """

    name = "robustness"
    version = 2
    headlines = (PROBE,)

    mask: Levels = (0.0, 0.2, 0.4, 0.6, 0.8)
    gaussian: Levels = (0.0, 0.1, 0.2, 0.4)
    salt_and_pepper: Levels = (0.0, 0.1, 0.2, 0.4)
    occlusion: Levels = (0.0, 0.1, 0.25, 0.5)

    @model_validator(mode="after")
    def _some_level(self) -> Robustness:
        if not self.levels:
            raise ValueError("no level of any corruption is left; give at least one, such as mask=[0.4]")
        return self

    @property
    def levels(self) -> dict[Kind, tuple[float, ...]]:
        """The levels of each corruption that has any, ascending."""
        asked: dict[Kind, tuple[float, ...]] = {
            "mask": self.mask,
            "gaussian": self.gaussian,
            "salt-and-pepper": self.salt_and_pepper,
            "occlusion": self.occlusion,
        }
        return {kind: levels for kind, levels in asked.items() if levels}

    @property
    def headline_at(self) -> dict[str, Any]:
        """Where the headline is measured: with 40 % of the pixels off, or at the first corruption's highest level."""
        kind, levels = next(iter(self.levels.items()))
        return {"corruption": kind, "level": HEADLINE if kind == "mask" and HEADLINE in levels else levels[-1]}

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Train the probes on clean codes, then corrupt the test images, one kind and level after the other."""
        outcome = Outcome(headlines=[Headline(PROBE, self.headline_at)])
        probes = self._probes(subject, seed, outcome)
        places = [(kind, level) for kind, levels in self.levels.items() for level in levels]
        clean: list[Measurement] = []
        shown: list[Images] = []
        for number, (kind, level) in enumerate(places):

            def advance(share: float, number: int = number) -> None:
                subject.progress(f"{self.name}, corrupted", (number + share) / len(places))

            images = corrupted(subject.dataset, kind, level)
            # The clean images are the same for all kinds.
            found = clean if level == 0 and clean else self._measure(subject, probes, images, level == 0, advance)
            clean = found if level == 0 else clean
            at = {"corruption": kind, "level": level}
            outcome.measurements += [replace(one, at={**one.at, **at}) for one in found]
            if kind == places[0][0]:
                shown.append(Images(images.pixels(slice(0, SHOWN_IMAGES))))
            # Before the next copy is made.
            del images
        learner = subject.learner(probes[0].trained)
        reconstructs = isinstance(learner, Reconstructs)
        if not reconstructs:
            outcome.warnings.append("the reconstruction error is not measured: the learner does not reconstruct")
        outcome.curves = self._curves(reconstructs)
        name = type(learner).method_name or type(learner).__name__
        outcome.figures = {
            "grid": _grid(learner, shown, places[0][0], self.levels[places[0][0]], subject.device),
            "curves": _curves_figure(outcome.measurements, self.levels, name, reconstructs),
        }
        return outcome

    def _probes(self, subject: Subject, seed: int, outcome: Outcome) -> list[Probe]:
        """Return the classifiers of all folds; tell the outcome of costs at the edge of the grid."""
        from reprbench.probes.linear_svm import train_fold

        probes, n_classes = [], len(subject.dataset.classes)
        for fold in self.each_fold(subject):
            generator = self.inner_generator(seed, fold.number)
            classifier = train_fold(
                fold.train, fold.labels, n_classes, self.costs, generator, inner_folds=self.inner_folds
            )
            clean = classifier.accuracy(fold.test, subject.dataset.test_labels)
            probes.append(Probe(fold.number, fold.trained, classifier, clean))
        edges = sum(probe.classifier.choice.at_edge is not None for probe in probes)
        if edges:
            outcome.warnings.append(f"C at the edge of its grid in {edges} of {len(probes)} folds")
        return probes

    def _measure(
        self,
        subject: Subject,
        probes: Sequence[Probe],
        images: Images,
        clean: bool,
        advance: Callable[[float], None],
    ) -> list[Measurement]:
        """Return what is measured of `images`, the test split (`clean`) or a corrupted copy, without saying which."""
        found = _qualities(subject, probes[0].trained, images, lambda share: advance(share / 2))
        if clean:
            accuracies = [probe.clean for probe in probes]
        else:
            accuracies = self._accuracies(subject, probes, images, lambda share: advance((1 + share) / 2))
        return found + [
            Measurement(PROBE, 100 * accuracy, "%", "higher", {"fold": probe.fold})
            for probe, accuracy in zip(probes, accuracies, strict=True)
        ]

    def _accuracies(
        self, subject: Subject, probes: Sequence[Probe], images: Images, advance: Callable[[float], None]
    ) -> list[float]:
        """Return the accuracy of every probe on the codes of `images`, which are encoded once for each learner."""
        labels = subject.dataset.test_labels
        # A supervised learner was fitted for each fold anew; they are loaded one at a time.
        groups = [[probe] for probe in probes] if subject.supervised else [probes]
        accuracies: list[float] = []
        for number, group in enumerate(groups):
            right, done = np.zeros(len(group), dtype=np.int64), 0

            def share_of_group(share: float, number: int = number) -> None:
                advance((number + share) / len(groups))

            learner = subject.learner(group[0].trained)
            for (codes,) in extract(learner, images, [self.view], subject.device, share_of_group):
                asked = labels[done : done + len(codes)]
                right += [probe.classifier.count_right(codes, asked) for probe in group]
                done += len(codes)
            accuracies += (right / len(images)).tolist()
        return accuracies

    def _curves(self, reconstructs: bool) -> list[Curve]:
        return [
            Curve(
                metric,
                "level",
                {"corruption": kind},
                f"{metric[0].upper()}{metric[1:]}{' (%)' if metric == PROBE else ''}, {CORRUPTIONS[kind].title}",
                CORRUPTIONS[kind].level,
            )
            for kind in self.levels
            for metric in (PROBE, *(("MSE", "PSNR", "SSIM") if reconstructs else ()))
        ]


def _qualities(
    subject: Subject, trained: Indices | None, images: Images, advance: Callable[[float], None]
) -> list[Measurement]:
    """Compare `images`, and what the learner makes of them if it reconstructs, with the clean test images."""
    from reprbench.probes.quality import Quality

    test, learner = subject.dataset.test, subject.learner(trained)
    side, size = min(test.shape[1:]), min(QUALITY_BATCH, learner.encode_batch_size)
    identity, reconstruction = Quality(side, subject.device), Quality(side, subject.device)
    pairs = zip(images.batches(size, subject.device), test.batches(size, subject.device), strict=True)
    for number, (x, originals) in enumerate(pairs):
        identity.add(x, originals)
        if isinstance(learner, Reconstructs):
            reconstruction.add(_reconstruct(learner, x), originals)
        advance(min(1.0, (number + 1) * size / len(test)))
    found = [replace(one, metric=one.metric + IDENTITY) for one in identity.measurements({})]
    return found + (reconstruction.measurements({}) if isinstance(learner, Reconstructs) else [])


def _reconstruct(learner: Reconstructs, x: Tensor) -> Tensor:
    # Entered anew for each batch, as in `extract`.
    with evaluating(learner):
        return learner.reconstruct(x)


def _grid(learner: Learner, shown: Sequence[Images], kind: Kind, levels: Sequence[float], device: str) -> Figure:
    """Draw a few corrupted images, and what the learner makes of them, in two rows a level."""
    from reprbench.plotting import image_grid

    rows: list[NDArray[np.float32]] = []
    labels: list[str] = []
    for images, level in zip(shown, levels, strict=True):
        x = images.batch(slice(0, len(images)), device)
        rows.append(x.cpu().numpy())
        labels.append(CORRUPTIONS[kind].label(level) if level else "clean")
        if isinstance(learner, Reconstructs):
            rows.append(_reconstruct(learner, x).cpu().numpy())
            labels.append("reconstructed")
    title = f"Test images under {CORRUPTIONS[kind].title}"
    return image_grid(rows, labels, title=title + ("" if isinstance(learner, Reconstructs) else NO_RECONSTRUCTION))


def _curves_figure(
    measurements: Sequence[Measurement], levels: Mapping[Kind, Sequence[float]], name: str, reconstructs: bool
) -> Figure:
    """Draw the metrics against the level, a row for each metric and a column for each corruption."""
    from reprbench.plotting import line, new_axes, new_figure

    metrics = (
        {"MSE": "MSE", "SSIM": "SSIM", PROBE: "Probe accuracy (%)"} if reconstructs else {PROBE: "Probe accuracy (%)"}
    )
    figure = new_figure(max(3.5, 2.1 * len(levels)), 0.5 + 1.7 * len(metrics))
    axes = new_axes(figure, len(metrics), len(levels), sharex="col", sharey="row")
    for column, kind in zip(axes.T, levels, strict=True):
        column[0].set_title(CORRUPTIONS[kind].title)
        column[-1].set_xlabel(CORRUPTIONS[kind].level)
        for panel, metric in zip(column, metrics, strict=True):
            if metric != PROBE:
                line(
                    panel,
                    *_means(measurements, kind, metric + IDENTITY)[:2],
                    "identity",
                    color="0.5",
                    marker="",
                    linestyle="--",
                )
            x, means, spread = _means(measurements, kind, metric)
            line(panel, x, means, name, spread=spread)
    for panel, label in zip(axes[:, 0], metrics.values(), strict=True):
        panel.set_ylabel(label)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def _means(
    measurements: Sequence[Measurement], kind: Kind, metric: str
) -> tuple[list[float], list[float], list[float]]:
    """Return the levels of a corruption, and a metric's mean and standard deviation over the folds at each."""
    values: dict[float, list[float]] = {}
    for one in measurements:
        if one.metric == metric and one.at["corruption"] == kind:
            values.setdefault(one.at["level"], []).append(one.value)
    return list(values), [float(np.mean(v)) for v in values.values()], [float(np.std(v)) for v in values.values()]
