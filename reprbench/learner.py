"""The learner: what every method implements, and the capabilities that protocols ask for."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, create_model

from reprbench.file_parameter import names_files

if TYPE_CHECKING:
    from torch import Tensor

    from reprbench.images import Images, Labels
    from reprbench.run import Run

FeatureMaps = Mapping[str, "Tensor"]
"""Layer names, ordered from input to output, to tensors (N, C', H', W') or (N, D). The last is *the* representation."""

ImageShape = tuple[int, int, int]
"""(channels, height, width) of one image."""


class Learner(ABC):
    """Fitted on unlabeled images; encodes images into feature maps.

    Parameters of the method are the annotated public class attributes that have a default, on the class and its bases.
    They are validated by pydantic when the learner is made. Annotated names without a default declare state, except for
    a `File`, which must then be given.

    What `fit` leaves in public attributes is the state: tensors, arrays and networks. It is saved as safetensors and
    loaded into a fresh learner before any evaluation. Attributes that start with an underscore are not saved.
    A learner with networks (`torch.nn.Module`) makes them in `build`, so that a fresh learner can load them.
    """

    method_name: ClassVar[str] = ""
    supervised: ClassVar[bool] = False
    """The learner needs labels; it is a `SupervisedLearner`."""
    control: ClassVar[bool] = False
    """The learner is a baseline that learns nothing from an objective; tables mark it."""

    def __init__(self, **parameters: Any) -> None:
        validated = parameters_model(type(self)).model_validate(parameters)
        for name in type(validated).model_fields:
            setattr(self, name, getattr(validated, name))

    def build(self, shape: ImageShape) -> None:  # noqa: B027  (most learners without networks need nothing here)
        """Make the networks for images of `shape`, untrained, as attributes.

        The harness calls it before `fit` with the global random state seeded from the trial's seed (so that equal
        networks made first start equal in all learners), and before a saved state is loaded. When a run is planned, it
        is called once on torch's meta device: a `UserError` that says which images the learner cannot take, and what
        to change, then ends the run before anything is fitted.
        """

    @abstractmethod
    def fit(self, images: Images, run: Run) -> None:
        """Learn from unlabeled `images`, drawing all randomness from `run`'s generators."""

    @abstractmethod
    def encode(self, x: Tensor) -> FeatureMaps:
        """Encode float32 images in [0, 1] of shape (N, C, H, W).

        The harness calls it in evaluation mode and without gradients.
        """

    @property
    def encode_batch_size(self) -> int:
        """The most images that `encode` is given at once; a learner with large feature maps wants fewer."""
        return 256

    def parameters(self) -> dict[str, Any]:
        """Return the validated parameters, in the order of their declaration."""
        return {name: getattr(self, name) for name in parameters_model(type(self)).model_fields}

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return what a reader of this learner's row must know about its fit, from the rows of ``history.csv``."""
        return []


class SupervisedLearner(Learner):
    """A learner that is given labels; fitted once a fold on that fold's images, and marked in every table."""

    supervised = True

    def fit(self, images: Images, run: Run) -> None:
        """Refuse: a supervised learner is fitted by `fit_labeled`."""
        raise TypeError(f"{type(self).__name__} is a supervised learner: call fit_labeled")

    @abstractmethod
    def fit_labeled(self, images: Images, labels: Labels, run: Run) -> None:
        """Learn from `images` and their `labels`, int64 in 0 … K-1 of shape (N,)."""


@runtime_checkable
class Reconstructs(Protocol):
    """Can show what a layer kept of an image."""

    def reconstruct(self, x: Tensor, layer: str | None = None) -> Tensor:
        """Return x̂ in [0, 1], of the shape of `x`, from `layer` (by default the last)."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Can turn codes of its own into images."""

    def decode(self, h: Tensor) -> Tensor:
        """Return the images of the codes `h` of the last layer, in [0, 1]."""
        ...


@runtime_checkable
class Resumes(Protocol):
    """Can write down everything its training depends on and go on from there, bit for bit."""

    def training_state(self) -> dict[str, Any]:
        """Return nested dicts and lists of tensors and plain values."""
        ...

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Put the learner back where `training_state` was called."""
        ...


def parameters_model(cls: type[Learner]) -> type[BaseModel]:
    """Return the pydantic model of the parameters of a learner class; unknown parameters are errors."""
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        fields.update((name, (hint, base.__dict__.get(name, ...))) for name, hint in _hints(base).items())
        # A subclass may change a default without repeating the type.
        fields.update((n, (fields[n][0], base.__dict__[n])) for n in fields if n in base.__dict__)
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    config["validate_default"] = any(names_files(hint) for hint, _ in fields.values())
    return create_model(cls.__name__, __config__=config, **fields)


def _hints(base: type) -> dict[str, Any]:
    """Return the evaluated annotations of the parameters that one class declares itself: public and no ClassVar.

    They have a default, or name files: what is declared without one is state, which is never a path.
    """
    found: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(base).items():
        if name.startswith("_") or "ClassVar" in str(annotation):
            continue
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        module = sys.modules.get(base.__module__)
        try:
            hints = typing.get_type_hints(holder, globalns=vars(module) if module else {}, include_extras=True)
        except (NameError, AttributeError, TypeError):  # perhaps a type that is imported for type checkers alone
            if name in vars(base):
                raise
            continue
        if name in vars(base) or names_files(hints[name]):
            found |= hints
    return found


def make(cls: type[Learner], parameters: Mapping[str, Any], shape: ImageShape) -> Learner:
    """Return an unfitted learner with its networks built for images of `shape`."""
    learner = cls(**parameters)
    learner.build(shape)
    return learner
