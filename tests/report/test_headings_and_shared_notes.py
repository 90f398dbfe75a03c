"""What stands once: the title of a benchmark, its headings, and notes that all rows share, in every format."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from report_pages import Page
from trials import evaluation, trial

from reprbench.benchmark import Reference
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.pivot import make_pivots, parse_question
from reprbench.report.table import make_tables
from reprbench.trial import Deviation

LIMIT = Deviation("limit", "limit 3000")


def row(label, value, group="", **changes):
    digest = f"{sum(map(ord, label)):064x}"[::-1]
    known = {"title": "A title & more", "group": group, "evaluations": [evaluation([value, value + 1.0])]}
    return trial(label, digest=digest, **{**known, **changes})


def tables(**changes):
    rows = [
        row("a", 50.0, "Ours", **changes),
        row("b", 70.0, "Baselines", **changes),
        row("c", 60.0, "Ours", **changes),
    ]
    return make_tables([*rows, row("d", 10.0, **changes)])


def written(form, shown, tmp_path):
    return as_html(shown, [tmp_path], tmp_path) if form == "html" else FORMATS[form](shown)


ESCAPED = {"latex": r"A title \& more", "html": "A title &amp; more", "markdown": r"A title &amp; more"}


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "csv", "json", "html"])
def test_a_title_that_trials_recorded_is_in_every_format(form, tmp_path):
    assert ESCAPED.get(form, "A title & more") in written(form, tables(), tmp_path)


def test_text_has_the_title_once_and_rows_below_their_headings_best_first(tmp_path):
    lines = FORMATS["table"](tables()).splitlines()
    assert lines[:3] == ["mine: Digits, linear-svm", "A title & more", ""]
    assert [line.split("  ")[0].strip() for line in lines[5:11]] == ["d", "Baselines:", "b", "Ours:", "c", "a"]
    lines = FORMATS["markdown"](tables()).splitlines()
    assert [line.split("|")[1].strip() for line in lines[6:12]] == ["d", "*Baselines*", "b", "*Ours*", "c", "a"]
    lines = FORMATS["table"](make_pivots(parse_question("accuracy@fold=0"), tables())).splitlines()
    assert [line.split("  ")[0].strip() for line in lines[5:11]] == ["d", "Baselines:", "b", "Ours:", "c", "a"]


def test_latex_has_a_block_for_each_heading():
    text = FORMATS["latex"](tables())
    assert re.findall(r"\\emph\{(.*?)\}\}", text) == ["Ours", "Baselines"] or re.findall(
        r"\\emph\{(.*?)\}\}", text
    ) == ["Baselines", "Ours"]


def test_the_page_has_a_body_for_each_heading(tmp_path):
    page = Page(as_html(tables(), [tmp_path], tmp_path))
    rows = [one for one in page.all("tr") if one.get("class") == "group" or "data-row" in one]
    # Rows are known by their places in the table, which is ordered without headings.
    assert [one.get("data-row", "heading") for one in rows] == ["3", "heading", "0", "heading", "1", "2"]
    assert not [one for one in page.all("th") if one.get("data-key") == "group"]


@pytest.mark.parametrize("form", ["table", "markdown", "latex", "html"])
def test_a_note_that_all_rows_share_stands_once_and_is_no_footnote(form, tmp_path):
    shown = tables(deviations=[LIMIT], reference=Reference(value=50.0, citation="A paper"))
    text = written(form, shown, tmp_path)
    if form == "html":
        assert Page(text).texts["li"].count("all rows: limit 3000") == 1
    else:
        assert text.count("limit 3000") == 1
        assert "all rows: limit 3000" in text


def test_a_note_of_some_rows_is_a_footnote_of_these():
    shown = make_tables([row("a", 50.0, deviations=[LIMIT]), row("b", 70.0)])
    text = FORMATS["table"](shown)
    assert "[1] limit 3000" in text
    assert "all rows" not in text


def test_the_note_of_an_only_row_is_a_footnote():
    assert "[1] limit 3000" in FORMATS["table"](make_tables([row("a", 50.0, deviations=[LIMIT])]))


def test_data_keep_notes_in_every_row_and_shared_ones_of_the_table_in_json():
    shown = tables(deviations=[LIMIT])
    assert {line["notes"] for line in csv.DictReader(io.StringIO(FORMATS["csv"](shown)))} == {"limit 3000"}
    (found,) = json.loads(FORMATS["json"](shown))
    assert found["shared_notes"] == ["limit 3000"]
    assert all(one["notes"] == ["limit 3000"] for one in found["rows"])
    assert {one["label"]: one["group"] for one in found["rows"]} == {
        "a": "Ours",
        "b": "Baselines",
        "c": "Ours",
        "d": "",
    }


def test_the_column_of_verdicts_holds_the_word_alone():
    shown = tables(reference=Reference(value=50.0, citation="A paper"), deviations=[LIMIT])
    for line in FORMATS["table"](shown).splitlines():
        assert "not comparable [" not in line
    assert {line["verdict"] for line in csv.DictReader(io.StringIO(FORMATS["csv"](shown)))} == {"not comparable"}
