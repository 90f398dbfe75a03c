"""`reprbench.wrap`: a module of torch, or a transformer of scikit-learn, as a learner."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reprbench.errors import UserError
from reprbench.files import replacing
from reprbench.grammar import brief
from reprbench.spec import Call
from reprbench.texts import one_line

if TYPE_CHECKING:
    from reprbench.adapters.modules import WrappedModule
    from reprbench.learner import ImageShape, Learner

PROGRAMS = "programs"
"""The folder of the cache that holds wrapped modules as other processes can run them."""


def wrap(wrapped: Any, layers: Sequence[str] = (), shape: ImageShape | None = None) -> Learner:
    """Return a learner that encodes with a module of torch, or that fits a transformer of scikit-learn.

    Parameters
    ----------
    wrapped : a `torch.nn.Module` that takes float images (N, C, H, W) in [0, 1], and normalizes them itself if it needs
        to, with its weights; or a transformer of scikit-learn, fitted to flattened images in [0, 1] or not.
    layers : of a module, the names of modules in it whose outputs are the layers, from input to output; the last one is
        the representation. By default it is what the module returns.
    shape : of the images, (channels, height, width); `run` needs it for a module.

    Returns
    -------
    A learner for `encode`, `evaluate` and `run`. A module is frozen. `run` fits a transformer to the unlabeled images,
    whether or not it was fitted before.

    Raises
    ------
    UserError
        If it is neither, has no such layer, or keeps something that cannot be saved without pickle; or if layers of a
        transformer are named.

    Examples
    --------
    >>> from reprbench import dataset, encode, wrap
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 9))
    >>> digits = dataset("digits", limit=50)
    >>> {name: maps.shape for name, maps in encode(wrap(net, layers=["1", "3"]), digits.test).items()}
    {'1': (50, 6, 6, 6), '3': (50, 9)}
    """
    from torch.nn import Module

    if isinstance(wrapped, Module):
        from reprbench.adapters.modules import WrappedModule

        return WrappedModule(wrapped, [layers] if isinstance(layers, str) else layers, shape)
    from reprbench.adapters.transformers import transforms

    if transforms(type(wrapped)):
        if layers:
            raise UserError("wrap: layers are those of a module of torch; a transformer has one, leave them out")
        return _transformer(wrapped)
    raise UserError(f"wrap: {brief(wrapped)}: expected a torch.nn.Module, or a transformer of scikit-learn")


def _transformer(estimator: Any) -> Learner:
    import numpy as np

    from reprbench.adapters.transformers import Transformer, estimator_class, public_transformer

    cls = type(estimator)
    name = ".".join([*(part for part in cls.__module__.split(".") if part[0] != "_"), cls.__name__])
    if public_transformer(name) is not cls:
        raise UserError(f"wrap: {name} is no transformer of scikit-learn; write a Learner class")
    try:
        estimator_class(name)
    except ValueError as error:
        raise UserError(f"wrap: {error}") from None
    learner = Transformer(estimator=name, **_changed(estimator))
    if size := getattr(estimator, "n_features_in_", None):
        learner.take(estimator, np.random.default_rng(0).random((4, size)))
    return learner


def _changed(estimator: Any) -> dict[str, Any]:
    """Return the parameters of an estimator that are not the defaults; raise a `UserError` if one is no plain value."""
    import numpy as np

    from reprbench.adapters.transformers import ELSEWHERE

    defaults = {name: one.default for name, one in inspect.signature(type(estimator)).parameters.items()}
    given = {key: value for key, value in estimator.get_params(deep=False).items() if value is not defaults[key]}
    given = {key: value for key, value in given.items() if not np.array_equal(value, defaults[key])}
    for key, value in given.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise UserError(
                f"wrap: {type(estimator).__name__}.{key} is {one_line(brief(value))}, which is no plain value; wrap "
                f"one transformer whose parameters are plain, or {ELSEWHERE}"
            ) from None
    return given


def program_call(learner: WrappedModule, cache: Path) -> Call:
    """Write a wrapped module to the cache, as a program that trials can run, and return the call that runs it.

    Where the cache is below the current folder, the call is the same for the same module in every folder.
    """
    content = learner.program()
    name = f"{type(learner.network.module).__name__}-{hashlib.sha256(content).hexdigest()[:16]}.pt2"
    path = cache / PROGRAMS / name
    if not path.exists():
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return Call(name="module", parameters={"program": shown.as_posix()})
