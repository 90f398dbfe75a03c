"""Classifiers that learners have themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reprbench.capabilities import Classifies
from reprbench.images import Images, Labels
from reprbench.state import evaluating

if TYPE_CHECKING:
    from reprbench.learner import Learner


def accuracy_of_head(learner: Learner, images: Images, labels: Labels, device: str) -> float:
    """Return the share of `images` that a learner which `Classifies` gets right itself, in [0, 1].

    Raises
    ------
    TypeError
        If it returns something else than scores (N, K).
    """
    if not isinstance(learner, Classifies):
        raise TypeError(f"{type(learner).__name__} does not classify")
    found = []
    with evaluating(learner):
        for x in images.batches(learner.encode_batch_size, device):
            logits = learner.classify(x)
            if logits.ndim != 2 or len(logits) != len(x):
                raise TypeError(f"classify must return logits of shape (N, K), not {tuple(logits.shape)}")
            found.append(logits.argmax(1).cpu().numpy())
    return float((np.concatenate(found) == labels).mean())
