"""Similarity of representations: linear CKA between a learner's layers, and kept for comparison with other learners."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, PositiveInt

from reprbench.data.folds import random_test_rows
from reprbench.features import Matrix, Pooling, View
from reprbench.probes.cka import (
    FEWEST_IMAGES,
    MOST_IMAGES,
    CenteredGram,
    centered_gram,
    cka,
    cka_matrix,
    is_constant,
    packed,
)
from reprbench.protocols.base import Features, Headline, KeptGram, Measurement, Outcome, Protocol, Subject
from reprbench.protocols.layers import layer_matrices

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.images import Indices

INPUT = "input"
REPRESENTATION = "representation"


class Similarity(Protocol):
    """Linear CKA between the layers of a learner and its input, on test images that are the same for every method.

    CKA is 1 if two sets of features are equal up to an orthogonal map, a factor and an offset, and about 0 if they are
    independent; neither is better. It is estimated without the bias that wide layers have (see
    `reprbench.probes.cka`), so that values a little below 0 occur. The centered Gram matrix of the last layer is
    kept with the trial: reports draw a map of the similarity between all methods and seeds of a table.

    Metrics
    -------
    CKA : of each pair of layers, at {"layer", "other", "depth", "other depth"}; depth 0 is the input, the pixels,
        pooled like any layer. The headline is that of the last layer with the input.

    Parameters
    ----------
    images : how many of the test split, drawn by the dataset's name.
    pooling, grid : what becomes of maps, as in `View`; layers are compared at this resolution.
    """

    name = "similarity"
    version = 1
    headlines = ("CKA",)

    images: Annotated[int, Field(ge=FEWEST_IMAGES, le=MOST_IMAGES)] = 256
    pooling: Pooling = "mean"
    grid: PositiveInt = 4

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return the features of all layers on the chosen images."""
        view = View(layers="all", pooling=self.pooling, grid=self.grid)
        whole = Features.of_split(dataset, supervised, "test", view)
        return [Features(whole.trained, "test", self.rows(dataset), view)]

    def rows(self, dataset: Dataset) -> Indices:
        """Return the test images that are used, sorted; the same for every method and seed."""
        return random_test_rows(dataset, self.name, self.images)

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return CKA of all pairs of layers, and the Gram matrix of the last."""
        from reprbench.plotting import similarity_map

        (wanted,) = self.reads(subject.dataset, subject.supervised)
        if len(wanted.rows) < FEWEST_IMAGES:
            return Outcome(missing=f"{self.name} needs {FEWEST_IMAGES} test images, and there are {len(wanted.rows)}")
        grams = self._grams(subject, wanted)
        last = list(grams)[-1]
        constant = [name for name, gram in grams.items() if is_constant(gram)]
        if missing := [name for name in (INPUT, last) if name in constant]:
            return Outcome(missing=f"{missing[0]} has the same features for all {len(wanted.rows)} images")
        grams = {name: gram for name, gram in grams.items() if name not in constant}
        images = hashlib.sha256(subject.dataset.test.pixels(wanted.rows).tobytes()).hexdigest()
        return Outcome(
            _measurements(grams),
            warnings=[f"layer {name} is left out: it is constant" for name in constant],
            figures={"map": similarity_map(list(grams), cka_matrix(list(grams.values())))},
            headlines=[Headline("CKA", {"layer": INPUT, "other": last})],
            grams={REPRESENTATION: KeptGram(packed(grams[last]), images)},
        )

    def _grams(self, subject: Subject, wanted: Features) -> dict[str, CenteredGram]:
        """Return the centered Gram matrix of the input, and of every layer in order."""
        grams = {INPUT: centered_gram(self._input(subject, wanted), subject.device)}
        for name, features in layer_matrices(subject, wanted).items():
            # A learner may call a layer as it likes.
            grams[f"{name} (layer)" if name == INPUT else name] = centered_gram(features, subject.device)
        return grams

    def _input(self, subject: Subject, wanted: Features) -> Matrix:
        pixels: Matrix = wanted.view.matrix({INPUT: subject.dataset.test.batch(wanted.rows)}).numpy()
        return pixels


def _measurements(grams: Mapping[str, CenteredGram]) -> list[Measurement]:
    pairs = combinations(enumerate(grams.items()), 2)
    return [
        Measurement("CKA", cka(first, second), at={"layer": one, "other": other, "depth": i, "other depth": j})
        for (i, (one, first)), (j, (other, second)) in pairs
    ]
