"""A notebook, as far as the capture of its classes is concerned."""

from __future__ import annotations

import linecache
from itertools import count
from types import ModuleType

from reprbench.registry import Entry

CELLS = count()
HEAD = """import numpy as np
import torch
from torch import nn
import reprbench as rb
from pydantic import PositiveFloat
"""
LEARNER = """
class Mine(rb.Learner):
    factor: PositiveFloat = 2.0

    def fit(self, images, run):
        self.mean = images.batch(slice(0, 10)).mean(0)

    def encode(self, x):
        return {"pixels": FORM}
"""


class Notebook:
    """Runs cells in one module, and keeps their source as a notebook does."""

    def __init__(self) -> None:
        self.module = ModuleType("__main__")
        self.namespace = vars(self.module)
        self.history = []
        self.cell(HEAD)

    def cell(self, text):
        name = f"<cell {next(CELLS)}>"
        self.history.append(text)
        linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
        exec(compile(text, name, "exec", dont_inherit=True), self.namespace)  # noqa: S102  (the cell is ours)
        return self.namespace

    def learner(self, form="x - self.mean"):
        return self.cell(LEARNER.replace("FORM", form))["Mine"]


def loaded(path, name="mine"):
    """Return the learner class that a plugin file registers."""
    return Entry(name, "file", str(path)).load()
