"""The base class of protocols, and what they return; for what they are given see `subject`."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import ConfigDict

# Parts of a protocol's outcome, as the store keeps them.
from reprbench.measurement import Curve as Curve
from reprbench.measurement import Headline as Headline
from reprbench.measurement import Measurement as Measurement

# What a protocol is given.
from reprbench.protocols.subject import Features as Features
from reprbench.protocols.subject import Snapshots as Snapshots
from reprbench.protocols.subject import Subject as Subject
from reprbench.strict import StrictNumbers

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from reprbench.data.dataset import Dataset
    from reprbench.spec import Call


@dataclass(frozen=True)
class KeptGram:
    """A centered Gram matrix to be kept, see `reprbench.probes.cka`.

    Attributes
    ----------
    packed : float16 of shape (n(n − 1)/2,)
    images : the digest of the images that it is of: reports compare matrices of the same images.
    """

    packed: NDArray[np.float16]
    images: str


@dataclass
class Outcome:
    """The results of a protocol.

    Attributes
    ----------
    measurements : list of Measurement
        In long form: one number each, with its coordinates.
    warnings : list of str
        For the reader of the row.
    figures : dict of matplotlib figures
        By short names of letters, digits and hyphens, such as "grid"; each becomes a PNG file.
    missing : str
        Why nothing could be measured on this learner, if nothing was; it becomes the row's reason.
    headlines : list of Headline
        The columns of the table, with the coordinates that select their measurements; by default all measurements of
        the protocol's `headlines`.
    curves : list of Curve
        Measurements to be drawn as lines, together with those of other methods.
    grams : dict of KeptGram
        By short names; reports draw a map of the similarity of all learners that have one of that name.

    Examples
    --------
    >>> from reprbench import Curve, Headline, Measurement, Outcome
    >>> at = [{"level": level} for level in (0.1, 0.2)]
    >>> outcome = Outcome([Measurement("error", value, "dB", "lower", at=at) for value, at in zip([3.0, 5.0], at)])
    >>> outcome.headlines = [Headline("error", {"level": 0.2})]
    >>> outcome.curves = [Curve("error", "level", x_label="noise level")]
    >>> Outcome(missing="my-protocol needs two classes").measurements
    []
    """

    measurements: list[Measurement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    missing: str = ""
    headlines: list[Headline] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    grams: dict[str, KeptGram] = field(default_factory=dict)


class Protocol(StrictNumbers):
    """A way of evaluating a fitted learner.

    ``@register_protocol("name")`` gives a class its name. Its parameters are the fields of the class, validated by
    pydantic; they are part of the identity of an evaluation. Instances are immutable, and equal if their parameters
    are.

    Attributes
    ----------
    name : class variable, str
        As users write it; empty for a class that is not registered.
    version : class variable, int or None
        To be raised whenever the same parameters would give other numbers than before: stored evaluations are then
        rerun, without another fit. A class that sets none is identified by its code instead, and evaluated again
        whenever that is edited.
    headlines : class variable, tuple of str
        The metrics shown in tables, each as a column with interval and test. Published values are compared with the
        first.
    needs : class variable, tuple of types
        Capabilities, such as `Reconstructs`, without which a learner gets an empty row that says so.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from pydantic import PositiveFloat
    >>> from reprbench import Features, Measurement, Outcome, Protocol, Subject, View
    >>> class Activity(Protocol):
    ...     headlines = ("mean activity", "active units")
    ...     threshold: PositiveFloat = 0.5
    ...
    ...     def reads(self, dataset, supervised):
    ...         return [Features.of_split(dataset, supervised, "test", View(pooling="mean", grid=1))]
    ...
    ...     def evaluate(self, subject, seed):
    ...         (wanted,) = self.reads(subject.dataset, subject.supervised)
    ...         features = subject.features(wanted)
    ...         active = 100 * float((features > self.threshold).mean())
    ...         mean = Measurement("mean activity", float(features.mean()))
    ...         return Outcome([mean, Measurement("active units", active, "%")])
    >>> subject = Subject(SimpleNamespace(test=range(4)), False, None, lambda wanted: np.eye(len(wanted.rows)))
    >>> [found.value for found in Activity(threshold=0.9).evaluate(subject, seed=0).measurements]
    [0.25, 25.0]
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    name: ClassVar[str] = ""
    version: ClassVar[int | None] = None
    headlines: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[type, ...]] = ()

    @property
    def selects(self) -> tuple[str, ...]:
        """The metrics that are measured without the test split: a sweep may choose by them, by default by the first."""
        return ()

    @property
    def other_datasets(self) -> tuple[Call, ...]:
        """The datasets that `evaluate` asks `Subject.on` for, besides the learner's own.

        They are found when a run is planned, and their content is part of the identity of the evaluation.
        """
        return ()

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return the features that `evaluate` will request.

        One pass over the images then extracts the features that all protocols of a trial read. Features that are not
        named here are extracted when they are requested.
        """
        return []

    @abstractmethod
    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Evaluate the subject and return the outcome.

        All randomness comes from `subject.generator`: the same `seed` gives the same numbers.

        Raises
        ------
        UserError
            If parameters and data do not fit together; in one line, which names the remedy.
        Diverged
            If features or reconstructions of the learner are not finite.
        """
