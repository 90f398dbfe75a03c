"""Trials for tests: small, and with only what a test names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from reprbench.measurement import Better, Headline, Measurement
from reprbench.spec import Budget, Call, parse_call
from reprbench.store import Store
from reprbench.trial import Code, DataRecord, Evaluation, MethodRecord, ProtocolRecord, SweepRecord, Trial


def method(call: str = "ae", **changes: Any) -> MethodRecord:
    """Return the record of a method; `call` is its call, or any name that is not a call."""
    known = {"call": parse_call(call), "parameters": {}, "origin": "test", "code": Code(source="s")}
    return MethodRecord(**{**known, **changes})


def protocol(text: str = "linear-svm", table: str | None = None) -> ProtocolRecord:
    """Return the record of a protocol from its call; `evaluation` gives the same text the same hash."""
    return ProtocolRecord(parse_call(text), f"hash of {text}", None if table is None else parse_call(table))


def trial(label: str = "ae", seed: int = 0, digest: str = "a" * 64, **changes: Any) -> Trial:
    """Return a finished trial; `protocols` may be given as strings."""
    values: dict[str, Any] = {
        "benchmark": "mine",
        "label": label,
        "method": method(),
        "dataset": DataRecord(
            call=Call(name="digits"),
            title="Digits",
            digest="d" * 64,
            shape=(1, 8, 8),
            unlabeled=9,
            train=9,
            test=4,
            classes=2,
            folds=2,
        ),
        "budget": Budget(epochs=1),
        "seed": seed,
        "identity": {"seed": seed},
        "hash": digest,
        "status": "done",
        "protocols": ["linear-svm"],
        **changes,
    }
    values["protocols"] = [protocol(one) if isinstance(one, str) else one for one in values["protocols"]]
    return Trial(**values)


def evaluation(
    values: list[float],
    text: str = "linear-svm",
    measured: Any = None,
    headline: str = "accuracy",
    headline_at: dict[str, Any] | None = None,
    version: int = 1,
    **changes: Any,
) -> Evaluation:
    """Return an evaluation with one value per fold; `measured` changes the rest of the measurements."""
    measurements = [
        replace(Measurement("accuracy", value, "%", "higher", {"fold": fold}), **(measured or {}))
        for fold, value in enumerate(values)
    ]
    known = {
        "call": parse_call(text),
        "code": Code(version=version),
        "parameters": {},
        "hash": f"hash of {text}",
        "seconds": 1.0,
        "headlines": [Headline(headline, headline_at or {})],
        "measurements": measurements,
    }
    return Evaluation(**{**known, **changes})


def fits(one: Trial, *shifts: float) -> list[Trial]:
    """Return the trial with a seed for each of the `shifts`: its values are larger by that share of them."""
    return [
        replace(
            one,
            seed=seed,
            hash=f"{seed:x}{one.hash[1:]}",
            identity={**one.identity, "seed": seed},
            evaluations=[
                replace(
                    found, measurements=[replace(each, value=each.value * (1 + shift)) for each in found.measurements]
                )
                for found in one.evaluations
            ],
        )
        for seed, shift in enumerate(shifts)
    ]


def swept(
    values: dict[str, list[Any]],
    row: str = "AE",
    seeds: tuple[int, ...] = (0, 1),
    better: Better = "higher",
    asked: dict[str, Any] | None = None,
    **changes: Any,
) -> list[Trial]:
    """Return the trials of a sweep over `lr`, one for each setting and seed.

    `values` has for each learning rate a pair for each seed, or None: inner accuracy, by which a setting is chosen,
    and accuracy on the test split.
    """
    found = []
    for place, (lr, pairs) in enumerate(values.items()):
        record = sweep_record(row, float(lr), list(map(float, values)), seeds, **(asked or {}))
        for seed, pair in zip(seeds, pairs, strict=False):
            one = trial(record.name, seed, digest=f"{place}{seed}".ljust(64, "e"), method=method(f"ae[lr={lr}]"))
            evaluations = [evaluation([pair[1]] * 2, version=1)] if pair else []
            for each in evaluations:
                each.measurements += [
                    Measurement("inner accuracy", pair[0] + fold, "%", better, {"fold": fold}) for fold in (-1, 1)
                ]
            status = "done" if pair else "failed"
            more = {"sweeps": [record], "only_setting": True, "evaluations": evaluations, "status": status}
            found.append(replace(one, **{**more, **changes}))
    return found


def sweep_record(row: str, lr: float, rates: list[float], seeds: tuple[int, ...], **changes: Any) -> SweepRecord:
    """Return what a trial with that learning rate records of a sweep over the `rates`."""
    half = seeds[: max(1, len(seeds) // 2)]
    known: dict[str, Any] = {
        "row": row,
        "name": f"{row}[lr={lr}]",
        "setting": {"lr": lr},
        "parameters": {"lr": rates},
        "tries": len(rates),
        "by": "inner accuracy",
        "protocol": "hash of linear-svm",
        "on": "training images",
        "chosen_on": half,
        "reported_on": seeds[len(half) :] or half,
    }
    return SweepRecord(**{**known, **changes})


def read_whole(store: Path) -> list[Trial]:
    """Return the trials of a store, after checking that each of its files is read, with all evaluations asked for."""
    trials, problems = Store(store).read()
    assert problems == []
    assert len(trials) == len(list(store.glob("*/*/*/trial.json"))) > 0
    assert all(one.evaluation(protocol) for one in trials for protocol in one.protocols)
    return trials
