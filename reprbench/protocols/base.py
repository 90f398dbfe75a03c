"""What a protocol is, what it is given, and what it yields."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from reprbench.errors import Diverged, UserError, did_you_mean
from reprbench.spec import Call, mistakes

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.features import Matrix, View
    from reprbench.images import Rows
    from reprbench.learner import Learner

GROUP = "reprbench.protocols"


@dataclass(frozen=True)
class Measurement:
    """One number: what, how much, in which unit, which way is better, and where (fold, layer, noise level, …).

    Raises
    ------
    Diverged
        If the value is not finite.
    """

    metric: str
    value: float
    unit: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"
    at: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise Diverged(f"{self.metric} is {self.value}")

    def as_dict(self) -> dict[str, Any]:
        """Return the measurement as the store keeps it."""
        return asdict(self)


class Subject:
    """A fitted learner under evaluation, as a protocol sees it.

    Parameters
    ----------
    dataset : the data it is evaluated on.
    supervised : whether it is fitted anew for each set of training rows.
    learner : called with the rows of train it may have seen the labels of (None for an unsupervised learner).
    features : called with such rows, "train" or "test", rows of that split, and a view.
    progress : called with what is being done and its share.
    """

    def __init__(
        self,
        dataset: Dataset,
        supervised: bool,
        learner: Callable[[Rows | None], Learner],
        features: Callable[[Rows | None, Literal["train", "test"], Rows, View], Matrix],
        progress: Callable[[str, float], None] = lambda what, share: None,
    ) -> None:
        self.dataset = dataset
        self.supervised = supervised
        self.learner = learner
        self.features = features
        self.progress = progress


@dataclass
class Outcome:
    """What a protocol found: measurements, and what a reader of the row must be told."""

    measurements: list[Measurement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Protocol(BaseModel):
    """A way of evaluating a fitted learner; its parameters are the fields of the model.

    `version` is raised whenever the same parameters would give other numbers than before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str]
    version: ClassVar[int]
    headline: ClassVar[str]
    """The metric that stands in a table: its mean and standard deviation over the folds."""
    needs: ClassVar[tuple[type, ...]] = ()
    """Capabilities without which a learner gets an empty row that says so."""

    @abstractmethod
    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Evaluate; all randomness is derived from `seed` and names."""

    def identity(self) -> dict[str, Any]:
        """Return what distinguishes this evaluation from others of the same fit."""
        return {"name": self.name, "version": self.version, "parameters": self.model_dump(mode="json")}

    def __str__(self) -> str:
        fields = type(self).model_fields
        changed = {name: value for name, value in self.model_dump().items() if value != fields[name].get_default()}
        return str(Call(name=self.name, parameters=changed))


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
