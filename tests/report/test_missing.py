"""A protocol that a trial did not reach has no value, even if another protocol with that name has one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from trials import evaluation, protocol, trial

from reprbench.benchmark import Reference
from reprbench.measurement import Measurement
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.formats.html.cells import page_table
from reprbench.report.grid import table_grid
from reprbench.report.pivot import make_pivots, parse_question
from reprbench.report.table import make_tables
from reprbench.store import Store

ALL = "linear-svm[layers=all]"
LOST = "61.3"
"""What `lost` measured under the plain protocol."""


@pytest.fixture
def tables(tmp_path):
    """One row whose second protocol of the same name was not reached, and one that has both; as read from a store."""
    store = Store(tmp_path)
    store.write(
        trial(
            "lost",
            protocols=["linear-svm", ALL],
            status="timeout",
            reason="took too long",
            evaluations=[evaluation([61.0, 61.6])],
        ),
        {},
    )
    both = [evaluation([50.0, 51.0]), evaluation([70.0, 71.0], text=ALL)]
    store.write(trial("whole", digest="b" * 64, protocols=["linear-svm", ALL], evaluations=both), {})
    return {str(table.protocol): table for table in make_tables(store.read()[0])}


def line(text: str, label: str) -> str:
    (found,) = [line for line in text.splitlines() if label in line and "timeout" not in line and "told" not in line]
    return found


@pytest.mark.parametrize(("form", "dash"), [("table", "—"), ("markdown", "—"), ("latex", "---")])
def test_a_printed_table_shows_a_dash_and_the_reason(tables, form, dash):
    plain, layers = (FORMATS[form]([tables[protocol]]) for protocol in ("linear-svm", ALL))
    assert LOST in line(plain, "lost")
    assert LOST not in layers
    assert dash in line(layers, "lost")
    assert "timeout: took too long" in layers
    assert "70.5" in line(layers, "whole")


def test_csv_has_a_line_without_a_value(tables):
    rows = {row["label"]: row for row in csv.DictReader(io.StringIO(FORMATS["csv"]([tables[ALL]])))}
    assert set(rows) == {"lost", "whole"}
    empty = ("mean", "std", "low", "high", "by_fold", "code", "evaluation_seconds")
    assert [rows["lost"][name] for name in empty] == [""] * len(empty)
    assert (rows["lost"]["folds"], rows["lost"]["status"]) == ("0", "timeout")
    assert float(rows["whole"]["mean"]) == 70.5


def test_json_has_a_result_without_a_value(tables):
    (table,) = json.loads(FORMATS["json"]([tables[ALL]]))
    rows = {row["label"]: row for row in table["rows"]}
    (result,) = rows["lost"]["results"]
    assert (result["mean"], result["by_fold"], result["folds"]) == (None, {}, 0)
    assert (rows["lost"]["status"], rows["lost"]["reason"]) == ("timeout", "took too long")
    assert rows["whole"]["results"][0]["mean"] == 70.5


def test_a_pivot_shows_the_missing_value(tables):
    pivots = {str(pivot.table.protocol): pivot for pivot in make_pivots(parse_question("accuracy"), tables.values())}
    cells = {row.name: row.cells for row in pivots[ALL].rows}
    assert cells["lost"] == (None,)
    assert cells["whole"][0].mean == 70.5
    text = FORMATS["table"]([pivots[ALL]])
    assert "—" in line(text, "lost")
    assert LOST not in text
    (content,) = json.loads(FORMATS["json"]([pivots[ALL]]))
    assert [row["cells"] for row in content["rows"] if row["label"] == "lost"] == [[None]]
    records = csv.DictReader(io.StringIO(FORMATS["csv"]([pivots[ALL]])))
    assert [(row["label"], row["mean"], row["reason"]) for row in records] == [
        ("whole", "70.5", ""), ("lost", "", "timeout: took too long"),
    ]  # fmt: skip


def test_a_row_whose_own_protocol_was_not_reached_has_no_value_in_the_benchmarks_table():
    own = protocol("linear-svm[pooling=sum]", table="linear-svm")
    trials = [
        trial("a", evaluations=[evaluation([50.0, 51.0])]),
        # It has a value under the table's protocol, but not under its own.
        trial("b", digest="b" * 64, protocols=[own], status="failed", evaluations=[evaluation([60.0, 61.0])]),
    ]
    (table,) = make_tables(trials)
    assert [(row.label, row.mean) for row in table.rows] == [("a", 50.5), ("b", None)]


def test_a_table_without_measurements_is_shown_in_every_format():
    tables = make_tables([trial("lost", status="timeout", reason="took too long")])
    for form in FORMATS:
        text = FORMATS[form](tables)
        assert "lost" in text, form
        assert "took too long" in text, form


def test_a_finished_trial_without_an_evaluation_says_so_in_every_format():
    trials = [trial("whole", digest="b" * 64, evaluations=[evaluation([50.0, 51.0])]), trial("lost")]
    (table,) = make_tables(trials)
    row = next(row for row in table.rows if row.label == "lost")
    assert (row.status, row.mean, bool(row.reason)) == ("not evaluated", None, True)
    for form in FORMATS:
        assert row.reason in FORMATS[form]([table]), form
    assert row.reason in as_html([table], [Path()], Path())


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ([{}], "measured once"),
        ([{"fold": 0}], "on 1 fold"),
        ([{"fold": 0}, {"fold": 1}], "over 2 folds"),
    ],
)
def test_a_value_that_belongs_to_no_fold_is_not_on_one(at, text):
    found = evaluation([], measurements=[Measurement("accuracy", 50.0, "%", "higher", one) for one in at])
    tables = make_tables([trial("a", evaluations=[found])])
    for shown in (tables, make_pivots(parse_question("accuracy"), tables)):
        lines = FORMATS["table"](shown).splitlines()
        assert [line for line in lines if line.startswith("accuracy in %: ") and text in line]


def test_the_verdict_of_a_row_without_a_value_points_to_the_reason_in_every_format():
    reference = Reference(value=50.0, citation="A paper", differences=("widths",))
    (table,) = make_tables([trial("lost", status="timeout", reason="too slow", reference=reference)])
    (row,) = table_grid(table).lines
    # The verdict's column holds the word alone.
    assert [cell.text for cell in row[-2:]] == ["not run", "[2]"]
    page = page_table(table)
    ((_, (line,)),) = page.groups
    assert line.cells["verdict"].notes == ()
    (number,) = line.notes
    assert page.footnotes[number - 1] == "timeout: too slow"
    assert table_grid(table).under[1].text == "[2] timeout: too slow"
