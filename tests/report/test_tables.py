from __future__ import annotations

import csv
import io
import json
import statistics

import pytest
from msgspec.structs import replace
from trials import evaluation, trial

from reprbench.benchmark import Reference
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.table import make_tables
from reprbench.report.text import count_text, seconds_text
from reprbench.trial import Code, Cost, Deviation

REFERENCE = Reference(value=49.5, spread=0.7, citation="A paper, Table 1", differences=("other widths",))


def trials():
    return [
        trial(
            "good",
            evaluations=[evaluation([50.0, 53.0])],
            reference=REFERENCE,
            cost=Cost(parameters=1_560_000, fit_seconds=75.0, peak_memory=2**30),
            deviations=[Deviation("limit", "limit 100")],
        ),
        trial("best", digest="b" * 64, evaluations=[evaluation([60.0, 61.0], warnings=["C at the edge"])]),
        trial("broken", digest="c" * 64, status="timeout", reason="took too long"),
    ]


def test_means_and_deviations_are_those_of_the_statistics_module():
    (table,) = make_tables(trials())
    best, good, broken = table.rows
    assert (best.label, good.label, broken.label) == ("best", "good", "broken")
    assert good.mean == pytest.approx(statistics.fmean([50.0, 53.0]))
    assert good.result.summary.std == pytest.approx(statistics.pstdev([50.0, 53.0]))
    assert broken.mean is None
    assert table.codes == (Code(version=1),)


@pytest.mark.parametrize("memory", [None, 2**31])
def test_device_memory_is_a_column_where_it_is_known(memory, tmp_path):
    on_device = trial("a", cost=Cost(peak_memory=2**30, peak_device_memory=memory), evaluations=[evaluation([1.0])])
    tables = make_tables([on_device])
    pages = [as_html(tables, [tmp_path], tmp_path), *(FORMATS[name](tables) for name in ("table", "markdown", "latex"))]
    assert ["2048 MB" in page for page in pages] == [memory is not None] * 4
    assert ["Peak device memory" in page for page in pages[1:]] == [memory is not None] * 3
    (record,) = csv.DictReader(io.StringIO(FORMATS["csv"](tables)))
    assert record["peak_device_memory"] == str(memory or "")


def test_trials_with_other_data_or_protocols_are_in_other_tables():
    other = trial("x", digest="e" * 64, protocols=["linear-svm", "knn"], evaluations=[evaluation([1.0], text="knn")])
    tables = make_tables([*trials(), other])
    assert [str(table.protocol) for table in tables] == ["knn", "linear-svm"]
    limited = trial("y", digest="f" * 64, dataset=replace(other.dataset, digest="other"))
    assert len(make_tables([*trials(), limited])) == 2


def test_of_two_trials_that_differ_in_code_only_the_newer_is_shown():
    old = trial(provenance={"ended": "2026-01-01"}, evaluations=[evaluation([1.0, 1.0])])
    new = trial(digest="b" * 64, provenance={"ended": "2026-01-02"}, evaluations=[evaluation([2.0, 2.0])])
    (table,) = make_tables([new, old])
    assert [row.mean for row in table.rows] == [2.0]
    assert table.superseded == 1


def test_mixed_versions_of_a_protocol_are_reported():
    other = trial("other", digest="e" * 64, evaluations=[evaluation([1.0, 2.0], version=2)])
    text = FORMATS["table"](make_tables([*trials(), other]))
    assert "version 1, version 2 (mixed" in text


def test_seeds_are_rows_of_their_own():
    two = [trial(seed=s, digest=str(s) * 64, evaluations=[evaluation([50.0 + s, 51.0])]) for s in (0, 1)]
    (table,) = make_tables(two)
    assert len(table.rows) == 2
    assert "ae (seed 1)" in FORMATS["table"]([table])


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_a_table_says_everything_a_reader_needs(form):
    text = FORMATS[form](make_tables(trials()))
    for words in (
        "51.5 ± 1.5", "49.5 ± 0.7", "1.56 M", "1 min 15 s", "1024 MB", "timeout: took too long", "limit 100",
        "C at the edge", "linear-svm version 1", "dddddddddddd", "ddof = 0", "A paper, Table 1 (other widths)",
    ):  # fmt: skip
        assert words in text, words
    assert "—" in next(line for line in text.splitlines() if "broken" in line)


def test_controls_and_supervised_rows_are_marked():
    method = trial().method
    marked = [
        trial("c", method=replace(method, kind="control"), evaluations=[evaluation([1.0])]),
        trial("s", method=replace(method, kind="supervised"), evaluations=[evaluation([1.0])]),
    ]
    text = FORMATS["table"](make_tables(marked))
    assert "c ‡" in text
    assert "s †" in text
    assert "† supervised" in text


def test_csv_and_json_carry_the_unrounded_numbers():
    tables = make_tables(trials())
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](tables))))
    assert [row["label"] for row in rows] == ["best", "good", "broken"]
    assert float(rows[1]["mean"]) == 51.5
    assert rows[2]["mean"] == ""
    (table,) = json.loads(FORMATS["json"](tables))
    assert table["rows"][1]["reference"] == 49.5


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 01 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, ""), (999, "999"), (1000, "1 k"), (1_560_000, "1.56 M"), (2 * 10**9, "2 G")]
)
def test_counts(count, text):
    assert count_text(count) == text
