"""The features of every layer of a learner, from one matrix of all of them."""

from __future__ import annotations

from reprbench.features import Matrix
from reprbench.protocols.base import Features, Subject


def layer_matrices(subject: Subject, wanted: Features) -> dict[str, Matrix]:
    """Return the features of every layer by name, from input to output; `wanted` asks for all of them."""
    maps, features = subject.first_maps(), subject.features(wanted)
    found: dict[str, Matrix] = {}
    end = 0
    for name, layer in maps.items():
        start, end = end, end + wanted.view.matrix({name: layer}).shape[1]
        found[name] = features[:, start:end]
    return found
