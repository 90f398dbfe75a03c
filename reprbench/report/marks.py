"""Notes on rows of a table that differ in more than the method: machine, versions, coordinates, deviations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from reprbench.measurement import Headline
from reprbench.report.row import Source, mixed, own_headlines
from reprbench.report.text import place_text
from reprbench.trial import Code, Trial


def mark(sources: Sequence[Source], headlines: Sequence[Headline]) -> tuple[list[list[str]], tuple[str, ...]]:
    """Return notes on what sets each row of a table apart, and explanations that concern all of its rows."""
    machines = [_machine(source.trial) for source in sources]
    codes = [source.code for source in sources]
    places = [_places(source, headlines) for source in sources]
    explanations = []
    notes: list[list[str]] = [[] for _ in sources]
    usual = _usual(machines)
    if mixed(machines):
        explanations.append(f"mixed machines: rows without such a note ran on {usual}")
        _note(notes, machines, usual, "ran on {}")
    current = current_code(sources)
    if mixed(codes):
        explanations.append(f"mixed versions of the protocol: only rows of {current} compete; run the benchmark again")
        _note(notes, codes, current, f"evaluated by {{}} of the protocol, not {current}")
    numerics = [source.trial.numerics if source.evaluation else None for source in sources]
    if mixed(numerics):
        newest = current_numerics(sources)
        explanations.append(
            f"mixed numerics of reprbench: only rows of version {newest} compete; run the benchmark again"
        )
        _note(notes, numerics, newest, f"computed with version {{}} of reprbench's numerics, not {newest}")
    if mixed(places):
        _note(notes, places, _usual(places), "measured at {}")
    if mixed([tuple(one for one in source.trial.deviations if one.from_benchmark) for source in sources]):
        explanations.append("mixed deviations: rows deviate from the benchmark in different ways, see their notes")
    return notes, tuple(explanations)


def current_code(sources: Sequence[Source]) -> Code | None:
    """Return the protocol's code that counts: the highest version, or without versions that of the last trial."""
    known = [(source.code.version or 0, source.trial.order, source.code) for source in sources if source.code]
    return max(known, key=lambda one: one[:2])[2] if known else None


def current_numerics(sources: Sequence[Source]) -> int:
    """Return the highest version of reprbench's own computations with which anything was measured."""
    return max((source.trial.numerics for source in sources if source.evaluation), default=0)


def _machine(trial: Trial) -> str | None:
    """Return what the last digits of numbers may depend on: processor, device, PyTorch."""
    processor, torch = trial.known("machine").get("processor"), trial.known("versions").get("torch")
    parts = (processor, device_of(trial), f"torch {torch}" if torch else None)
    return ", ".join(str(part) for part in parts if part) or None


def device_of(trial: Trial) -> str | None:
    """Return the name of the device that a trial ran on; its number says nothing, since there may be several alike."""
    found = trial.provenance.get("device_name") or trial.provenance.get("device")
    return str(found) if found else None


def _places(source: Source, headlines: Sequence[Headline]) -> str | None:
    """Return where the headlines were measured; a missing one does not count as measured elsewhere."""
    if source.evaluation is None or source.evaluation.status != "done":
        return None
    own = own_headlines(source.evaluation, headlines)
    found = [place_text((mine or shared).at.items()) for mine, shared in zip(own, headlines, strict=True)]
    return "; ".join(filter(None, found))


def _usual(values: Sequence[Any]) -> Any:
    """Return the most frequent of the known values; among equally frequent ones, the first in order."""
    known = Counter(value for value in values if value is not None)
    return min(known, key=lambda value: (-known[value], str(value)), default=None)


def _note(notes: Sequence[list[str]], values: Sequence[Any], usual: Any, text: str) -> None:
    for own, value in zip(notes, values, strict=True):
        if value is not None and value != usual:
            own.append(text.format(value))
