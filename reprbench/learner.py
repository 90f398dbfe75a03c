"""The learner: what every method implements, and what its class declares."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import BaseModel

from reprbench.capabilities import Reconstructs
from reprbench.errors import UserError
from reprbench.extras import lacking
from reprbench.file_parameter import names_files
from reprbench.parameters import make_model

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from reprbench.images import Images, Labels
    from reprbench.run_context import Run

FeatureMaps = Mapping[str, "Tensor"]
"""Layer names, ordered from input to output, to tensors (N, C', H', W') or (N, D). The last is *the* representation."""

ImageShape = tuple[int, int, int]
"""(channels, height, width) of one image."""

Kind = Literal["unsupervised", "supervised", "control", "pretrained"]
"""What a learner learns from, marked in every table.

"unsupervised": from unlabeled images, by an objective of its own. "supervised": also from labels. "control": without
an objective, as random weights or the pixels themselves; a baseline to beat. "pretrained": nothing is learned here, as
with frozen weights that were learned elsewhere, or hand-made features.
"""

CLASS_NAMES = ("extra", "kind", "method_name", "open_parameters", "remeasure_batch_norm", "version")
"""Attributes that a class declares; no parameter can have these names."""


def _check_class(cls: type[Learner]) -> None:
    """Raise a `TypeError` if a class declares something that would have no effect."""
    annotations = inspect.get_annotations(cls)
    for name in CLASS_NAMES:
        if name in annotations and "ClassVar" not in str(annotations[name]):
            raise TypeError(
                f"{cls.__name__}.{name} is annotated as a parameter; {name!r} is a class attribute with a meaning of "
                "its own: leave the annotation out, or give the parameter another name"
            )
    remedies = {"control": "write kind = 'control'", "supervised": "derive from SupervisedLearner"}
    for name, remedy in remedies.items():
        if vars(cls).get(name) is True:
            raise TypeError(f"{cls.__name__} sets {name} = True, which has no effect any more: {remedy}")
    if cls.kind not in get_args(Kind):
        raise TypeError(f"{cls.__name__}.kind is {cls.kind!r}; expected one of {', '.join(map(repr, get_args(Kind)))}")
    if cls.kind == "supervised" and not hasattr(cls, "fit_labeled"):
        raise TypeError(f"{cls.__name__}.kind is 'supervised': derive from SupervisedLearner, which is given labels")
    if cls.extra is not None and not isinstance(cls.extra, str):
        raise TypeError(f"{cls.__name__}.extra is {cls.extra!r}; expected the name of an extra of reprbench")
    if cls.version is not None and (type(cls.version) is not int or cls.version < 1):
        raise TypeError(f"{cls.__name__}.version is {cls.version!r}; expected a whole number from 1")


class Learner(ABC):
    """Fitted on unlabeled images; encodes images into feature maps.

    The method's parameters are the annotated public class attributes with a default, of the class and its bases. They
    are validated by pydantic when the learner is made. Annotated names without a default declare state, except for a
    `File`, which must then be given.

    The state is what `fit` leaves in public attributes: tensors, arrays and networks. It is saved as safetensors and
    loaded into a fresh learner before any evaluation. Attributes that start with an underscore are not saved.
    A learner with networks (`torch.nn.Module`) makes them in `build`, so that a fresh learner can load them.

    Raises
    ------
    TypeError
        When a subclass with an invalid `kind` or `version` is defined.
    pydantic.ValidationError
        When a learner is made with wrong or unknown parameters; it names all of them.
    UserError
        When a learner is made whose extra is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from reprbench import Budget, Images, Learner, Run, encode
    >>> class Moments(Learner):
    ...     power: float = 2.0
    ...
    ...     def fit(self, images, run):
    ...         self.mean = images.batch(slice(0, 1000)).mean(0)
    ...         run.images_seen += min(1000, len(images))
    ...
    ...     def encode(self, x):
    ...         return {"moments": ((x - self.mean).abs() ** self.power).flatten(1)}
    >>> images = Images(np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), dtype=np.uint8))
    >>> learner = Moments(power=3)
    >>> learner.fit(images, Run(seed=0, budget=Budget(epochs=1)))
    >>> encode(learner, images)["moments"].shape
    (10, 64)
    """

    method_name: ClassVar[str] = ""
    """The name under which users ask for the method; `register` sets it."""
    kind: ClassVar[Kind] = "unsupervised"
    """What the learner learns from; tables mark all but the unsupervised ones."""
    version: ClassVar[int | None] = None
    """To be raised, from 1, whenever the same call gives other numbers: stored results of the class are then rerun.

    A class that sets none in its own body is identified by its code: every edit then makes its results stale.
    """
    extra: ClassVar[str | None] = None
    """The extra of reprbench whose packages the class needs, such as "ssl" for ``pip install 'reprbench[ssl]'``.

    A class names it as a literal in its own body, and imports the packages inside functions: it is then listed, with
    the command that installs them, also where they are missing.
    """
    open_parameters: ClassVar[bool] = False
    """Whether the class takes parameters besides those it declares, such as those of an object that it makes.

    `parameters` returns them with the others; `build` checks them, and raises a `UserError` if one is wrong.
    """
    remeasure_batch_norm: ClassVar[bool] = True
    """Whether `train` measures the running averages of batch normalizations anew; see `measure_batch_norm`."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _check_class(cls)

    def __init__(self, **parameters: Any) -> None:
        if missing := lacking(self.extra):
            raise UserError(f"{self.method_name or type(self).__name__} {missing}")
        validated = parameters_model(type(self)).model_validate(parameters)
        for name in type(validated).model_fields:
            setattr(self, name, getattr(validated, name))
        self._others = dict(validated.model_extra or {})

    def build(self, shape: ImageShape) -> None:  # noqa: B027  (most learners without networks need nothing here)
        """Make the networks for images of `shape`, untrained, as attributes.

        The harness calls it before `fit`, with the global random state seeded from the trial's seed (so that networks
        that are equal and made first start with equal weights in all learners), and before a saved state is loaded.
        When a run is planned, it is called once on torch's meta device: a `UserError` that says which images the
        learner cannot take, and what to change, then ends the run before anything is fitted.
        """

    @abstractmethod
    def fit(self, images: Images, run: Run) -> None:
        """Learn from unlabeled `images`, drawing all randomness from `run`'s generators.

        Stop when `run.budget` is used up, and count the images drawn in `run.images_seen`.
        """

    @abstractmethod
    def encode(self, x: Tensor) -> FeatureMaps:
        """Encode float32 images in [0, 1] of shape (N, C, H, W).

        The harness calls it in evaluation mode and without gradients; `reprbench.encode` does the same.

        Returns
        -------
        Layer names, from input to output, and maps (N, C', H', W') or vectors (N, D). The last is the representation.
        """

    @property
    def encode_batch_size(self) -> int:
        """The most images that `encode` is given at once; lower it for large feature maps."""
        return 256

    def batch_norm_passes(self, generator: Generator) -> list[Callable[[Tensor], object]]:
        """Return the passes over training images (N, C, H, W) that measure the averages of batch normalizations.

        By default these are `encode`, then `reconstruct` if the learner has it. Override it if evaluation uses a
        network that they do not reach, such as a generator of images from random codes, drawn from `generator`. See
        `measure_batch_norm`.
        """
        return [self.encode, self.reconstruct] if isinstance(self, Reconstructs) else [self.encode]

    def parameters(self) -> dict[str, Any]:
        """Return the validated parameters, in the order of their declaration, and then those of `open_parameters`."""
        declared = {name: getattr(self, name) for name in parameters_model(type(self)).model_fields}
        return declared | getattr(self, "_others", {})

    def warnings(self, history: list[dict[str, float]]) -> list[str]:
        """Return warnings about this fit for the reader of its row, given the rows of ``history.csv``."""
        return []


class SupervisedLearner(Learner):
    """A learner that is given labels; fitted once per fold on that fold's images, and marked in every table.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from reprbench import Budget, Images, Run, SupervisedLearner, encode
    >>> class ClassMeans(SupervisedLearner):
    ...     def fit_labeled(self, images, labels, run):
    ...         x = images.batch(slice(None)).flatten(1)
    ...         self.means = torch.stack([x[labels == label].mean(0) for label in range(labels.max() + 1)])
    ...         run.images_seen += len(images)
    ...
    ...     def encode(self, x):
    ...         return {"distances": torch.cdist(x.flatten(1), self.means)}
    >>> images = Images(np.random.default_rng(0).integers(0, 256, (10, 1, 8, 8), dtype=np.uint8))
    >>> learner = ClassMeans()
    >>> learner.fit_labeled(images, np.arange(10) % 3, Run(seed=0, budget=Budget(epochs=1)))
    >>> encode(learner, images)["distances"].shape
    (10, 3)
    """

    kind = "supervised"

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if cls.kind != "supervised":
            raise TypeError(f"{cls.__name__} derives from SupervisedLearner; leave out kind = {cls.kind!r}")

    def fit(self, images: Images, run: Run) -> None:
        """Raise a `TypeError`: a supervised learner is fitted by `fit_labeled`."""
        raise TypeError(f"{type(self).__name__} is a supervised learner: call fit_labeled")

    @abstractmethod
    def fit_labeled(self, images: Images, labels: Labels, run: Run) -> None:
        """Learn from `images` and their `labels`, int64 in 0 … K-1 of shape (N,); otherwise like `Learner.fit`."""


def parameters_model(cls: type[Learner]) -> type[BaseModel]:
    """Return the pydantic model of the parameters of a learner class; unknown parameters are errors, if not open."""
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        fields.update((name, (hint, base.__dict__.get(name, ...))) for name, hint in _hints(base).items())
        # A subclass may change a default without repeating the type.
        fields.update((n, (fields[n][0], base.__dict__[n])) for n in fields if n in base.__dict__)
    return make_model(cls.__name__, fields, is_open=cls.open_parameters)


def _hints(base: type) -> dict[str, Any]:
    """Return the evaluated annotations of the parameters that one class itself declares: public, not ClassVar.

    They have a default or are files: any other annotation without a default declares state.
    """
    found: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(base).items():
        if name.startswith("_") or "ClassVar" in str(annotation):
            continue
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        module = sys.modules.get(base.__module__)
        try:
            hints = typing.get_type_hints(holder, globalns=vars(module) if module else {}, include_extras=True)
        except (NameError, AttributeError, TypeError):  # perhaps a type that is imported for type checkers only
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
