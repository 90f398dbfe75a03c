"""What a protocol is, what it is given, and what it yields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from reprbench.errors import UserError

# Parts of what a protocol yields, as the store keeps them.
from reprbench.measurement import Curve as Curve
from reprbench.measurement import Headline as Headline
from reprbench.measurement import Measurement as Measurement
from reprbench.registry import Entry, Registry, discover
from reprbench.spec import Call, mistakes

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from reprbench.data.dataset import Dataset
    from reprbench.features import Matrix, View
    from reprbench.images import Indices
    from reprbench.learner import Learner


@dataclass(frozen=True, eq=False)
class Features:
    """What is read of the features: from a learner that saw the labels of `trained`, `rows` of a split, in a view.

    Attributes
    ----------
    trained : rows of the training split; None for an unsupervised learner.
    split : "train" or "test".
    rows : of that split.
    view : which layers, how pooled.
    """

    trained: Indices | None
    split: Literal["train", "test"]
    rows: Indices
    view: View


@dataclass(frozen=True, eq=False)
class Snapshots:
    """What a fit made of a few of its images as it learned.

    Attributes
    ----------
    epochs : after how many, ascending; 0 is before the first.
    originals : float32 array (N, C, H, W) in [0, 1].
    reconstructions : float32 array (len(epochs), N, C, H, W).
    """

    epochs: list[float]
    originals: NDArray[np.float32]
    reconstructions: NDArray[np.float32]


def first_fit(dataset: Dataset, supervised: bool) -> Indices | None:
    """Return the rows whose labels the first fit saw: the first fold's, or None for an unsupervised learner."""
    return dataset.folds[0] if supervised else None


class Subject:
    """A fitted learner under evaluation, as a protocol sees it.

    Parameters
    ----------
    dataset : the data it is evaluated on.
    supervised : whether it is fitted anew for each set of training rows.
    learner : called with the rows of train it may have seen the labels of (None for an unsupervised learner); returns
        the fitted learner, on `device`.
    features : returns the features that are asked for, float32 of shape (n, D); they are extracted once for all
        protocols of a trial that named them in `Protocol.reads`.
    progress : called with what is being done and its share.
    snapshots : called like `learner`; returns what that fit kept as it learned, or None.
    device : where learners compute: "cpu" or a CUDA device.
    """

    def __init__(
        self,
        dataset: Dataset,
        supervised: bool,
        learner: Callable[[Indices | None], Learner],
        features: Callable[[Features], Matrix],
        progress: Callable[[str, float], None] = lambda what, share: None,
        snapshots: Callable[[Indices | None], Snapshots | None] = lambda rows: None,
        device: str = "cpu",
    ) -> None:
        self.dataset = dataset
        self.supervised = supervised
        self.learner = learner
        self.features = features
        self.progress = progress
        self.snapshots = snapshots
        self.device = device

    @property
    def trained(self) -> Indices | None:
        """The rows behind the fit that stands for all where a protocol looks at a single one, see `first_fit`."""
        return first_fit(self.dataset, self.supervised)


@dataclass
class Outcome:
    """What a protocol found.

    Attributes
    ----------
    measurements : in long form.
    warnings : what a reader of the row must be told.
    figures : by a short name, such as "grid".
    missing : why nothing could be measured on this learner, if so; it becomes the row's reason.
    headlines : the metrics that stand in tables with the coordinates that select them; by default all measurements of
        the protocol's `headlines`.
    curves : the lines that belong beside those of other methods.
    """

    measurements: list[Measurement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    missing: str = ""
    headlines: list[Headline] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


class Protocol(BaseModel):
    """A way of evaluating a fitted learner; its parameters are the fields of the model.

    `version` is raised whenever the same parameters would give other numbers than before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    version: ClassVar[int]
    headlines: ClassVar[tuple[str, ...]]
    """The metrics that stand in a table, each as a column: mean and standard deviation over the folds. Published values
    are those of the first."""
    needs: ClassVar[tuple[type, ...]] = ()
    """Capabilities without which a learner gets an empty row that says so."""

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return the features that `evaluate` will ask for, so that one pass can extract them with those of others."""
        return []

    @abstractmethod
    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Evaluate; all randomness is derived from `seed` and names."""

    @property
    def call(self) -> Call:
        """The protocol's name with the parameters that are not the defaults."""
        fields = type(self).model_fields
        changed = [name for name in fields if getattr(self, name) != fields[name].get_default()]
        values = self.model_dump(mode="json")
        return Call(name=self.name, parameters={name: values[name] for name in changed})

    def __str__(self) -> str:
        return str(self.call)


def make_protocols(calls: Iterable[Call], registry: Registry | None = None) -> list[Protocol]:
    """Return the validated protocols of `registry`, by default the installed ones.

    Raises
    ------
    UserError
        With all mistakes: unknown names, protocols that cannot be imported, and wrong parameters.
    """
    registry = discover(folder=None) if registry is None else registry
    made: list[Protocol] = []
    wrong: list[str] = []
    for call in calls:
        try:
            made.append(_protocol_class(registry.find("protocol", call.name)).model_validate(call.parameters))
        except ValidationError as error:
            known = registry.protocols[call.name].load().model_fields
            wrong += mistakes(error, f"protocol {call.name}", known)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))
    return made


def _protocol_class(entry: Entry) -> type[Protocol]:
    """Import a protocol; one whose class has another name than its entry point would be stored under that."""
    cls = entry.load_or_refuse()
    if not (isinstance(cls, type) and issubclass(cls, Protocol)):
        raise UserError(f"{entry.origin} gives no Protocol class for {entry.name!r}")
    if getattr(cls, "name", None) != entry.name:
        raise UserError(f'{entry.origin}: the class needs the same name: @register_protocol("{entry.name}")')
    return cls
