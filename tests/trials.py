"""Trials for tests: small, and with only what a test names."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from reprbench.measurement import Headline, Measurement
from reprbench.spec import Budget, Call, parse_call
from reprbench.trial import Code, DataRecord, Evaluation, MethodRecord, ProtocolRecord, Trial


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
