"""Converts trials of older schemas to the current one: the only place that parses texts of former versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from reprbench.errors import UserError
from reprbench.spec import parse_call

SCHEMA = 3
"""The schema of the trials that this version writes."""

Json = dict[str, Any]


def migrate(trial: Json, version: int) -> Json:
    """Return the content of a ``trial.json`` of an older schema in the current one.

    Raises
    ------
    KeyError, TypeError, AttributeError, ValueError
        If it is not what that version wrote.
    """
    for number in range(version, SCHEMA):
        if number not in STEPS:
            raise ValueError(f"there was no schema {number}")
        trial = {**STEPS[number](trial), "schema_version": number + 1}
    return trial


def _from_1(trial: Json) -> Json:
    """Schema 1 kept calls, deviations and figures as texts, and one headline; CUDA fits chose bfloat16 themselves."""
    evaluations = [_evaluation_from_1(evaluation) for evaluation in trial.get("evaluations", [])]
    hashes = {old["text"]: new["hash"] for old, new in zip(trial.get("evaluations", []), evaluations, strict=True)}
    provenance = trial.get("provenance") or {}
    # The process that fitted may be another than the one that evaluated.
    device = str((provenance.get("fit") or provenance).get("device", ""))
    deviations = [{"kind": _kind(text), "text": text} for text in trial.get("deviations", [])]
    own = any(deviation["kind"] == "own protocol" for deviation in deviations)
    return {
        **trial,
        "method": _method_from_1(trial["method"]),
        "dataset": {**trial["dataset"], "call": _call(trial["dataset"]["call"])},
        "precision": "bf16" if device.startswith("cuda") else "float32",
        "protocols": [_protocol_from_1(text, hashes, own) for text in trial.get("protocols", [])],
        "deviations": deviations,
        "evaluations": evaluations,
    }


def _method_from_1(method: Json) -> Json:
    kind = "supervised" if method.get("supervised") else "control" if method.get("control") else "unsupervised"
    return {
        "call": _call(method["call"]),
        "parameters": method["parameters"],
        "origin": method["origin"],
        "code": {"source": method["source"]},
        "kind": kind,
    }


def _protocol_from_1(text: str, hashes: Mapping[str, str], own: bool) -> Json:
    """Return the record of a protocol; a row's `own` is in the table of the benchmark's protocol of that name."""
    call = _call(text)
    return {
        "call": call,
        # Without an evaluation nothing else has that hash, so any text will do.
        "hash": hashes.get(text, text),
        # Of the benchmark's protocol only the name is known.
        "table": {"name": call["name"], "parameters": {}} if own else None,
    }


def _evaluation_from_1(old: Json) -> Json:
    return {
        **old,
        "call": _call(old["text"]),
        "code": {"version": old["version"]},
        "headlines": [{"metric": old["headline"], "at": old.get("headline_at", {})}],
        "figures": [{"name": _figure_name(file, old), "file": file} for file in old.get("figures", [])],
    }


def _call(text: str) -> Json:
    """Return a call that was written as a text; only its name if it cannot be parsed, as those that name a file."""
    try:
        call = parse_call(text)
    except UserError:
        return {"name": text.partition("[")[0], "parameters": {}}
    return {"name": call.name, "parameters": dict(call.parameters)}


def _kind(deviation: str) -> str:
    """Return the kind of the deviation that a text of schema 1 describes."""
    beginnings = {
        "protocol of its own": "own protocol",
        "budget of its own": "own budget",
        "dataset ": "dataset",
        "protocol ": "protocol",
        "budget ": "budget",
        "limit ": "limit",
    }
    kind = next((kind for beginning, kind in beginnings.items() if deviation.startswith(beginning)), None)
    return kind or ("parameters" if deviation.partition("=")[0].isidentifier() else "data")


def _figure_name(file: str, evaluation: Json) -> str:
    """Return the name that a protocol gave a figure: "map" for "figures/embedding-96a5e07e-map.png"."""
    return PurePosixPath(file).stem.removeprefix(f"{evaluation['name']}-{evaluation['hash'][:8]}-")


def _from_2(trial: Json) -> Json:
    """Schema 2 had one status for the whole trial; an evaluation that could not be made was `missing`."""
    evaluations = [_evaluation_from_2(evaluation) for evaluation in trial.get("evaluations", [])]
    there = {evaluation["hash"] for evaluation in evaluations}
    rest = [protocol for protocol in trial.get("protocols", []) if protocol["hash"] not in there]
    # The fits of a supervised learner happen in its evaluations.
    fitted = trial["method"].get("kind") == "supervised" or (trial.get("cost") or {}).get("fit_seconds") is not None
    if trial["status"] == "done" or not rest or not (evaluations or fitted):
        return {**trial, "evaluations": evaluations}
    failure: Json = {name: trial[name] for name in ("status", "reason", "traceback", "signal") if name in trial}
    return {
        **trial,
        **dict.fromkeys(("reason", "traceback"), ""),
        "status": "done",
        "signal": None,
        "evaluations": [*evaluations, _failed_evaluation(rest[0], failure)],
    }


def _evaluation_from_2(old: Json) -> Json:
    missing = old.get("missing")
    return {**old, "status": "skipped", "reason": missing} if missing else old


def _failed_evaluation(protocol: Json, failure: Json) -> Json:
    """Return the record of an evaluation that failed; of the protocol's code nothing was recorded."""
    call = protocol["call"]
    return {
        "call": call,
        "code": {},
        "parameters": dict(call.get("parameters", {})),
        "hash": protocol["hash"],
        "seconds": 0.0,
        "headlines": [],
        "measurements": [],
        **failure,
    }


STEPS: Mapping[int, Callable[[Json], Json]] = {1: _from_1, 2: _from_2}
"""By schema, the function that converts it to the next one."""
