from __future__ import annotations

import numpy as np
import pytest
from report_pages import Page, payload_of
from trials import evaluation, fits, method, trial

from reprbench.measurement import Headline, Measurement
from reprbench.report.formats.html import as_html
from reprbench.report.table import Settings, make_tables

SEEDS = ((0.001, 0.0, -0.001), (0.002, -0.001, -0.001))
"""What three seeds of two rows differ in, as shares of their values."""


def test_cells_are_rounded_and_sorted_by_the_full_number(page):
    cells = [one for one in page.all("td") if one.get("data-key") == "result-0"]
    values = [float(one["data-value"]) for one in cells if "data-value" in one]
    assert np.mean([70.25, 71.5, 72.0]) in values
    assert any("71.2 ± 0.7" in text for text in page.texts["td"])


def test_holes_marks_and_footnotes_are_in_the_table(text, page):
    assert [text.strip() for text in page.texts["td"]].count("failed") == 2
    assert {text for text in page.texts["abbr"] if text.strip()} == {"†", "‡"}
    assert any(one["title"].startswith("supervised: fitted once per fold") for one in page.all("abbr"))
    for note in ("failed: the loss is nan", "limit 100", "C at the edge of its grid", "A. Author, 2020"):
        assert any(note in line for line in page.texts["li"]), note
    targets = {one["id"] for _, one in page.elements if "id" in one}
    assert all(one["href"][1:] in targets for one in page.all("a") if one["href"].startswith("#"))


def test_a_best_row_is_bold_and_a_verdict_is_next_to_its_reference(tmp_path):
    rows = [
        trial("good", evaluations=[evaluation([80.0, 80.1, 80.2, 79.9])]),
        trial("bad", digest="b" * 64, evaluations=[evaluation([10.0, 10.1, 10.2, 9.9])]),
    ]
    rows = [one for row, shifts in zip(rows, SEEDS, strict=True) for one in fits(row, *shifts)]
    found = Page(as_html(make_tables(rows, settings=Settings(seeds="together")), [tmp_path], tmp_path))
    (best,) = [one for one in found.all("td") if "best" in (one.get("class") or "").split()]
    assert float(best["data-value"]) == pytest.approx(80.05)
    assert any(line.startswith("Bold: better than every other row") for line in found.texts["li"])


def test_superseded_rows_are_marked(tmp_path):
    trials = [
        trial(digest=sign * 64, evaluations=[evaluation([value])], provenance={"ended": f"2026-01-0{place + 1}"})
        for place, (sign, value) in enumerate((("a", 90.0), ("b", 50.0)))
    ]
    page = Page(as_html(make_tables(trials), [tmp_path], tmp_path))
    assert [one["class"] for one in page.all("tr") if "data-row" in one and "class" in one] == []
    page = Page(as_html(make_tables(trials, settings=Settings(every=True)), [tmp_path], tmp_path))
    (old,) = [one for one in page.all("tr") if "superseded" in (one.get("class") or "")]
    assert old["data-row"] == "0"
    assert {"ae", "ae (superseded)"} <= set(page.texts["span"])
    assert "superseded by a later trial of this row" in page.texts["li"]


def two_headlines(label: str, digest: str, accuracy: list[float], error: list[float]):
    found = evaluation(accuracy)
    found.headlines = [Headline("accuracy"), Headline("error")]
    found.measurements += [Measurement("error", value, "dB", "lower", {"fold": i}) for i, value in enumerate(error)]
    return trial(label, digest=digest * 64, evaluations=[found])


def test_each_headline_has_its_columns_and_its_own_best(tmp_path):
    trials = [
        two_headlines("a", "a", [90.0, 90.1, 90.2], [0.5, 0.51, 0.52]),
        two_headlines("b", "b", [10.0, 10.1, 10.2], [0.1, 0.11, 0.12]),
    ]
    trials = [one for row, shifts in zip(trials, SEEDS, strict=True) for one in fits(row, *shifts)]
    text = as_html(make_tables(trials, settings=Settings(seeds="together")), [tmp_path], tmp_path)
    page = Page(text)
    keys = [one["data-key"] for one in page.all("th") if "data-key" in one and one.get("scope") == "col"]
    assert keys[:5] == ["name", "result-0", "interval-0", "result-1", "interval-1"]
    best = [one for one in page.all("td") if "best" in one.get("class", "").split()]
    assert [(one["data-key"], float(one["data-value"])) for one in best] == [
        ("result-0", pytest.approx(90.1)), ("result-1", pytest.approx(0.11))
    ]  # fmt: skip
    assert sum(line.startswith("Bold: ") for line in page.texts["li"]) == 2
    assert "Bold: error: better than every other row" in text
    (table,) = payload_of(text)["tables"]
    assert (table["metric"], table["label"]) == ("accuracy", "accuracy (%)")
    assert [row["text"] for row in table["rows"]] == ["90.1 ± 0.1 %", "10.1 ± 0.1 %"]


def test_a_row_without_one_of_the_headlines_has_a_dash_there(tmp_path):
    half = trial("half", digest="c" * 64, evaluations=[evaluation([50.0, 51.0])])
    page = Page(as_html(make_tables([two_headlines("a", "a", [1.0, 2.0], [3.0, 4.0]), half]), [tmp_path], tmp_path))
    assert "—" in [text.strip() for text in page.texts["td"]]
    assert len([one for one in page.all("td") if one.get("data-key") == "result-1" and "data-value" in one]) == 1


def test_the_kinds_of_learners_have_their_signs(tmp_path):
    kinds = ("unsupervised", "supervised", "control", "pretrained")
    trials = [
        trial(kind, digest=f"{place}" * 64, evaluations=[evaluation([1.0])], method=method(kind=kind))
        for place, kind in enumerate(kinds)
    ]
    page = Page(as_html(make_tables(trials), [tmp_path], tmp_path))
    signs = [text for text in page.texts["abbr"] if text.strip()]
    assert sorted(signs) == sorted("†‡§")
    assert any(one["title"].startswith("pretrained: frozen weights") for one in page.all("abbr"))
