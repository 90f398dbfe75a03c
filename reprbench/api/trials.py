"""A stored trial and its fitted learner, which the cache has."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from reprbench.api.captured import captured_files
from reprbench.api.encoding import encode
from reprbench.api.paths import asked_path
from reprbench.api.pictures import Pictures, read_pictures
from reprbench.arrays import unpack
from reprbench.benchmark import DEFAULT_PROTOCOLS, benchmark_files, load_benchmark
from reprbench.errors import UserError
from reprbench.features import View
from reprbench.frames import measurements_frame
from reprbench.history_file import read_history
from reprbench.registry import Entry, discover
from reprbench.runner.describe import code_of
from reprbench.runner.devices import choose_devices
from reprbench.trial import ADHOC, HISTORY, Trial

if TYPE_CHECKING:
    import pandas

    from reprbench.cache import CacheFile
    from reprbench.features import Matrix
    from reprbench.images import Indices
    from reprbench.learner import Learner


class StoredTrial:
    """A trial of a store, with its fitted learner.

    Attributes
    ----------
    record : what the store knows about it: the content of ``trial.json``.
    """

    def __init__(self, record: Trial, store: Path, cache: Path, plugins: Sequence[Path] = ()) -> None:
        self.record = record
        self._store, self._cache, self._plugins = store, cache.resolve(), tuple(plugins)

    def __repr__(self) -> str:
        return f"<trial {self.record.folder}: {self.record.label}, seed {self.record.seed}, {self.record.status}>"

    @property
    def folder(self) -> Path:
        """Where the store has it."""
        return self._store / self.record.folder

    def to_dataframe(self) -> pandas.DataFrame:
        """Return its measurements as a tidy table, one per row; see `Store.to_dataframe`."""
        return measurements_frame([self.record])

    def history(self) -> pandas.DataFrame:
        """Return what its fit logged: a row for each epoch or report, with ``step`` and NaN where nothing was logged.

        It is empty for a trial that logged nothing, as one of a method that does not learn in steps.
        """
        import pandas

        return pandas.DataFrame.from_records(read_history(self.folder / HISTORY))

    def learner(self, device: str = "cpu", fold: int = 0) -> Learner:
        """Return the fitted learner, made anew from the state that the cache has.

        Parameters
        ----------
        device : where it computes: "cpu", "cuda", or "cuda:0".
        fold : for a supervised learner, which was fitted once per fold: of which one.

        Raises
        ------
        UserError
            If the cache no longer has the fit, or the method's code is not what it was then.
        """
        from reprbench.runner.fitting import load_fit

        (device,) = choose_devices(device)[:1]
        entry, cls = self.load_class()
        state = self.state_file(fold).read(unpack)
        if state is None:
            raise UserError(self._not_cached(entry))
        one = self.record
        return load_fit(cls, one.method.parameters, one.dataset.shape, one.seed, state[0], device)

    @overload
    def encode(self, images: Pictures, view: None = None, device: str = "cpu") -> dict[str, NDArray[np.float32]]: ...

    @overload
    def encode(self, images: Pictures, view: View, device: str = "cpu") -> Matrix: ...

    def encode(
        self, images: Pictures, view: View | None = None, device: str = "cpu"
    ) -> dict[str, NDArray[np.float32]] | Matrix:
        """Encode images with the fitted learner; see `encode`.

        Parameters
        ----------
        images : as for `encode`, or the path of an image file, or several. Images of files are cropped to the square in
            their middle, resized (bicubic) to the size of the trial's images, and made gray if these are.
        view : which layers, pooled how, make up the feature matrix; None pools nothing.
        device : where the learner computes.
        """
        pictures = read_pictures(images, self.record.dataset.shape)
        learner = self.learner(device)
        return encode(learner, pictures) if view is None else encode(learner, pictures, view)

    def export(self, folder: str | Path) -> Path:
        """Write the fitted learner into a new folder, from which `load_learner` loads it; return the folder.

        It gets the state as safetensors, the parameters as JSON, the code of a method that is not installed, and a
        model card.
        """
        from reprbench.api.exports import export

        return export(self, asked_path(folder, "folder"))

    def load_class(self) -> tuple[Entry, type[Learner]]:
        """Import and return the method's class, where its code is what it was when the trial ran."""
        method = self.record.method
        known = discover(self._plugins).methods.get(method.name)
        files = captured_files(method.name, self._cache)
        entries = [*([known] if known else []), *(Entry(method.name, "file", str(file)) for file in files)]
        found = [f"no method {method.name!r} is known"]
        for entry in entries:
            try:
                cls: type[Learner] = entry.load_or_refuse()
            except UserError as error:
                found.append(str(error))
                continue
            if code_of(cls, entry) == method.code:
                return entry, cls
            found.append(f"{entry.target} has {code_of(cls, entry)}")
        raise UserError(
            f"trial {self.record.folder}: ran {method.name} with {method.code}, and {found[-1]}; name the file as it "
            "was with plugins=[…] or --plugin, or run it again"
        )

    def state_file(self, fold: int = 0) -> CacheFile:
        """Return the file of the cache that has, or had, the state of the fitted learner."""
        from reprbench.runner.fitting import state_file

        return state_file(self._cache, self.record.hash, self._rows(fold))

    def _rows(self, fold: int) -> Indices | None:
        if self.record.method.kind != "supervised":
            return None
        from reprbench.api.datasets import dataset

        data = self.record.dataset
        folds = dataset(data.call, limit=data.limit, cache=self._cache, plugins=self._plugins).folds
        if not 0 <= fold < len(folds):
            raise UserError(f"fold {fold}: trial {self.record.folder} has the folds 0 to {len(folds) - 1}")
        return folds[fold]

    def _not_cached(self, entry: Entry) -> str:
        # The store has the trial: with that one, nothing would be fitted.
        return (
            f"trial {self.record.folder}: its fit is no longer in the cache {self._cache}; "
            f"`{_command(self.record, entry)}` makes it again"
        )


def _default_protocols(one: Trial) -> set[str]:
    """Return the protocols where a command names none; empty if the trial's benchmark is not known by its name."""
    if one.benchmark == ADHOC:
        return set(map(str, DEFAULT_PROTOCOLS))
    file = benchmark_files().get(one.benchmark)
    return set() if file is None else set(map(str, load_benchmark(file).protocols))


def _command(one: Trial, entry: Entry) -> str:
    """Return the command that fits a trial again, whatever its store has."""
    adhoc = one.benchmark == ADHOC
    options = [f"--dataset {shlex.quote(str(one.dataset.call))}"] if adhoc else [f"--benchmark {one.benchmark}"]
    options += [f"--methods {shlex.quote(str(one.method.call))}", f"--seeds {one.seed}"]
    asked = [str(protocol.call) for protocol in one.protocols]
    options += [f"--protocols {shlex.quote(','.join(asked))}"] if set(asked) != _default_protocols(one) else []
    options += [f"--epochs {one.budget.epochs}"] if one.budget.epochs and adhoc else []
    options += [f"--limit {one.dataset.limit}"] if one.dataset.limit else []
    options += [f"--precision {one.precision}"] if one.precision != "float32" else []
    options += [f"--plugin {shlex.quote(entry.target)}"] if entry.way == "file" else []
    return f"reprbench run {' '.join(options)} --store again"
