"""The numbers that must not move unnoticed: every method and protocol on a few digits, small, cheap, with seed 0."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from ratchet import Entry as GoldenEntry
from ratchet import Values, rounded
from settings import ACCURACIES, METHODS, PROTOCOLS, variants
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

# All that is used of reprbench: if a file moves, only these imports change.
from reprbench import Budget, Decodes, Images, Learner, Reconstructs, UserError, source
from reprbench.data.adapted import adapted
from reprbench.data.catalog import load_dataset
from reprbench.features import Pooling, View, extract
from reprbench.file_parameter import is_file, names_files
from reprbench.learner import parameters_model
from reprbench.protocols.base import Measurement, Snapshots, Subject
from reprbench.registry import Entry
from reprbench.run_context import seeded
from reprbench.runner.fitting import Fits
from reprbench.runner.job import Job
from reprbench.spec import Call
from reprbench.state import evaluating

SEED = 0
BUDGET = Budget(epochs=1)
IMAGES, FOLDS = 100, 2
SHOWN_IMAGES, SHOWN_NUMBERS = 8, 8
COLOR = "color: "
"""The prefix of a method's numbers on larger images with three channels, for which many networks are deeper."""


def names() -> list[str]:
    """Return the names of all expected entries: one per method and protocol, and that of pooling."""
    methods, protocols = (_registered(group) for group in ("methods", "protocols"))
    alone = [name for name, one in methods.items() if not needs_a_file(one.load())]
    return [*(f"method {name}" for name in alone), "pooling", *(f"protocol {name}" for name in protocols)]


def needs_a_file(cls: type[Learner]) -> bool:
    """Return whether a method has a file as a parameter: it computes what a user has, and has no numbers of its own."""
    fields = parameters_model(cls).model_fields.values()
    return any(names_files(field.annotation) or any(map(is_file, field.metadata)) for field in fields)


def entry(name: str) -> GoldenEntry:
    """Compute the entry called `name`."""
    kind, _, registered = name.partition(" ")
    with _as_recorded():
        if kind == "pooling":
            found, values = View, pooling_values()
        else:
            found = _registered(f"{kind}s")[registered].load()
            values = method_values(found) if kind == "method" else protocol_values(found)
    return GoldenEntry(getattr(found, "version", 1), source.NUMERICS, machine(), values)


def machine() -> dict[str, str]:
    """Return what rounding depends on: the processor, and the versions of the libraries that compute."""
    try:
        known = dict(re.findall(r"^(.+?)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE))
    except OSError:
        known = {}
    # Virtual machines report several generations as "AMD EPYC"; kernels are chosen by the processor's capability.
    model = [known.get(field, "unknown") for field in ("model name", "cpu family", "model")]
    processor = " ".join([*model, torch.backends.cpu.get_cpu_capability()])
    return {"processor": processor, **{name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")}}


@contextmanager
def _as_recorded() -> Iterator[None]:
    """Compute as a trial's process does, with one thread: more would sum in another order."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


def _registered(group: str) -> dict[str, Any]:
    """Return what reprbench itself registers, and no installed plugin, by name."""
    found = {one.name: one for one in entry_points(group=f"reprbench.{group}") if one.value.startswith("reprbench.")}
    return dict(sorted(found.items()))


def _labeled(label: str, values: Values) -> Values:
    return {label + group: numbers for group, numbers in values.items()}


@cache
def digits(color: bool = False) -> Any:
    """Return a few digits, 1 × 8 × 8, and two folds of them; with `color`, fewer mosaics of them, 3 × 32 × 32."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = load_dataset("digits", {}, data_dirs=[], cache_dir=Path(folder))
    dataset = dataset.limited(IMAGES // 2 if color else IMAGES)
    if color:
        train, test = mosaics(dataset.train), mosaics(dataset.test)
        dataset = replace(dataset, unlabeled=train, train=train, test=test)
    return replace(dataset, folds=dataset.folds[:FOLDS])


def mosaics(images: Images) -> Images:
    """Return as many images of 16 others in each of three channels; none of them is a combination of few others."""
    pixels = images.pixels(slice(None))[:, 0]
    steps = np.arange(3 * 4 * 4).reshape(3, 4, 4)
    # An image, its three channels, and in each four rows and four columns of images.
    tiles = pixels[(np.arange(len(pixels)).reshape(-1, 1, 1, 1) + steps**2) % len(pixels)]
    return Images(tiles.transpose(0, 1, 2, 4, 3, 5).reshape(len(pixels), 3, 4 * 8, 4 * 8))


def summary(matrix: np.ndarray[Any, Any]) -> dict[str, float]:
    """Return mean and standard deviation of a matrix, and a few numbers of its first rows by row and column."""
    first = matrix[:SHOWN_IMAGES]
    places = np.unique(np.linspace(0, first.size - 1, SHOWN_NUMBERS).round().astype(int))
    numbers = {"mean": matrix.mean(dtype=np.float64), "standard deviation": matrix.std(dtype=np.float64)}
    for row, column in zip(*np.unravel_index(places, first.shape), strict=True):
        numbers[f"{row}, {column}"] = first[row, column]
    return {place: rounded(float(number)) for place, number in numbers.items()}


def _titled(title: str, images: Tensor | np.ndarray[Any, Any]) -> Values:
    matrix = np.asarray(images).reshape(len(images), -1)
    return {f"{title}, {len(matrix)} × {matrix.shape[1]}": summary(matrix)}


# -- methods ----------------------------------------------------------------------------------------------------------


def method_values(cls: type[Learner]) -> Values:
    """Return a method's numbers on digits, with each of its parameters, and on larger color images with the first."""
    settings = METHODS.get(cls.method_name, [{}])
    values: Values = {}
    for label, parameters in variants(settings):
        with fitted(cls, parameters, digits()) as fits:
            values |= _labeled(label, fit_values(cls, fits, digits(), full=not label))
    with fitted(cls, settings[0], digits(color=True)) as fits:
        values |= _labeled(COLOR, fit_values(cls, fits, digits(color=True), full=False))
    return values


@contextmanager
def fitted(cls: type[Learner], parameters: dict[str, Any], dataset: Any) -> Iterator[Fits]:
    """Give the fits that the harness would make: each is saved, and loaded into a fresh learner."""
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            entry=Entry(cls.method_name, "entry point", ""),
            parameters=parameters,
            dataset=Call(name=dataset.name),
            dataset_entry=Entry(dataset.name, "entry point", "", "dataset"),
            limit=None,
            data_digest=dataset.digest,
            data_dirs=[],
            cache=Path(folder),
            budget=BUDGET,
            precision="float32",
            seed=SEED,
            hash="golden",
            protocols=[],
            identity={},
            key="golden",
            label="x",
            packages=[],
        )
        yield Fits(job, cls, dataset, lambda what, share, latest: None, {})


def fit_values(cls: type[Learner], fits: Fits, dataset: Any, full: bool) -> Values:
    """Return the end of the history, features and reconstructions; and if `full`, snapshots and accuracies too."""
    subject = _subject(dataset, fits.learner, fits.snapshots, cls.kind == "supervised")
    learner = subject.learner(subject.trained)
    values = _history(fits.history())
    last, every = map(np.concatenate, zip(*extract(learner, dataset.test, [View(), View(layers="all")]), strict=True))
    values |= _titled("last layer", last)
    if every.shape != last.shape:
        values |= _titled("all layers", every)
    x = dataset.test.batch(slice(0, SHOWN_IMAGES))
    with evaluating(learner):
        if isinstance(learner, Reconstructs):
            values |= _titled("reconstruction", learner.reconstruct(x))
        if isinstance(learner, Decodes):
            # Other codes than those of reconstructions.
            values |= _titled("decoded", learner.decode(2 * list(learner.encode(x).values())[-1]))
    if full:
        values |= _snapshots(subject) | _accuracies(subject)
    return values


def _history(rows: list[dict[str, float]]) -> Values:
    """Return the last row without its times, which are not numbers of the method."""
    last = {name: rounded(value) for name, value in (rows[-1] if rows else {}).items() if name != "seconds"}
    return {"end of history": last} if last else {}


def _snapshots(subject: Subject) -> Values:
    kept = subject.snapshots(subject.trained)
    if kept is None:
        return {}
    pairs = zip(kept.epochs, kept.reconstructions, strict=True)
    return {"snapshots": {f"mean after {epoch:g} epochs": rounded(float(images.mean())) for epoch, images in pairs}}


def _accuracies(subject: Subject) -> Values:
    values: Values = {}
    for name, parameters in ACCURACIES.items():
        found = _registered("protocols")[name].load()(**parameters).evaluate(subject, SEED).measurements
        values |= _labeled(f"{name}: ", _measured([one for one in found if one.metric == "accuracy"]))
    return values


def _subject(
    dataset: Any, learner: Callable[..., Learner], snapshots: Callable[..., Snapshots | None], supervised: bool = False
) -> Subject:
    def features(asked: Any) -> np.ndarray[Any, Any]:
        images = getattr(dataset, asked.split).take(asked.rows)
        return np.concatenate([matrix for (matrix,) in extract(learner(asked.trained), images, [asked.view])])

    def on(call: Call) -> Subject:
        # Larger, and in color: so they are adapted.
        return _subject(adapted(digits(color=True), dataset.train.shape), learner, snapshots)

    return Subject(dataset, supervised, learner, features, snapshots=snapshots, on=on)


# -- protocols --------------------------------------------------------------------------------------------------------


class Cosines(Learner):
    """A learner that needs no training: edges of an image, and its lowest frequencies by the cosine transform."""

    side, kept = 8, 4

    def build(self, shape: tuple[int, int, int]) -> None:
        """Make the orthonormal cosines (DCT-II), and four filters that find edges."""
        angles = torch.arange(self.kept)[:, None] * (2 * torch.arange(self.side) + 1) * torch.pi / (2 * self.side)
        self._cosines = torch.cos(angles) * (2 / self.side) ** 0.5
        self._cosines[0] /= 2**0.5
        sobel = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
        self._edges = torch.stack([sobel, -sobel, sobel.T, -sobel.T])[:, None]

    def fit(self, images: Any, run: Any) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> dict[str, Tensor]:
        """Return the edges (N, 4, 8, 8) and the frequencies (N, 16)."""
        edges = functional.conv2d(x, self._edges, padding=1).relu()
        return {"edges": edges, "frequencies": (self._cosines @ x @ self._cosines.T).flatten(1)}

    def decode(self, h: Tensor) -> Tensor:
        """Return the images of frequencies alone."""
        blurred = self._cosines.T @ h.view(-1, 1, self.kept, self.kept) @ self._cosines
        return blurred.clamp(0, 1)

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return `x` without its high frequencies; edges alone give nothing back."""
        if layer == "edges":
            raise UserError("from the frequencies alone")
        return self.decode(self.encode(x)["frequencies"])


class Filters(Cosines):
    """Four filters in place of the frequencies: a network, for protocols that train one."""

    def build(self, shape: tuple[int, int, int]) -> None:
        """Make the filters."""
        super().build(shape)
        self.filters = torch.nn.Conv2d(1, 4, 3, padding=1)

    def encode(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps of the filters (N, 4, 8, 8)."""
        return {"filters": self.filters(x).relu()}


def protocol_values(cls: Any) -> Values:
    """Return all measurements of a protocol for `Cosines` on digits, or for `Filters` if it trains a network."""
    dataset, learner = digits(), Filters() if cls.name == "fine-tune" else Cosines()
    with seeded(SEED, "weights"):
        learner.build(dataset.train.shape)
    originals = dataset.unlabeled.batch(slice(0, SHOWN_IMAGES))
    made = Cosines.decode(learner, Cosines.encode(learner, originals)["frequencies"])
    snapshots = Snapshots([0.0, 0.5, 1.0], originals.numpy(), torch.stack([0 * made, made / 2, made]).numpy())
    subject = _subject(dataset, lambda rows: learner, lambda rows: snapshots)
    values: Values = {}
    for label, parameters in variants(PROTOCOLS.get(cls.name, [{}])):
        outcome = cls(**parameters).evaluate(subject, SEED)
        if not outcome.measurements:
            raise ValueError(f"nothing is measured of Cosines: {outcome.missing}")
        values |= _labeled(label, _measured(outcome.measurements))
    return values


def _measured(measurements: Sequence[Measurement]) -> Values:
    """Return the measurements by metric and coordinates."""
    values: Values = {}
    for one in measurements:
        group = f"{one.metric} ({one.unit})" if one.unit else one.metric
        place = ", ".join(f"{name}={_text(value)}" for name, value in one.at.items()) or "value"
        values.setdefault(group, {})[place] = rounded(float(one.value))
    return values


def _text(coordinate: Any) -> str:
    return f"{coordinate:g}" if isinstance(coordinate, float) else str(coordinate)


# -- pooling ----------------------------------------------------------------------------------------------------------


def pooling_values() -> Values:
    """Return the results of every pooling for maps that the grid divides evenly and for maps that it does not."""
    values: Values = {}
    for height, width in ((4, 4), (5, 7), (1, 3)):
        numbers = torch.arange(2 * 3 * height * width, dtype=torch.float64)
        maps = {"waves": torch.sin(1.7 * numbers + 0.3).float().view(2, 3, height, width)}
        for pooling in get_args(Pooling):
            matrix = View(pooling=pooling, grid=2).matrix(maps).numpy()
            values |= _titled(f"{pooling} of {height} × {width}", matrix)
    return values
