"""What a protocol is, what it is given, and what it yields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from reprbench.errors import UserError, did_you_mean
from reprbench.spec import Call, mistakes

# Parts of what a protocol yields, as the store keeps them.
from reprbench.trial import Curve as Curve
from reprbench.trial import Headline as Headline
from reprbench.trial import Measurement as Measurement

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from reprbench.data.dataset import Dataset
    from reprbench.features import Matrix, View
    from reprbench.images import Indices
    from reprbench.learner import Learner

GROUP = "reprbench.protocols"


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

    def generator(self, name: str, seed: int | None = None) -> np.random.Generator:
        """Return a new generator, at its start, for the draws called `name`."""
        import numpy as np

        from reprbench.data.folds import base_name, named_generator
        from reprbench.run import derive_seed

        if seed is None:
            return named_generator(f"{base_name(self.dataset.name)} {name}")
        return np.random.default_rng(derive_seed(seed, name))


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


def protocol_entries() -> list[EntryPoint]:
    """Return the entry points of all protocols, by name; nothing is imported."""
    return sorted(entry_points(group=GROUP), key=lambda entry: entry.name)


def make_protocols(calls: Iterable[Call]) -> list[Protocol]:
    """Return the validated protocols; raise one `UserError` with all mistakes."""
    made: list[Protocol] = []
    wrong: list[str] = []
    known = {entry.name: entry for entry in protocol_entries()}
    for call in calls:
        if call.name not in known:
            wrong.append(
                f"unknown protocol {call.name!r}.{did_you_mean(call.name, known)} `reprbench list protocols` shows all"
            )
            continue
        cls: type[Protocol] = known[call.name].load()
        try:
            made.append(cls.model_validate(call.parameters))
        except ValidationError as error:
            wrong += mistakes(error, f"protocol {call.name}", cls.model_fields)
    if wrong:
        raise UserError("\n".join(wrong))
    return made
