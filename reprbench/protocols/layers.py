"""The features of every layer of a learner, from one matrix of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reprbench.features import Matrix, View
from reprbench.protocols.base import Features, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator


def layer_widths(subject: Subject, view: View) -> dict[str, int]:
    """Return how many columns each layer has in `view`, from the feature maps of one test image."""
    maps = subject.first_maps()
    return {name: view.matrix({name: layer}).shape[1] for name, layer in maps.items()}


def layer_matrices(subject: Subject, wanted: Features) -> Iterator[tuple[str, Matrix]]:
    """Yield the name and the features of every layer, from input to output; `wanted` asks for all of them."""
    widths, features, end = layer_widths(subject, wanted.view), subject.features(wanted), 0
    for name, width in widths.items():
        start, end = end, end + width
        yield name, features[:, start:end]
