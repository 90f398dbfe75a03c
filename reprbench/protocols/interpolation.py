"""Linear interpolation between codes: how even the decoded steps are, and how far from real images (Fig. 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from reprbench.capabilities import Decodes
from reprbench.data.folds import random_rows
from reprbench.errors import UserError
from reprbench.outputs import checked_images
from reprbench.protocols.base import Curve, Measurement, Outcome, Protocol, Subject
from reprbench.run_context import derive_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from reprbench.data.dataset import Dataset
    from reprbench.images import Images, Indices
    from reprbench.learner import Learner

CODE, PIXELS, RECONSTRUCTIONS = "code", "pixel blend", "blend of reconstructions"
MODELS = (CODE, PIXELS, RECONSTRUCTIONS)
DISTANCE = "distance to nearest real image"
BEYOND = "distance beyond blending"
BY_POSITION = "distance to nearest real image by position"
PAIRS_AT_ONCE = 100
SAME_IMAGE = 1e-4
"""Below this root mean squared difference, far less than a gray level of 1/255, two ends of a path are one image."""


@dataclass(frozen=True, eq=False)
class Paths:
    """The measurements of the paths of one model, arrays of shape (pairs,) or (pairs, steps)."""

    endpoint_errors: NDArray[np.float64]
    lengths: NDArray[np.float64]
    """‖x_{t+1} − x_t‖, root mean squared per pixel, shape (pairs, steps − 1)."""
    ends: NDArray[np.float64]
    """‖x_last − x_first‖, likewise."""
    distances: NDArray[np.float64]
    """Distance to the nearest real image, root mean squared per pixel."""

    @classmethod
    def joined(cls, parts: Sequence[Paths]) -> Paths:
        """Return the paths of all parts."""
        names = ("endpoint_errors", "lengths", "ends", "distances")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Interpolation(Protocol):
    """Linear interpolation in h from E(a) to E(b) for pairs of test images, decoded at equal steps.

    Measured for the model "code" and for two blends in pixel space: "pixel blend", of a and b themselves, and "blend of
    reconstructions", of D(E(a)) and D(E(b)). Endpoint error is the mean squared error of the ends against a and b;
    unevenness of steps is the coefficient of variation of ‖x_{t+1} − x_t‖ along a path (0: perfectly even); step excess
    is the length of the path divided by the distance between its ends (1: straight in pixel space); the distance to the
    nearest real image is Euclidean, given as root mean squared error per pixel, as a mean over intermediate images and
    also at every position. All are means over pairs.

    The effect of blur: a smooth image lies near many real ones, and the mean image is near everything, so that a
    blurred decoder has small distances however poor its paths are. A pixel blend of sharp images is penalized for its
    two sharp ghosts, and a sharp decoder for every misplaced stroke. "Blend of reconstructions" is as blurred as the
    code's own images, and therefore the fairer baseline: a code is useful if its paths are nearer to real images than
    that. So the headline, "distance beyond blending", is the code's distance minus that of this blend: negative if the
    code is useful, and 0 for a decoder that maps everything to one image.

    Source: X. Gao, H. Xiong (the AME-AE paper), Fig. 5, which only shows images; the measurements are our choices.

    Parameters
    ----------
    classes : pairs of class numbers, each of which stands for the first test images of the two classes; by default,
        pairs are drawn at random from different classes, by the seed, the same for all methods.
    pairs : how many pairs, the first ones, are shown.
    measured_pairs : how many are drawn.
    steps : images in a path, including both ends.
    real_images : the most unlabeled images among which the nearest is searched, the same for every method.
    """

    name = "interpolation"
    version = 1
    headlines = (BEYOND,)
    needs = (Decodes,)

    classes: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] = ()
    pairs: PositiveInt = 6
    measured_pairs: PositiveInt = 100
    steps: Annotated[int, Field(ge=3)] = 11
    real_images: PositiveInt = 10_000

    @field_validator("classes")
    @classmethod
    def _differ(cls, value: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        same = [str(pair) for pair in value if pair[0] == pair[1]]
        if same:
            raise ValueError(f"expected pairs of two different classes, not {', '.join(same)}")
        return value

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the measurements of all models, a curve of the distances, and pictures of the first paths."""
        learner, dataset = subject.learner(subject.trained), subject.dataset
        chosen = self.chosen_pairs(dataset, seed)
        count = min(self.real_images, len(dataset.unlabeled))
        real = dataset.unlabeled.take(random_rows(len(dataset.unlabeled), count, subject.generator("interpolation")))
        parts: dict[str, list[Paths]] = {model: [] for model in MODELS}
        shown: dict[str, Tensor] = {}
        for start in range(0, len(chosen), PAIRS_AT_ONCE):
            subject.progress(self.name, start / len(chosen))
            some = chosen[start : start + PAIRS_AT_ONCE]
            a, b = (dataset.test.batch(some[:, side], subject.device) for side in (0, 1))
            for model, images in paths(learner, a, b, self.steps).items():
                parts[model].append(_measured(images.cpu(), a.cpu(), b.cpu(), real, subject.device))
                if start == 0:
                    shown[model] = images[: self.pairs].cpu()
        return self._outcome({model: Paths.joined(part) for model, part in parts.items()}, shown)

    def chosen_pairs(self, dataset: Dataset, seed: int) -> Indices:
        """Return the rows of the test split that paths run between, shape (pairs, 2).

        Raises
        ------
        UserError
            If the test split has no image of a requested class, or only one class.
        """
        labels, there = dataset.test_labels, np.unique(dataset.test_labels)
        if unknown := sorted({number for pair in self.classes for number in pair} - set(there.tolist())):
            expected = ", ".join(str(label) for label in there)
            raise UserError(f"interpolation: no test image is of class {unknown[0]}; expected one of {expected}")
        if self.classes:
            first = [[int(np.argmax(labels == number)) for number in pair] for pair in self.classes]
            return np.array(first, dtype=np.int64)
        if len(there) < 2:
            raise UserError("interpolation: the test images are all of one class; expected two, use a larger --limit")
        generator = np.random.default_rng(derive_seed(seed, "interpolation/pairs"))
        drawn = [
            [start, generator.choice(np.flatnonzero(labels != labels[start]))]
            for start in generator.integers(len(labels), size=self.measured_pairs)
        ]
        return np.array(drawn, dtype=np.int64)

    def _outcome(self, found: dict[str, Paths], shown: dict[str, Tensor]) -> Outcome:
        positions = [step / (self.steps - 1) for step in range(self.steps)]
        inner = {model: float(measured.distances[:, 1:-1].mean()) for model, measured in found.items()}
        outcome = Outcome([Measurement(BEYOND, inner[CODE] - inner[RECONSTRUCTIONS], "", "lower")])
        for model, measured in found.items():
            at: dict[str, Any] = {"model": model}
            outcome.measurements += [
                Measurement(DISTANCE, inner[model], "", "lower", at),
                Measurement("endpoint error", float(measured.endpoint_errors.mean()), "", "lower", at),
                *_along(measured, at),
                *_by_position(measured, positions, at),
            ]
            title = f"distance to nearest real image, {model}"
            outcome.curves.append(Curve(BY_POSITION, "position", at, title, "position between a and b"))
        if collapsed := int((found[CODE].ends <= SAME_IMAGE).sum()):
            outcome.warnings.append(
                f"the ends of {collapsed} of {len(found[CODE].ends)} paths are decoded to the same image; "
                "steps are measured on the others"
            )
        outcome.figures = {
            "strips": _strips(shown, positions),
            "distance": _distance_figure({model: paths.distances for model, paths in found.items()}, positions),
        }
        return outcome


def straight(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Return `steps` points from `start` to `end` (N, …), inclusive, shape (N, steps, …)."""
    import torch

    shares = torch.linspace(0, 1, steps, device=start.device).view(1, steps, *[1] * (start.ndim - 1))
    return (1 - shares) * start.unsqueeze(1) + shares * end.unsqueeze(1)


def paths(learner: Learner, a: Tensor, b: Tensor, steps: int) -> dict[str, Tensor]:
    """Return the images of every model's paths from `a` to `b` (N, C, H, W), shape (N, steps, C, H, W)."""
    import torch

    from reprbench.probes.mirror_decoder import encoded
    from reprbench.state import evaluating

    if not isinstance(learner, Decodes):
        raise TypeError(f"{type(learner).__name__} does not decode")
    start, end = (list(encoded(learner, x).values())[-1] for x in (a, b))
    codes = straight(start, end, steps).flatten(0, 1)
    with evaluating(learner):
        decoded = torch.cat(
            [
                checked_images(learner.decode(part), (len(part), *a.shape[1:]), "decode").float()
                for part in torch.split(codes, learner.encode_batch_size)
            ]
        )
    images = decoded.reshape(len(a), steps, *a.shape[1:])
    return {
        CODE: images,
        PIXELS: straight(a, b, steps),
        RECONSTRUCTIONS: straight(images[:, 0], images[:, -1], steps),
    }


def _measured(images: Tensor, a: Tensor, b: Tensor, real: Images, device: str) -> Paths:
    from reprbench.probes.knn import nearest_distances

    points = images.flatten(2).double().numpy()
    ends = np.stack([a.flatten(1).double().numpy(), b.flatten(1).double().numpy()], axis=1)
    return Paths(
        np.square(points[:, [0, -1]] - ends).mean((1, 2)),
        np.sqrt(np.square(np.diff(points, axis=1)).mean(2)),
        np.sqrt(np.square(points[:, -1] - points[:, 0]).mean(1)),
        nearest_distances(images.flatten(0, 1), real, device).reshape(points.shape[:2]),
    )


def _along(measured: Paths, at: dict[str, Any]) -> list[Measurement]:
    """Return unevenness and excess of the steps, over the paths whose ends differ."""
    kept = measured.ends > SAME_IMAGE
    if not kept.any():
        return []
    lengths, ends = measured.lengths[kept], measured.ends[kept]
    unevenness = lengths.std(1) / lengths.mean(1)
    return [
        Measurement("unevenness of steps", float(unevenness.mean()), "", "lower", at),
        Measurement("step excess", float((lengths.sum(1) / ends).mean()), "", "lower", at),
    ]


def _by_position(measured: Paths, positions: Sequence[float], at: dict[str, Any]) -> list[Measurement]:
    return [
        Measurement(BY_POSITION, float(value), "", "lower", {**at, "position": position})
        for position, value in zip(positions, measured.distances.mean(0), strict=True)
    ]


def _strips(shown: dict[str, Tensor], positions: Sequence[float]) -> Figure:
    """Return two rows for each path: through the code, and blended."""
    from reprbench.plotting import image_grid

    rows = [images for pair in zip(shown[CODE], shown[PIXELS], strict=True) for images in pair]
    return image_grid(
        [row.numpy() for row in rows],
        ["code", "pixel blend"] * (len(rows) // 2),
        [f"{position:.2g}" for position in positions],
    )


def _distance_figure(distances: dict[str, NDArray[np.float64]], positions: Sequence[float]) -> Figure:
    from reprbench.plotting import line, new_axes, new_figure

    figure = new_figure(3.5, 2.9)
    (axes,) = new_axes(figure).ravel()
    for number, (model, values) in enumerate(distances.items()):
        line(axes, positions, values.mean(0).tolist(), model, number)
    axes.set_xlabel("position between a and b")
    axes.set_ylabel("RMSE to nearest real image")
    axes.set_ylim(0, 1.08 * max(float(values.mean(0).max()) for values in distances.values()))
    axes.legend(loc="lower center", frameon=False, fontsize=8)
    return figure
