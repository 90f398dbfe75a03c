"""What every layer keeps of an image: reconstructions by the learner and by decoders of equal budget (Fig. 4b)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from reprbench.data.folds import random_rows
from reprbench.features import View
from reprbench.probes.baselines import Baselines, fit_baselines
from reprbench.protocols.base import Curve, Headline, Measurement, Outcome, Protocol, Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from reprbench.images import Images
    from reprbench.learner import Learner
    from reprbench.probes.decoders import Decoders
    from reprbench.probes.mirror_decoder import MirrorDecoder
    from reprbench.probes.quality import Quality

COMPONENTS, MEAN = "PCA", "mean image"
KINDS = ("own", "mirror", COMPONENTS, MEAN)
SHOWN_IMAGES = 8
SHOWN_LAYERS = 12


class Layer(NamedTuple):
    """One layer of the learner: its name, its number from 1, and its number of features per image."""

    name: str
    depth: int
    size: int

    def at(self, decoder: str) -> dict[str, Any]:
        """Return the coordinates of a decoder's measurements for this layer."""
        return {"layer": self.name, "decoder": decoder, "depth": self.depth}


class Reconstruction(Protocol):
    """Reconstruction error per layer, on fixed test images.

    For each layer: the learner's own reconstruction ("own") if it has one from there; otherwise that of a mirror
    decoder ("mirror"), which is trained on the frozen features of the layer with the same budget for all layers of all
    learners, and never on a test image. Its error measures the layer's decodability under that budget, not the
    information it holds. For a supervised learner, decoders learn from the images of its fold.

    There are two baselines that do not use the learner: principal components of the images, as many as the layer has
    features ("PCA", the best linear code of that size), of at most 5000 unlabeled images and as many as fit into 500 MB
    as float64 numbers; and the mean unlabeled image. The number of components is limited by the numbers of these images
    and of their pixels, see "PCA dimension".

    Source: X. Gao, H. Xiong (the AME-AE paper), Fig. 4b; mirror decoders, baselines and numbers are our choices.

    Parameters
    ----------
    layers : names of layers; all by default.
    steps : the budget of each decoder's training.
    batch_size, width, lr : of the decoders' training (Adam), and the channels of their maps.
    images : how many test images are measured, the same for every method.
    mirror : whether layers without a reconstruction of their own get a decoder.
    """

    name = "reconstruction"
    version = 3
    headlines = ("MSE",)

    layers: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    steps: PositiveInt = 500
    batch_size: PositiveInt = 64
    width: PositiveInt = 32
    lr: PositiveFloat = 1e-3
    images: PositiveInt = 1000
    mirror: bool = True

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return MSE, PSNR (dB) and SSIM for every layer and decoder, and the size of every layer."""
        learner, dataset = subject.learner(subject.trained), subject.dataset
        layers = self._layers(learner, dataset.test, subject.device)
        decoders = self._decoders(subject, learner, layers, seed)
        shown = [layer for layer in layers if decoders.kind(layer.name)]
        if not shown:
            return Outcome(missing="reconstruction[mirror=false] needs a learner that reconstructs from a chosen layer")
        count = min(self.images, len(dataset.test))
        images = dataset.test.take(random_rows(len(dataset.test), count, subject.generator("reconstruction")))
        baselines = fit_baselines(dataset.unlabeled, dataset.name, max(layer.size for layer in layers))
        batches = images.batches(self.batch_size, subject.device)
        measurements = list(_sizes(layers, baselines))
        measurements += _qualities(batches, layers, decoders, baselines, subject.device)
        few = np.linspace(0, count - 1, min(SHOWN_IMAGES, count)).round().astype(np.int64)
        return Outcome(
            measurements,
            _warnings(layers, baselines),
            figures={
                "grid": _grid(images.batch(few, subject.device), _thinned(shown), decoders),
                "error": _error_figure(measurements, layers),
            },
            headlines=[Headline("MSE", {"layer": shown[-1].name, "decoder": decoders.kind(shown[-1].name)})],
            curves=_curves(measurements),
        )

    def _layers(self, learner: Learner, images: Images, device: str) -> list[Layer]:
        from reprbench.probes.mirror_decoder import encoded

        maps = encoded(learner, images.batch(slice(0, 1), device))
        chosen = View(layers=self.layers).names(maps)
        every = [Layer(name, depth, features[0].numel()) for depth, (name, features) in enumerate(maps.items(), 1)]
        return [layer for layer in every if layer.name in chosen]

    def _decoders(self, subject: Subject, learner: Learner, layers: Sequence[Layer], seed: int) -> Decoders:
        from reprbench.probes.decoders import Decoders, own_layers
        from reprbench.probes.mirror_decoder import DecoderBudget, train_decoders

        dataset = subject.dataset
        one = dataset.test.batch(slice(0, 1), subject.device)
        own = own_layers(learner, one, [layer.name for layer in layers])
        others = [layer.name for layer in layers if layer.name not in own]
        mirrors: dict[str, MirrorDecoder] = {}
        if self.mirror and others:
            images = dataset.unlabeled if subject.trained is None else dataset.train.take(subject.trained)
            budget = DecoderBudget(self.steps, self.batch_size, self.width, self.lr)
            advance = partial(subject.progress, self.name)
            mirrors = train_decoders(learner, images, others, budget, seed, subject.device, advance)
        return Decoders(learner, own, mirrors)


def _qualities(
    batches: Iterator[Tensor], layers: Sequence[Layer], decoders: Decoders, baselines: Baselines, device: str
) -> list[Measurement]:
    """Return the quality of the reconstructions of all images by every layer's decoder and by the baselines."""
    from reprbench.probes.quality import Quality

    side = min(baselines.mean_image.shape[1:])
    learned = {layer.name: Quality(side, device) for layer in layers if decoders.kind(layer.name)}
    linear = {baselines.dimension(layer.size): Quality(side) for layer in layers}
    constant = Quality(side)
    for x in batches:
        for name, images in decoders.reconstructions(x, list(learned)):
            learned[name].add(images, x)
        _add_baselines(x.cpu(), baselines, linear, constant)
    found = []
    for layer in layers:
        if kind := decoders.kind(layer.name):
            found += learned[layer.name].measurements(layer.at(kind))
        found += linear[baselines.dimension(layer.size)].measurements(layer.at(COMPONENTS))
        found += constant.measurements(layer.at(MEAN))
    return found


def _add_baselines(originals: Tensor, baselines: Baselines, linear: dict[int, Quality], constant: Quality) -> None:
    """Add the reconstructions of a batch by principal components and by the mean image."""
    import torch

    for dimension, quality in linear.items():
        quality.add(torch.from_numpy(baselines.projected(originals.numpy(), dimension)), originals)
    constant.add(torch.from_numpy(baselines.mean_image).expand_as(originals), originals)


def _sizes(layers: Sequence[Layer], baselines: Baselines) -> Iterator[Measurement]:
    for layer in layers:
        yield Measurement("layer size", layer.size, at={"layer": layer.name, "depth": layer.depth})
        yield Measurement("PCA dimension", baselines.dimension(layer.size), at=layer.at(COMPONENTS))


def _warnings(layers: Sequence[Layer], baselines: Baselines) -> list[str]:
    most, size = baselines.components.shape
    # A complete basis loses nothing: more components would be no better.
    if most == size or all(layer.size <= most for layer in layers):
        return []
    return [f"PCA has at most {most} components: those of {baselines.images} images of {size} numbers"]


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


def _grid(x: Tensor, layers: Sequence[Layer], decoders: Decoders) -> Figure:
    from reprbench.plotting import image_grid

    made = decoders.reconstructions(x, [layer.name for layer in layers])
    rows = {f"{name} ({decoders.kind(name)})": images.float().cpu().numpy() for name, images in made}
    return image_grid([x.cpu().numpy(), *rows.values()], ["original", *rows])


def _error_figure(measurements: Sequence[Measurement], layers: Sequence[Layer]) -> Figure:
    """Return MSE against the layers, one line per kind of decoder."""
    from reprbench.plotting import new_axes, new_figure

    figure = new_figure(max(3.5, 1.6 + 0.3 * len(layers)), 2.8)
    (axes,) = new_axes(figure).ravel()
    # If the components are a complete basis their error is zero, which a logarithmic axis cannot show.
    errors = [m for m in measurements if m.metric == "MSE" and m.value > 0]
    for number, kind in enumerate(KINDS):
        _draw_errors(axes, [m for m in errors if m.at["decoder"] == kind], kind, number)
    values = [m.value for m in errors]
    if values and max(values) > 10 * min(values):
        axes.set_yscale("log")
    elif values:
        axes.set_ylim(bottom=0)
    _name_layers(axes, layers)
    axes.set_ylabel("MSE of reconstruction")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return figure


def _draw_errors(axes: Axes, errors: Sequence[Measurement], kind: str, number: int) -> None:
    from reprbench.plotting import line

    if errors and kind == MEAN:
        axes.axhline(errors[0].value, color="0.45", linestyle=":", label=kind)
    elif errors:
        # Hollow markers leave the learner's own visible where the components are as good.
        options: dict[str, Any] = {"linestyle": "--", "markerfacecolor": "none"} if kind == COMPONENTS else {}
        line(axes, [m.at["depth"] for m in errors], [m.value for m in errors], kind, number, **options)


def _name_layers(axes: Axes, layers: Sequence[Layer]) -> None:
    names = [layer.name for layer in layers]
    tilted = sum(len(name) for name in names) > 30
    axes.set_xticks(
        [layer.depth for layer in layers], names, rotation=45 if tilted else 0, ha="right" if tilted else "center"
    )
    axes.set_xlim(layers[0].depth - 0.5, layers[-1].depth + 0.5)
    axes.set_xlabel("layer")
