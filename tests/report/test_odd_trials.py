"""Files changed by people or other programs: each is refused when read, or every report can be made from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trials import evaluation, protocol, trial

from reprbench.compare.judge import CompareSettings, compare_rows
from reprbench.compare.match import match, read_rows
from reprbench.compare.text import as_terminal
from reprbench.measurement import Curve
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.table import make_tables
from reprbench.trial import Deviation, Figure, to_json
from reprbench.trial_file import read_trial

PROVENANCE = {"ended": "2026-01-01", "device": "cpu", "versions": {"torch": "2"}, "machine": {"processor": "p"}}
GOOD = trial(
    evaluations=[
        evaluation(
            [1.0, 2.0, 4.0],
            warnings=["edge"],
            curves=[Curve("accuracy", "fold")],
            figures=[Figure("map", "figures/map.png")],
        )
    ],
    deviations=[Deviation("limit", "limit 9")],
    protocols=[protocol("linear-svm", table="linear-svm")],
    provenance=PROVENANCE,
)
OTHER = trial("dae", digest="b" * 64, evaluations=[evaluation([2.0, 3.0, 3.0])], provenance=PROVENANCE)
ODD = [None, [1], {"a": [1]}, "x", "", -1, 0, 1e300, True, [], {}]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a file; in lists, of the first element."""
    if at:
        yield at
    names = value if isinstance(value, dict) else range(min(len(value), 1)) if isinstance(value, list) else ()
    for name in names:
        yield from places(value[name], (*at, name))


def changed(at: tuple[Any, ...], value: Any) -> Any:
    part = content = to_json(GOOD)
    for name in at[:-1]:
        part = part[name]
    part[at[-1]] = value
    return content


@pytest.mark.parametrize("at", list(places(to_json(GOOD))), ids=lambda at: ".".join(map(str, at)))
def test_it_is_refused_or_reported(at, tmp_path):
    path = tmp_path / "trial.json"
    for value in ODD:
        path.write_text(json.dumps(changed(at, value)))
        try:
            odd = read_trial(path)
        except ValueError:
            continue
        tables = make_tables([odd, OTHER])
        assert all(form(tables) for form in FORMATS.values())
        assert as_html(tables, [tmp_path], Path())
        for before, after in ((odd, GOOD), (GOOD, odd)):
            rows = (read_rows([one], CompareSettings().selection) for one in (before, after))
            assert as_terminal(compare_rows(match(*rows), CompareSettings()))
