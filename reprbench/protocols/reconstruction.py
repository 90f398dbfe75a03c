"""What every layer keeps of an image: reconstructions by the learner itself and by decoders of one budget (Fig. 4b)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from reprbench.capabilities import Reconstructs
from reprbench.data.folds import base_name, named_generator, random_rows
from reprbench.errors import UserError, did_you_mean
from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Protocol, Subject
from reprbench.state import evaluating

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from reprbench.images import Images
    from reprbench.learner import Learner
    from reprbench.probes.mirror_decoder import MirrorDecoder

OWN, MIRROR, COMPONENTS, MEAN = "own", "mirror", "PCA", "mean image"
KINDS = (OWN, MIRROR, COMPONENTS, MEAN)
PCA_IMAGES = 5000
PCA_BYTES = 500_000_000
"""What the images that the principal components are fitted to may take, as float64."""
SHOWN_IMAGES = 8
SHOWN_LAYERS = 12


class Layer(NamedTuple):
    """One layer of the learner: its name, its number from 1, and how many features an image has there."""

    name: str
    depth: int
    size: int

    def at(self, decoder: str) -> dict[str, Any]:
        """Return the coordinates of what a decoder makes of it."""
        return {"layer": self.name, "decoder": decoder, "depth": self.depth}


@dataclass(frozen=True, eq=False)
class Floors:
    """What asks nothing of the learner: the mean image, and principal components of the images.

    Attributes
    ----------
    mean_image : float32 (C, H, W), of all unlabeled images.
    center : float32 (C·H·W,), the mean of the images that the components are of.
    components : float32 (k, C·H·W), orthonormal, leading first.
    images : how many the components are of.
    """

    mean_image: NDArray[np.float32]
    center: NDArray[np.float32]
    components: NDArray[np.float32]
    images: int

    def projected(self, x: NDArray[np.float32], dimension: int) -> NDArray[np.float32]:
        """Return images (N, C, H, W) projected onto the leading components, clipped to [0, 1]."""
        if dimension == self.components.shape[1]:
            # A whole basis loses nothing; what would be measured is rounding.
            return x
        directions = self.components[:dimension]
        pixels = self.center + (x.reshape(len(x), -1) - self.center) @ directions.T @ directions
        return np.clip(pixels, 0, 1).reshape(x.shape).astype(np.float32)


class Reconstruction(Protocol):
    """Reconstruction error per layer, on fixed test images.

    Of each layer: the learner's own reconstruction ("own") where it has one from there; elsewhere that of a mirror
    decoder ("mirror"), which is trained on the frozen features of the layer by one budget for all layers of all
    learners, and never on a test image. What such a decoder reaches is the layer's decodability under that budget, not
    what information it holds. For a supervised learner decoders learn from the images of its fold.

    Beside them stand two floors: principal components of the images, as many as the layer has features ("PCA", the best
    linear code of that size), of at most 5000 unlabeled images and as many as fit into 500 MB as float64 numbers; and
    the mean unlabeled image. Components are no more than these images and their pixels give, see "PCA dimension".

    Source: X. Gao, H. Xiong (the AME-AE paper), Fig. 4b; mirror decoders, floors and numbers are choices of ours.

    Parameters
    ----------
    layers : their names; all by default.
    steps : of each decoder's training, the budget.
    batch_size, width, lr : of the decoders' training (Adam), and the channels of their maps.
    images : how many test images are measured, the same for everybody.
    mirror : whether layers without a reconstruction of their own get a decoder.
    """

    name = "reconstruction"
    version = 2
    headlines = ("MSE",)

    layers: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    steps: PositiveInt = 500
    batch_size: PositiveInt = 64
    width: PositiveInt = 32
    lr: PositiveFloat = 1e-3
    images: PositiveInt = 1000
    mirror: bool = True

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return MSE, PSNR (dB) and SSIM of every layer and decoder, and the size of every layer."""
        learner, dataset = subject.learner(subject.trained), subject.dataset
        layers = self._layers(learner, dataset.test, subject.device)
        own = {layer.name for layer in layers if _has_own(learner, dataset.test, layer.name, subject.device)}
        decoders = self._decoders(subject, learner, [layer.name for layer in layers if layer.name not in own], seed)
        used = {layer.name: OWN if layer.name in own else MIRROR for layer in layers}
        shown = [layer for layer in layers if layer.name in own or layer.name in decoders]
        if not shown:
            return Outcome(missing="reconstruction[mirror=false] needs a learner that reconstructs from a chosen layer")
        floors = fitted_floors(dataset.unlabeled, dataset.name, max(layer.size for layer in layers))
        count = min(self.images, len(dataset.test))
        rows = random_rows(len(dataset.test), count, named_generator(f"{base_name(dataset.name)} reconstruction"))
        few = np.linspace(0, count - 1, min(SHOWN_IMAGES, count)).round().astype(np.int64)
        batches = dataset.test.take(rows).batches(self.batch_size, subject.device)
        outcome = Outcome(headlines=[Headline("MSE", {"layer": shown[-1].name, "decoder": used[shown[-1].name]})])
        for layer in layers:
            place = {"layer": layer.name, "depth": layer.depth}
            outcome.measurements.append(Measurement("layer size", layer.size, at=place))
            dimension = min(layer.size, len(floors.components))
            outcome.measurements.append(Measurement("PCA dimension", dimension, at=layer.at(COMPONENTS)))
        outcome.measurements += measured(learner, batches, layers, decoders, own, floors, subject)
        outcome.curves = _curves(outcome.measurements)
        # A whole basis loses nothing: more components would be no better.
        whole = len(floors.components) == int(np.prod(dataset.test.shape))
        if not whole and any(layer.size > len(floors.components) for layer in layers):
            outcome.warnings.append(
                f"PCA floors have at most {len(floors.components)} components: those of {floors.images} images of "
                f"{int(np.prod(dataset.test.shape))} numbers"
            )
        x = dataset.test.batch(rows[few], subject.device)
        outcome.figures = {
            "grid": _grid(x, _thinned(shown), learner, decoders, used),
            "error": _error_figure(outcome.measurements, layers),
        }
        return outcome

    def _layers(self, learner: Learner, images: Images, device: str) -> list[Layer]:
        from reprbench.probes.mirror_decoder import encoded

        maps = encoded(learner, images.batch(slice(0, 1), device))
        for name in () if self.layers == "all" else self.layers:
            if name not in maps:
                raise UserError(f"no layer {name!r}.{did_you_mean(name, maps)} Layers: {', '.join(maps)}")
        every = [Layer(name, depth, features[0].numel()) for depth, (name, features) in enumerate(maps.items(), 1)]
        return [layer for layer in every if self.layers == "all" or layer.name in self.layers]

    def _decoders(
        self, subject: Subject, learner: Learner, layers: Sequence[str], seed: int
    ) -> dict[str, MirrorDecoder]:
        from reprbench.probes.mirror_decoder import Budget, train_decoders

        if not self.mirror or not layers:
            return {}
        dataset = subject.dataset
        images = dataset.unlabeled if subject.trained is None else dataset.train.take(subject.trained)
        budget = Budget(self.steps, self.batch_size, self.width, self.lr)
        return train_decoders(
            learner, images, layers, budget, seed, subject.device, lambda share: subject.progress(self.name, share)
        )


def fitted_floors(images: Images, name: str, dimension: int) -> Floors:
    """Return the mean of `images`, and the `dimension` leading components of a fixed draw, or as many as that has."""
    from sklearn.decomposition import PCA

    size = int(np.prod(images.shape))
    total = sum(images.batch(slice(start, start + 1000)).double().sum(0) for start in range(0, len(images), 1000))
    most = min(len(images), PCA_IMAGES, max(2, PCA_BYTES // (8 * size)))
    rows = random_rows(len(images), most, named_generator(f"{base_name(name)} components"))
    pixels = images.pixels(rows).reshape(most, size) / 255.0
    # Around their mean, n images have at most n − 1 directions.
    fitted = PCA(max(1, min(dimension, size, most - 1)), svd_solver="covariance_eigh" if size <= most else "full")
    fitted.fit(pixels)
    mean_image = (total / len(images)).float().numpy()  # type: ignore[union-attr]
    return Floors(mean_image, fitted.mean_.astype(np.float32), fitted.components_.astype(np.float32), most)


def measured(
    learner: Learner,
    batches: Iterator[Tensor],
    layers: Sequence[Layer],
    decoders: dict[str, MirrorDecoder],
    own: set[str],
    floors: Floors,
    subject: Subject,
) -> list[Measurement]:
    """Return the quality of what every layer's decoder, and the floors beside it, make of all images."""
    import torch

    from reprbench.probes.quality import Quality

    side = min(subject.dataset.test.shape[1:])
    dimensions = {min(layer.size, len(floors.components)) for layer in layers}
    learned = {layer.name: Quality(side, subject.device) for layer in layers if layer.name in own | set(decoders)}
    linear = {dimension: Quality(side) for dimension in dimensions}
    constant = Quality(side)
    mean_image = torch.from_numpy(floors.mean_image)
    for x in batches:
        for name, images in reconstructions(learner, x, list(learned), decoders):
            learned[name].add(images, x)
        originals = x.cpu()
        for dimension, quality in linear.items():
            quality.add(torch.from_numpy(floors.projected(originals.numpy(), dimension)), originals)
        constant.add(mean_image.expand_as(originals), originals)
    found = []
    for layer in layers:
        if layer.name in learned:
            found += learned[layer.name].measurements(layer.at(OWN if layer.name in own else MIRROR))
        found += linear[min(layer.size, len(floors.components))].measurements(layer.at(COMPONENTS))
        found += constant.measurements(layer.at(MEAN))
    return found


def reconstructions(
    learner: Learner, x: Tensor, layers: Sequence[str], decoders: dict[str, MirrorDecoder]
) -> Iterator[tuple[str, Tensor]]:
    """Yield each layer's reconstruction of `x`: a decoder's where there is one, else the learner's own."""
    import torch

    from reprbench.probes.mirror_decoder import encoded

    maps = encoded(learner, x) if decoders else {}
    for name in layers:
        if name in decoders:
            with torch.inference_mode():
                yield name, decoders[name](maps[name])
        else:
            yield name, _own(learner, x, name)


def _own(learner: Learner, x: Tensor, layer: str) -> Tensor:
    import torch

    if not isinstance(learner, Reconstructs):
        raise TypeError(f"{type(learner).__name__} does not reconstruct")
    with evaluating(learner):
        return torch.cat([learner.reconstruct(part, layer) for part in torch.split(x, learner.encode_batch_size)])


def _has_own(learner: Learner, images: Images, layer: str, device: str) -> bool:
    """Return whether the learner reconstructs from the layer; a `UserError` of its is a no."""
    if not isinstance(learner, Reconstructs):
        return False
    try:
        _own(learner, images.batch(slice(0, 1), device), layer)
    except UserError:
        return False
    return True


def _curves(measurements: Sequence[Measurement]) -> list[Curve]:
    there = {(m.metric, m.at.get("decoder")) for m in measurements}
    return [
        Curve(metric, "depth", {"decoder": kind}, f"{metric} by layer, {kind}", "layer")
        for metric in ("MSE", "PSNR", "SSIM")
        for kind in KINDS
        if (metric, kind) in there
    ]


def _thinned(layers: Sequence[Layer]) -> list[Layer]:
    """Return at most twelve layers, evenly spread from the first to the last."""
    places = np.unique(np.linspace(0, len(layers) - 1, min(SHOWN_LAYERS, len(layers))).round().astype(int))
    return [layers[place] for place in places]


def _grid(
    x: Tensor, layers: Sequence[Layer], learner: Learner, decoders: dict[str, MirrorDecoder], used: dict[str, str]
) -> Figure:
    from reprbench.plotting import image_grid

    made = reconstructions(learner, x, [layer.name for layer in layers], decoders)
    rows = {f"{name} ({used[name]})": images.float().cpu().numpy() for name, images in made}
    return image_grid([x.cpu().numpy(), *rows.values()], ["original", *rows])


def _error_figure(measurements: Sequence[Measurement], layers: Sequence[Layer]) -> Figure:
    """Return MSE against the layers, a line for each kind of decoder."""
    from reprbench.plotting import line, new_axes, new_figure

    figure = new_figure(max(3.5, 1.6 + 0.3 * len(layers)), 2.8)
    (axes,) = new_axes(figure).ravel()
    values: list[float] = []
    for number, kind in enumerate(KINDS):
        points = [(m.at["depth"], m.value) for m in measurements if m.metric == "MSE" and m.at["decoder"] == kind]
        # Where the components are a whole basis their error is zero, which a logarithmic axis cannot show.
        points = [(depth, value) for depth, value in points if value > 0]
        values += [value for _, value in points]
        if points and kind == MEAN:
            axes.axhline(points[0][1], color="0.45", linestyle=":", label=kind)
        elif points:
            depths, errors = zip(*points, strict=True)
            # Hollow marks let the learner's own be seen where the components do as well as it.
            options: dict[str, Any] = {"linestyle": "--", "markerfacecolor": "none"} if kind == COMPONENTS else {}
            line(axes, depths, errors, kind, number, **options)
    if values and max(values) > 10 * min(values):
        axes.set_yscale("log")
    elif values:
        axes.set_ylim(bottom=0)
    names = [layer.name for layer in layers]
    tilted = sum(len(name) for name in names) > 30
    axes.set_xticks(
        [layer.depth for layer in layers], names, rotation=45 if tilted else 0, ha="right" if tilted else "center"
    )
    axes.set_xlim(layers[0].depth - 0.5, layers[-1].depth + 0.5)
    axes.set_xlabel("layer")
    axes.set_ylabel("MSE of reconstruction")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return figure
