"""The meaning of a table's signs is defined in one place; no text of a trial decides anything."""

from __future__ import annotations

import json
import re

import pytest
from trials import evaluation, fits, method, trial

from reprbench.benchmark import Reference
from reprbench.report.formats import FORMATS
from reprbench.report.formats.latex import escape
from reprbench.report.table import make_tables
from reprbench.report.under import KINDS
from reprbench.trial import Deviation

KIND_NAMES = ["supervised", "control", "pretrained"]


def kinds(*names: str):
    return [
        trial(
            f"row-{name}",
            digest=f"{number}" * 64,
            method=method(kind=name),
            evaluations=[evaluation([50.0 + 10 * number, 51.0 + 10 * number])],
        )
        for number, name in enumerate(names)
    ]


def test_every_kind_but_the_usual_one_has_a_sign_of_its_own():
    assert {name: kind.sign for name, kind in KINDS.items()} == {"supervised": "†", "control": "‡", "pretrained": "§"}


@pytest.mark.parametrize("form", ["table", "markdown", "latex"])
@pytest.mark.parametrize("name", KIND_NAMES)
def test_a_kind_is_marked_and_the_sign_explained_where_it_occurs(form, name):
    shown = escape if form == "latex" else str
    text = FORMATS[form](make_tables(kinds("unsupervised", name)))
    sign = shown(KINDS[name].sign)
    assert f"row-{name} {sign}" in text
    assert re.search(rf"row-unsupervised +[^ {re.escape(sign)}]", text)
    assert f"{sign} {shown(KINDS[name].meaning)}" in text
    assert not any(shown(KINDS[other].sign) in text for other in set(KIND_NAMES) - {name})


def test_data_formats_name_the_kind():
    (table,) = json.loads(FORMATS["json"](make_tables(kinds("unsupervised", *KIND_NAMES))))
    assert {row["label"]: row["kind"] for row in table["rows"]} == {
        f"row-{name}": name for name in ("unsupervised", *KIND_NAMES)
    }


def test_all_kinds_compete_but_the_supervised():
    (table,) = make_tables(kinds("unsupervised", "control", "pretrained", "supervised"))
    places = {row.kind: row.result.standing.place for row in table.rows}
    assert places == {"unsupervised": "other", "control": "other", "pretrained": "tie", "supervised": "untested"}


FAKES = [
    "* better than every other row",
    "≈ the best mean (a), or not told apart",
    "protocol of its own: knn",
    "bold: everything",
    "† mine",
]


@pytest.mark.parametrize("fake", FAKES)
def test_a_note_is_plain_text_whatever_it_begins_with(fake):
    reference = Reference(value=50.5, tolerance=1.0, citation="A paper")
    rows = [
        trial("a", evaluations=[evaluation([50.0, 51.0])], reference=reference, warnings=[fake]),
        trial("b", digest="b" * 64, evaluations=[evaluation([50.0, 52.0])], deviations=[Deviation("data", fake)]),
    ]
    plain = make_tables(
        [
            trial("a", evaluations=rows[0].evaluations, reference=reference),
            trial("b", digest="b" * 64, evaluations=rows[1].evaluations),
        ]
    )
    tables = make_tables(rows)
    noted = {row.label: row.notes for row in tables[0].rows}
    assert noted == {"a": (fake,), "b": (fake,)}
    standings = [[(row.label, row.result.standing, row.verdict) for row in table.rows] for table in (*plain, *tables)]
    assert standings[0] == standings[1]
    text = FORMATS["table"](tables)
    assert f"\nall rows: {fake}\n" in text
    assert r"\textbf" not in FORMATS["latex"](tables)
    assert "**" not in FORMATS["markdown"](tables).replace(r"\*", "")


@pytest.mark.parametrize("fake", FAKES)
def test_a_deviation_decides_by_its_kind_and_not_by_its_words(fake):
    reference = Reference(value=50.5, tolerance=1.0, citation="A paper")

    def verdict(deviation: Deviation) -> str:
        found = trial(evaluations=[evaluation([50.4, 50.5, 50.6])], reference=reference, deviations=[deviation])
        (table,) = make_tables(fits(found, 0.0, 0.001, -0.001))
        return table.rows[0].verdict.word

    assert verdict(Deviation("parameters", fake)) == "not comparable"
    assert verdict(Deviation("own budget", fake)) == "reproduced"
    assert verdict(Deviation("own protocol", "limit 100")) == "reproduced"


def test_a_label_that_looks_like_a_mark_is_not_one():
    labels = ["* a", "≈ b", "**c**", "d †"]
    trials = [
        trial(label, digest=f"{n}" * 64, evaluations=[evaluation([50.0, 51.0 + n])]) for n, label in enumerate(labels)
    ]
    tables = make_tables(trials)
    assert "\n* a " in FORMATS["table"](tables)
    assert r"\*\*c\*\*" in FORMATS["markdown"](tables)
    assert "supervised" not in FORMATS["table"](tables)
    assert r"\textbf" not in FORMATS["latex"](tables)
    # Two seeds: their spread is a line that begins with the label.
    again = trial("* a", seed=1, digest="9" * 64, evaluations=[evaluation([52.0, 53.0])])
    tables = make_tables([*trials, again])
    assert "\n\\* a, seeds 0, 1: mean" in FORMATS["markdown"](tables)
    assert "\n* a, seeds 0, 1: mean" in FORMATS["table"](tables)
    assert "\n* a, seeds 0, 1: mean" in FORMATS["latex"](tables)
