"""What a protocol is given: a fitted learner with its data, and the features that it requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reprbench.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reprbench.data.dataset import Dataset
    from reprbench.features import Matrix, View
    from reprbench.images import Indices
    from reprbench.learner import FeatureMaps, Learner
    from reprbench.spec import Call


def first_fit(dataset: Dataset, supervised: bool) -> Indices | None:
    """Return the rows whose labels the first fit saw: those of the first fold, or None for an unsupervised learner."""
    return dataset.folds[0] if supervised else None


@dataclass(frozen=True, eq=False)
class Features:
    """A request for features: of which images, in which view, and from which fit.

    Attributes
    ----------
    trained : Indices or None
        The rows of the training split whose labels the learner saw; None for an unsupervised learner.
    split : "train" or "test"
        Where the images are from.
    rows : Indices
        The images' rows in that split.
    view : View
        Which layers, and how they are pooled.

    Examples
    --------
    >>> import numpy as np
    >>> from reprbench import Features, View
    >>> Features(None, "train", np.arange(100), View(layers="all")).split
    'train'
    """

    trained: Indices | None
    split: Literal["train", "test"]
    rows: Indices
    view: View

    @classmethod
    def of_split(cls, dataset: Dataset, supervised: bool, split: Literal["train", "test"], view: View) -> Features:
        """Return the features of a whole split, from a single fit: that of the first fold for a supervised learner."""
        import numpy as np

        images = dataset.train if split == "train" else dataset.test
        return cls(first_fit(dataset, supervised), split, np.arange(len(images), dtype=np.int64), view)


@dataclass(frozen=True, eq=False)
class Snapshots:
    """Reconstructions of a few of its images that a fit made during training.

    Attributes
    ----------
    epochs : list of float
        Numbers of epochs, ascending; 0 is before the first.
    originals : float32 array (N, C, H, W) in [0, 1]
    reconstructions : float32 array (len(epochs), N, C, H, W)
    """

    epochs: list[float]
    originals: NDArray[np.float32]
    reconstructions: NDArray[np.float32]


def first_maps_of(learner: Learner, dataset: Dataset, device: str) -> FeatureMaps:
    """Return the feature maps of the first test image, checked."""
    import numpy as np

    from reprbench.features import maps_of
    from reprbench.outputs import checked
    from reprbench.state import evaluating

    x = dataset.test.batch(slice(0, 1), device)
    with evaluating(learner):
        return checked(maps_of(learner, x, ("test", np.zeros(1, dtype=np.int64))), 1)


def features_of(learner: Learner, dataset: Dataset, asked: Features, device: str) -> Matrix:
    """Extract the features asked for, float32 of shape (len(rows), D); `learner` is their fit."""
    import numpy as np

    from reprbench.features import extract

    images = (dataset.train if asked.split == "train" else dataset.test).take(asked.rows)
    batches = extract(learner, images, [asked.view], device, place=(asked.split, asked.rows))
    return np.concatenate([matrix for (matrix,) in batches])


def _nowhere(call: Call) -> Subject:
    raise UserError(f"no other dataset is at hand, and {call} is asked for: name it in Protocol.other_datasets")


class Subject:
    """A fitted learner to be evaluated, with its data, as a protocol sees it.

    The harness makes it. Tests of a protocol can make their own from any objects with the attributes it reads.

    Parameters
    ----------
    dataset : Dataset
        The data that the learner is evaluated on.
    supervised : bool
        Whether the learner is fitted once per set of training rows.
    learner : callable
        Called with the rows of the training split whose labels the learner may have seen (None for an unsupervised
        one), `trained` for instance; returns the fitted learner, on `device`. Raises a `UserError` if it can encode no
        images, because it is `Precomputed`: such a learner has the `features` and `first_maps` of its own dataset.
    features : callable, optional
        Called with `Features`; returns them, float32 of shape (len(rows), D), in memory or mapped from a file. The
        harness extracts once for all protocols of a trial what they named in `Protocol.reads`. By default they are
        extracted whenever they are requested.
    progress : callable, optional
        Called with the current task and the share of it that is done, in [0, 1].
    snapshots : callable, optional
        Called like `learner`; returns the `Snapshots` of that fit, or None if it kept none.
    device : str, optional
        Where learners compute: "cpu" or a CUDA device.
    on : callable, optional
        Called with one of `Protocol.other_datasets`; returns the same learner as a subject on that dataset, whose
        images are adapted to the shape of those that it was fitted to (see `reprbench.data.adapted`). There it counts
        as unsupervised: it has seen no label of that dataset. A supervised one is the fit to the first fold of its own.
    first_maps : callable, optional
        Called without arguments; returns the feature maps of the first test image, as `Learner.encode` returns them:
        they tell the names of all layers, from input to output, and their shapes.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> from reprbench import Features, Images, Learner, Subject, View
    >>> class Pixels(Learner):
    ...     def fit(self, images, run):
    ...         pass
    ...
    ...     def encode(self, x):
    ...         return {"pixels": x}
    >>> data = SimpleNamespace(name="black", test=Images(np.zeros((20, 1, 8, 8), np.uint8)))
    >>> subject = Subject(data, False, lambda rows: Pixels())
    >>> subject.features(Features.of_split(data, False, "test", View(pooling="mean", grid=2))).shape
    (20, 4)
    """

    def __init__(
        self,
        dataset: Dataset,
        supervised: bool,
        learner: Callable[[Indices | None], Learner],
        features: Callable[[Features], Matrix] | None = None,
        progress: Callable[[str, float], None] = lambda what, share: None,
        snapshots: Callable[[Indices | None], Snapshots | None] = lambda rows: None,
        device: str = "cpu",
        on: Callable[[Call], Subject] = _nowhere,
        first_maps: Callable[[], FeatureMaps] | None = None,
    ) -> None:
        self.dataset = dataset
        self.supervised = supervised
        self.learner = learner
        self.features = features or self._extract
        self.progress = progress
        self.snapshots = snapshots
        self.device = device
        self.on = on
        self.first_maps = first_maps or (lambda: first_maps_of(learner(self.trained), dataset, device))

    @property
    def trained(self) -> Indices | None:
        """The rows of the fit that represents all: those of the first fold, or None for an unsupervised learner."""
        return first_fit(self.dataset, self.supervised)

    def generator(self, name: str, seed: int | None = None) -> np.random.Generator:
        """Return a new generator for the draws called `name`, such as ``"my-protocol/pairs"``.

        Given the trial's `seed`, the draws depend on it. Otherwise they depend on `name` and the dataset's name alone,
        and are the same for every method and seed: use that for what all rows of a table must share, such as images.
        """
        import numpy as np

        from reprbench.data.folds import named_generator
        from reprbench.run_context import derive_seed

        if seed is None:
            return named_generator(f"{self.dataset.name} {name}")
        return np.random.default_rng(derive_seed(seed, name))

    def _extract(self, asked: Features) -> Matrix:
        return features_of(self.learner(asked.trained), self.dataset, asked, self.device)
