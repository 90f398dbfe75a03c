"""The trials that wait for their turn, some of them because another run is running them."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from reprbench.claim_file import SUFFIX
from reprbench.claims import Claims, owner_of
from reprbench.owner import Owner
from reprbench.runner.plan import Planned, TrialSpec, plan
from reprbench.store import Store
from reprbench.trial import TRIAL, Trial
from reprbench.trial_file import read_trial

LOOK_SECONDS = 1.0
"""How often to look whether another run has ended its trials."""


class Waiting:
    """The planned trials of a run that have not begun.

    Parameters
    ----------
    work : the trials, in the order in which they begin if no other run is running one of them.
    cache : the folder of the cache; trials are claimed in the store, and their fits there.
    waits : is called once for each trial that another run is running.
    claim_fits : whether fits are claimed here, and not by who makes them.
    """

    def __init__(
        self,
        work: Iterable[Planned],
        store: Store,
        cache: Path,
        claims: Claims,
        waits: Callable[[Planned, Owner], None],
        claim_fits: bool = True,
    ) -> None:
        self._work, self._store, self._cache, self._claims, self._waits = list(work), store, cache, claims, waits
        self._claim_fits = claim_fits
        self._announced: set[int] = set()
        self._next_look = 0.0

    def __len__(self) -> int:
        return len(self._work)

    def next(self) -> Planned | None:
        """Return a trial that is claimed now, planned anew if the store has changed; None if others hold all."""
        if time.monotonic() < self._next_look:
            return None
        for index, planned in enumerate(self._work):
            owner = None if planned.spec.problem else self._claims.take(*self._paths(planned))
            if owner is None:
                del self._work[index]
                return self._anew(planned)
            # A row of this run with the same fit needs no words.
            if not owner.here and id(planned) not in self._announced:
                self._announced.add(id(planned))
                self._waits(planned, owner)
        self._next_look = time.monotonic() + LOOK_SECONDS
        return None

    def release(self, planned: Planned) -> None:
        """Release the claims of a trial that has ended."""
        self._claims.release(*self._paths(planned))
        self._next_look = 0.0

    def _paths(self, planned: Planned) -> tuple[Path, ...]:
        trial, fit = claims_of(planned.spec, self._store, self._cache)
        return (trial, fit) if self._claim_fits else (trial,)

    def _anew(self, planned: Planned) -> Planned:
        """Plan a trial anew if another run has stored results of it since it was planned."""
        stored = _stored(self._store, planned.spec)
        if stored is None or stored == planned.stored:
            return planned
        return plan([planned.spec], [stored])[0]


def claims_of(spec: TrialSpec, store: Store, cache: Path) -> tuple[Path, Path]:
    """Return the files of the claims on a trial and on its fit."""
    return trial_claim(store, spec.folder), fit_claim(cache, spec.hash)


def trial_claim(store: Store, folder: str) -> Path:
    """Return the file of the claim on a trial, given its folder inside the store."""
    readable = re.sub(r"[^\w.-]+", "-", folder, flags=re.ASCII)[-100:]
    name = f"{readable}-{hashlib.sha256(folder.encode()).hexdigest()[:8]}"
    return store.root / ".locks" / f"{name}{SUFFIX}"


def fit_claim(cache: Path, fit: str) -> Path:
    """Return the file of the claim on a fit, given the hash of its trial."""
    return claims_folder(cache) / f"{fit}{SUFFIX}"


def claims_folder(cache: Path) -> Path:
    """Return the folder of the claims on fits."""
    return cache / "claims"


def held_by_others(planned: Planned, store: Store, cache: Path) -> Owner | None:
    """Return who is running a trial now, or makes its fit; writes nothing."""
    owners = (owner_of(path) for path in claims_of(planned.spec, store, cache))
    return next((owner for owner in owners if owner is not None), None)


def _stored(store: Store, spec: TrialSpec) -> Trial | None:
    """Return the trial as it is in the store now."""
    try:
        trial = read_trial(store.root / spec.folder / TRIAL)
    except (OSError, ValueError):
        return None
    return trial if (trial.benchmark, trial.hash) == (spec.benchmark, spec.hash) else None
