"""Learners that no file registers."""

from __future__ import annotations

from reprbench import Learner

OFFSET = 0.5


class Centered(Learner):
    """Pixels without their mean."""

    factor: float = 1.0

    def fit(self, images, run):
        self.mean = images.batch(slice(None)).mean(0)
        run.images_seen += len(images)

    def encode(self, x):
        return {"pixels": self.factor * (x - self.mean).flatten(1) + OFFSET}


class Broken(Centered):
    """Fails."""

    def fit(self, images, run):
        raise RuntimeError("<b>no</b> luck")
