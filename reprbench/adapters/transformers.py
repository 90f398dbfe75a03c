"""Transformers of scikit-learn as learners: fitted to the pixels, they encode by `transform`."""

from __future__ import annotations

import difflib
import importlib
import inspect
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, PositiveInt

from reprbench.adapters.fitted import restore, saved
from reprbench.errors import UserError, did_you_mean
from reprbench.learner import FeatureMaps, ImageShape, Learner
from reprbench.registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from reprbench.images import Images
    from reprbench.run_context import Run

LAYER = "transformed"
COMPARED = 4
"""How many images are transformed together and alone, to see whether that differs."""
TOLERANCE = 1e-6
"""By how much, relative to the largest number."""
ELSEWHERE = "compute the features yourself and use the method 'features'"
"""What can always be done instead."""
_PREFIX = "fitted_"
_PLACES = ("decomposition", "cluster", "random_projection", "kernel_approximation", "neural_network", "preprocessing")


def _known(name: str) -> str:
    estimator_class(name)
    return name


def estimator_class(name: str) -> Any:
    """Return the transformer of scikit-learn with a dotted name.

    Raises
    ------
    ValueError
        If there is none, or it is not fitted to numbers alone.
    """
    cls = public_transformer(name)
    if cls is None:
        near = _near(name.rpartition(".")[2])
        raise ValueError(
            f"{name!r} is no transformer of scikit-learn; "
            + (f"did you mean {near!r}?" if near else "expected a name like sklearn.decomposition.PCA")
        )
    fitted_to = list(inspect.signature(cls.fit).parameters)[1]
    if fitted_to != "X":
        raise ValueError(f"{name!r} is fitted to {fitted_to}, not to the pixels of images; name another transformer")
    if needed := required_parameters(cls.fit)[2:]:
        raise ValueError(
            f"{name!r} is fitted to labels too ({', '.join(needed)}), and a transformer is fitted to images without; "
            "name another transformer"
        )
    return cls


def public_transformer(name: str) -> Any:
    """Return the public class of scikit-learn with a dotted name if it transforms; None otherwise."""
    module, _, attribute = name.rpartition(".")
    try:
        public = _public(module) if module.startswith("sklearn.") and "._" not in name else {}
    except ImportError:
        public = {}
    cls = public.get(attribute)
    return cls if transforms(cls) else None


def transforms(cls: Any) -> bool:
    """Return whether it is a class of transformers, such as scikit-learn's."""
    return inspect.isclass(cls) and all(hasattr(cls, one) for one in ("fit", "transform", "get_params"))


def _near(attribute: str) -> str:
    """Return the dotted name of the transformer whose own name is nearest, or an empty text."""
    every = [(place, one) for place in _PLACES for one, cls in _public(f"sklearn.{place}").items() if transforms(cls)]
    known = {one.lower(): f"sklearn.{place}.{one}" for place, one in every}
    return "".join(known[one] for one in difflib.get_close_matches(attribute.lower(), known, n=1, cutoff=0.75))


def required_parameters(function: Any) -> list[str]:
    """Return the parameters of a function, or of the constructor of a class, that have no default."""
    every = inspect.signature(function).parameters.values()
    return [
        one.name for one in every if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def _public(name: str) -> dict[str, Any]:
    """Return what a module offers: what its ``__all__`` names, or else what it defines."""
    module = importlib.import_module(name)
    listed = getattr(module, "__all__", None)
    mine = [one for one, value in vars(module).items() if getattr(value, "__module__", None) == name and one[0] != "_"]
    return {one: getattr(module, one) for one in (mine if listed is None else listed)}


@register("sklearn")
class Transformer(Learner):
    """A transformer of scikit-learn, fitted to the pixels: its `transform` encodes images.

    All other parameters are those of the estimator, as in ``sklearn[estimator=sklearn.decomposition.FastICA,
    n_components=32]``. A `random_state` that is not given is drawn from the trial's seed. Pixels are in [0, 1], in
    float64. What is learned is saved as arrays and plain values; an estimator that keeps something else, such as
    another estimator, is refused.

    Parameters
    ----------
    estimator : its dotted name.
    fit_images : the most images to fit to, and as many as fit into 500 MB as float64 numbers.
    """

    version: ClassVar[int] = 1
    open_parameters: ClassVar[bool] = True

    estimator: Annotated[str, AfterValidator(_known)] = "sklearn.decomposition.PCA"
    fit_images: PositiveInt = 10_000

    def build(self, shape: ImageShape) -> None:
        """Check the parameters of the estimator."""
        cls = estimator_class(self.estimator)
        known = list(inspect.signature(cls).parameters)
        for name in self._others:
            if name not in known:
                near = did_you_mean(name, known) or f" Known: {', '.join(known)}"
                raise UserError(f"{cls.__name__} has no parameter {name!r}.{near}")
        if missing := [one for one in required_parameters(cls) if one not in self._others]:
            raise UserError(
                f"{cls.__name__} must be given {', '.join(missing)}; if no plain value can be, name one transformer, "
                f"or {ELSEWHERE}"
            )

    def fit(self, images: Images, run: Run) -> None:
        """Fit the estimator, and keep what it has learned."""
        import torch

        order = run.numpy_generator("chosen images").permutation(len(images))
        pixels = images.vectors(order[: images.most_vectors(self.fit_images)])
        self.drawn_random_state = torch.tensor(int(run.numpy_generator("sklearn").integers(2**32)))
        self.take(self._made().fit(pixels), pixels[:COMPARED])
        run.images_seen += len(pixels)

    def take(self, fitted: Any, pixels: np.ndarray[Any, Any]) -> None:
        """Keep what a fitted estimator has learned; `pixels` (N, C·H·W) are some of its images."""
        import torch

        for name, array in saved(fitted).items():
            setattr(self, f"{_PREFIX}{name}", torch.from_numpy(array.copy()))
        self._fitted = None
        whole = _dense(self._restored().transform(pixels))
        alone = np.concatenate([_dense(self._restored().transform(row[None])) for row in pixels])
        differs = np.abs(whole - alone).max() > TOLERANCE * max(np.abs(whole).max(), 1e-300)
        self.one_by_one = torch.tensor(bool(differs))

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the transformed pixels (N, D); one image at a time, if an image's result depends on the others."""
        import torch

        pixels = x.flatten(1).cpu().double().numpy()
        self._check_fitted(pixels.shape[1])
        parts = [row[None] for row in pixels] if bool(self.one_by_one) else [pixels]
        made = np.concatenate([_dense(self._restored().transform(part)) for part in parts])
        return {LAYER: torch.from_numpy(np.ascontiguousarray(made, dtype=np.float32)).to(x.device)}

    def _check_fitted(self, size: int) -> None:
        """Raise a `UserError` if it is not fitted, or to another number of pixels."""
        name = self.estimator.rpartition(".")[2]
        if not hasattr(self, "one_by_one"):
            raise UserError(f"{name} is not fitted; fit it before it is wrapped, or let `run` fit it")
        if (fitted := getattr(self._restored(), "n_features_in_", size)) != size:
            raise UserError(f"{name} was fitted to rows of {fitted} numbers, and these images have {size}")

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Say if images are transformed one by one."""
        said = "images are transformed one by one: the estimator's results depend on the other images of a batch"
        return [said] if bool(self.one_by_one) else []

    def _made(self) -> Any:
        """Return the estimator as it is before it is fitted."""
        cls, parameters = estimator_class(self.estimator), dict(self._others)
        drawn = getattr(self, "drawn_random_state", None)
        if drawn is not None and "random_state" in inspect.signature(cls).parameters:
            parameters.setdefault("random_state", int(drawn))
        try:
            return cls(**parameters)
        except TypeError as error:
            raise UserError(f"{self.estimator}: {error}") from None

    def _restored(self) -> Any:
        """Return the fitted estimator, made from the state: it is the same before and after that is saved."""
        if getattr(self, "_fitted", None) is None:
            state = {name: value for name, value in vars(self).items() if name.startswith(_PREFIX)}
            made = self._made()
            restore(made, {name.removeprefix(_PREFIX): value.cpu().numpy() for name, value in state.items()})
            self._fitted = made
        return self._fitted


def _dense(made: Any) -> np.ndarray[Any, Any]:
    """Return what a transformer returned as an array."""
    return made.toarray() if hasattr(made, "toarray") else np.asarray(made)
