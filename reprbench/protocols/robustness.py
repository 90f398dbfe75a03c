"""Robustness to noise (Fig. 4a of the AME-AE paper): corrupted test images, reconstructed and classified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from reprbench.capabilities import Reconstructs
from reprbench.data.common_corruptions import SEVERITIES, CommonKind
from reprbench.data.corruptions import CORRUPTIONS, Kind, corrupted
from reprbench.features import extract
from reprbench.images import Images
from reprbench.learner import Learner
from reprbench.outputs import checked_images
from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Subject
from reprbench.protocols.linear_svm import SVMProtocol
from reprbench.protocols.over_severities import OVER_ALL, PROBE, Common, Severities, over_severities
from reprbench.protocols.robustness_figures import (
    IDENTITY,
    SHOWN_IMAGES,
    common_curves,
    common_images,
    curves_figure,
)
from reprbench.state import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from reprbench.images import Indices
    from reprbench.probes.linear_svm import FoldClassifier

Levels = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], ...], AfterValidator(lambda levels: tuple(sorted(set(levels))))
]

Advance = Callable[[float], None]
"""A callback that receives the share that is done, in [0, 1]."""

HEADLINE = 0.4
"""The level of masking that is the headline, if it is measured: the middle one of the paper's."""
QUALITY_BATCH = 64
"""Images compared at a time: SSIM needs up to forty times their memory."""
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
    """Reconstruction error and probe accuracy on corrupted test images, of a learner fitted to clean ones.

    For each kind of corruption and each level: MSE, PSNR (dB) and SSIM of the reconstruction, and of the corrupted
    image itself ("… of the identity"), against the clean image; and for each fold the accuracy (%), on the codes of the
    corrupted test images, of a linear SVM trained on clean codes as in `linear-svm` (C is chosen inside the fold). All
    channels of a pixel are corrupted together, except by Gaussian noise. The corrupted images are the same for every
    method and seed, and rounded to 8 bits. For the probe of the identity see the row `raw-pixels`.

    Of common corruptions only the probe is measured: at each severity; for each kind as "accuracy over severities" (%),
    the mean over `severities` without the clean images, and "corruption error" (%), 100 minus that; and for all kinds
    together as "accuracy over common corruptions" (%), the mean over the kinds. The corruption errors, each divided by
    that of a baseline, and averaged over the kinds, are the mean corruption error (mCE) of Hendrycks and Dietterich:
    ``reprbench report --pivot "corruption error" --relative-to raw-pixels``.

    Source: Fig. 4a of the AME-AE paper for `mask` and its levels; the other corruptions and their levels are ours, the
    common ones those of CIFAR-10-C (`reprbench.data.common_corruptions`).

    Parameters
    ----------
    mask : probabilities that a pixel is 0. Level 0 is the clean image; an empty list leaves a corruption out.
    gaussian : standard deviations of added noise, in units of the pixels' range.
    salt_and_pepper : shares of pixels that are set to 0 or 1.
    occlusion : shares of the image's area that a black square covers.
    common : the common corruptions that are applied too, a list of names, one name, or "all"; none by default.
    severities : of these, from 1 to 5.
    """

    name = "robustness"
    version = 3
    headlines = (PROBE,)

    mask: Levels = (0.0, 0.2, 0.4, 0.6, 0.8)
    gaussian: Levels = (0.0, 0.1, 0.2, 0.4)
    salt_and_pepper: Levels = (0.0, 0.1, 0.2, 0.4)
    occlusion: Levels = (0.0, 0.1, 0.25, 0.5)
    common: Common = ()
    severities: Severities = SEVERITIES

    @model_validator(mode="after")
    def _some_level(self) -> Robustness:
        if not self.levels and not self.common:
            raise ValueError("no level of any corruption is left; give at least one, such as mask=[0.4]")
        if self.severities != SEVERITIES and not self.common:
            raise ValueError("severities are those of common corruptions; name some, as in common=all")
        return self

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the parameters of common corruptions if there are none: so what is stored keeps its identity."""
        found: dict[str, Any] = handler(self)
        without = {"common", "severities"} if not self.common else set()
        return {name: value for name, value in found.items() if name not in without}

    @property
    def levels(self) -> dict[Kind, tuple[float, ...]]:
        """The levels of each corruption that has any, ascending; without the common ones."""
        asked: dict[Kind, tuple[float, ...]] = {
            "mask": self.mask,
            "gaussian": self.gaussian,
            "salt-and-pepper": self.salt_and_pepper,
            "occlusion": self.occlusion,
        }
        return {kind: levels for kind, levels in asked.items() if levels}

    @property
    def headline_at(self) -> dict[str, Any]:
        """The coordinates of the headline: 40 % of the pixels off, or the first corruption's highest level."""
        if not self.levels:
            return {"corruption": self.common[0], "level": self.severities[-1]}
        kind, levels = next(iter(self.levels.items()))
        return {"corruption": kind, "level": HEADLINE if kind == "mask" and HEADLINE in levels else levels[-1]}

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Train the probes on clean codes, then measure on the test images, one corruption and level at a time."""
        probes = self._probes(subject, seed)
        measurements = self._measurements(subject, probes)
        learner = subject.learner(probes[0].trained)
        reconstructs = isinstance(learner, Reconstructs)
        warnings = self.cost_warnings(subject, [probe.classifier.choice for probe in probes])
        if not reconstructs:
            warnings.append("the reconstruction error is not measured: the learner does not reconstruct")
        return Outcome(
            [*measurements, *over_severities(measurements, self.common)],
            warnings,
            figures=self._figures(subject, learner, measurements),
            headlines=[Headline(PROBE, self.headline_at), *([Headline(OVER_ALL)] if self.common else [])],
            curves=self._curves(reconstructs),
        )

    def _figures(self, subject: Subject, learner: Learner, measurements: Sequence[Measurement]) -> dict[str, Figure]:
        figures = {}
        if self.levels:
            name = type(learner).method_name or type(learner).__name__
            reconstructs = isinstance(learner, Reconstructs)
            figures["grid"] = self._grid(subject, learner)
            figures["curves"] = curves_figure(measurements, self.levels, name, reconstructs)
        if self.common:
            figures["common-images"] = common_images(subject.dataset, self.common, self.severities[-1])
            figures["common-curves"] = common_curves(measurements, self.common)
        return figures

    def _probes(self, subject: Subject, seed: int) -> list[Probe]:
        """Return the classifiers of all folds."""
        probes = []
        for fold in self.each_fold(subject):
            classifier = self.train(fold, subject, seed)
            clean = classifier.accuracy(fold.test, subject.dataset.test_labels)
            probes.append(Probe(fold.number, fold.trained, classifier, clean))
        return probes

    def _measurements(self, subject: Subject, probes: Sequence[Probe]) -> list[Measurement]:
        places: list[tuple[Kind | CommonKind, float]] = []
        places += [(kind, level) for kind, levels in self.levels.items() for level in levels]
        places += [(kind, severity) for kind in self.common for severity in (0, *self.severities)]
        found: list[Measurement] = []
        clean: dict[bool, list[Measurement]] = {}
        for number, (kind, level) in enumerate(places):
            # The clean images are the same for all kinds; of common ones only the probe is measured.
            common = kind in self.common
            measured = clean.get(common, []) if level == 0 else []
            if not measured:
                advance = _part(lambda share: subject.progress(f"{self.name}, corrupted", share), number, len(places))
                measured = self._measure(subject, probes, kind, level, advance)
            if level == 0:
                clean[common] = measured
            found += [replace(one, at={**one.at, "corruption": kind, "level": level}) for one in measured]
        return found

    def _measure(
        self, subject: Subject, probes: Sequence[Probe], kind: Kind | CommonKind, level: float, advance: Advance
    ) -> list[Measurement]:
        """Return the measurements of a corrupted test split, without their coordinates."""
        images = corrupted(subject.dataset, kind, level)
        found = [] if kind in self.common else _qualities(subject, probes[0].trained, images, _part(advance, 0, 2))
        if level == 0:
            accuracies = [probe.clean for probe in probes]
        else:
            accuracies = self._accuracies(subject, probes, images, _part(advance, 1, 2))
        return found + [
            Measurement(PROBE, 100 * accuracy, "%", "higher", {"fold": probe.fold})
            for probe, accuracy in zip(probes, accuracies, strict=True)
        ]

    def _accuracies(self, subject: Subject, probes: Sequence[Probe], images: Images, advance: Advance) -> list[float]:
        """Return the accuracy of every probe on the codes of `images`, which are encoded once per learner."""
        # A supervised learner was fitted once per fold; these fits are loaded one at a time.
        groups = [[probe] for probe in probes] if subject.supervised else [probes]
        accuracies: list[float] = []
        for number, group in enumerate(groups):
            right, done = np.zeros(len(group), dtype=np.int64), 0
            learner = subject.learner(group[0].trained)
            for (codes,) in extract(learner, images, [self.view], subject.device, _part(advance, number, len(groups))):
                asked = subject.dataset.test_labels[done : done + len(codes)]
                right += [probe.classifier.count_right(codes, asked) for probe in group]
                done += len(codes)
            accuracies += (right / len(images)).tolist()
        return accuracies

    def _grid(self, subject: Subject, learner: Learner) -> Figure:
        """Draw a few images under the first corruption and their reconstructions, in two rows per level."""
        from reprbench.plotting import image_grid

        kind, levels = next(iter(self.levels.items()))
        rows: list[NDArray[np.float32]] = []
        labels: list[str] = []
        for level in levels:
            x = corrupted(subject.dataset, kind, level, SHOWN_IMAGES).batch(slice(None), subject.device)
            rows.append(x.cpu().numpy())
            labels.append(CORRUPTIONS[kind].label(level) if level else "clean")
            if isinstance(learner, Reconstructs):
                rows.append(_reconstruct(learner, x).cpu().numpy())
                labels.append("reconstructed")
        title = f"Test images under {CORRUPTIONS[kind].title}"
        return image_grid(rows, labels, title=title + ("" if isinstance(learner, Reconstructs) else NO_RECONSTRUCTION))

    def _curves(self, reconstructs: bool) -> list[Curve]:
        own = [
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
        title = "Probe accuracy (%)"
        return own + [
            Curve(PROBE, "level", {"corruption": kind}, f"{title}, {kind}", "severity") for kind in self.common
        ]


def _part(advance: Advance, number: int, count: int) -> Advance:
    """Return a callback for the share of one of `count` consecutive parts."""
    return lambda share: advance((number + share) / count)


def _qualities(subject: Subject, trained: Indices | None, images: Images, advance: Advance) -> list[Measurement]:
    """Compare `images`, and their reconstructions if the learner reconstructs, with the clean test images."""
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
    # Entered once per batch, as in `extract`.
    with evaluating(learner):
        return checked_images(learner.reconstruct(x), x.shape, "reconstruct")
