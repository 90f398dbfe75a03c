"""A protocol with several headline metrics: each is a column with its own interval, test and emphasis."""

from __future__ import annotations

import csv
import io
import json
import statistics

import numpy as np
import pytest
from scipy import stats
from trials import evaluation, fits, trial

from reprbench.measurement import Headline, Measurement
from reprbench.report.formats import FORMATS
from reprbench.report.significance import parts_test
from reprbench.report.statistics import seed_parts
from reprbench.report.table import Settings, make_tables
from reprbench.trial import DataRecord

DATA = DataRecord(
    call=trial().dataset.call, title="Digits", digest="d" * 64, shape=(1, 8, 8), unlabeled=9, train=5000, test=4,
    classes=10, folds=5, fold_size=1000,
)  # fmt: skip
RATIO = 1000 / 4000
NOISE = np.random.default_rng(0).normal(0, 1, 5)
OTHER = NOISE[::-1] * 0.7
ACCURACY, ERROR = Headline("accuracy"), Headline("error")


def measured(metric: str, values, better: str, unit: str, **at) -> list[Measurement]:
    return [Measurement(metric, float(v), unit, better, {"fold": fold, **at}) for fold, v in enumerate(values)]


def row(label: str, accuracy, error=None, headlines=(ACCURACY, ERROR), **changes):
    found = measured("accuracy", accuracy, "higher", "%")
    found += [] if error is None else measured("error", error, "lower", "")
    evaluations = [evaluation([], measurements=found, headlines=list(headlines))]
    return trial(label, digest=(changes.pop("digest", label[0])) * 64, dataset=DATA, evaluations=evaluations, **changes)


A, B = row("a", 60 + NOISE, 0.5 + NOISE / 100), row("b", 50 + OTHER, 0.25 + OTHER / 100)
LACKS = row("lacks", 40 + NOISE, headlines=[ACCURACY])


SEEDS = {"a": (-0.001, 0.0, 0.001), "b": (0.0015, -0.001, -0.0005), "lacks": (0.0, -0.002, 0.002)}
"""What three seeds of a row differ in, as shares of its values; together nothing, so that means stay."""


@pytest.fixture
def table():
    trials = [one for first in (A, B, LACKS) for one in fits(first, *SEEDS[first.label])]
    (made,) = make_tables(trials, settings=Settings(seeds="together"))
    return made


def test_every_headline_has_its_values_its_interval_and_its_direction(table):
    assert table.headlines == (ACCURACY, ERROR)
    assert [row.label for row in table.rows] == ["a", "b", "lacks"]  # by the first headline
    for result, values, unit, better in zip(
        table.rows[1].results, (50 + OTHER, 0.25 + OTHER / 100), ("%", ""), ("higher", "lower"), strict=True
    ):
        assert (result.unit, result.better) == (unit, better)
        assert list(result.by_fold.values()) == pytest.approx(list(values))
        assert result.summary.mean == pytest.approx(statistics.fmean(values))
        low, high = result.summary.interval
        seeds = values.mean() * np.array(SEEDS["b"])
        half = np.sqrt(
            stats.t.ppf(0.975, 4) ** 2 * values.var(ddof=1) * (1 / 5 + RATIO)
            + stats.t.ppf(0.975, 2) ** 2 * seeds.var(ddof=1) / 3
        )
        assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_every_headline_has_its_own_best_row_and_test(table):
    places = {row.label: [result and result.standing.place for result in row.results] for row in table.rows}
    assert places == {"a": ["best", "other"], "b": ["other", "best"], "lacks": ["other", None]}
    accuracy, error = table.comparisons
    assert (accuracy.best, accuracy.methods) == ("a", 3)
    assert (error.best, error.methods) == ("b", 2)
    one, two = (np.outer(1 + np.array(SEEDS[label]), values) for label, values in (("a", A_ERROR), ("b", B_ERROR)))
    expected = parts_test((one - two).mean(), seed_parts(one - two, RATIO))
    assert table.rows[0].results[1].standing.p == pytest.approx(expected.p)


@pytest.mark.parametrize(
    ("form", "best", "dash"),
    [("table", "* {}", "—"), ("markdown", "**{}**", "—"), ("latex", r"\textbf{{{}}}", "---")],
)
def test_printed_tables_have_two_columns_for_each_headline(table, form, best, dash):
    text = FORMATS[form]([table]).replace(r"$\pm$", "±")
    cells = {line.split()[0].strip("|") or line.split()[1]: line for line in text.splitlines() if "±" in line}
    header = next(line for line in text.splitlines() if "Method" in line)
    assert header.index("Accuracy") < header.index("accuracy, 95") < header.index("Error") < header.index("error, 95")
    assert best.format(f"{A_MEAN:.1f} ± {A_STD:.1f}") in cells["a"]
    assert best.format(f"{B_ERROR.mean():.3f} ± {B_ERROR.std():.3f}") in cells["b"]
    for label, line in cells.items():
        assert line.count("[") == {"a": 2, "b": 2, "lacks": 1}.get(label, 0), line
    assert dash in cells["lacks"]
    assert dash not in cells["a"] + cells["b"]
    assert "accuracy in %; error: mean" in text.replace(r"\%", "%")
    for name, count in (("accuracy", 3), ("error", 2)):
        assert f"{name}: better than every other row that competes" in text
        assert f"all pairs of {count} rows" in text


A_ERROR, B_ERROR = 0.5 + NOISE / 100, 0.25 + OTHER / 100
A_MEAN, A_STD = float((60 + NOISE).mean()), float(NOISE.std())


def test_csv_has_a_line_for_each_row_and_headline(table):
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"]([table]))))
    assert [(line["label"], line["metric"], line["standing"]) for line in lines] == [
        ("a", "accuracy", "best"), ("a", "error", "other"), ("b", "accuracy", "other"), ("b", "error", "best"),
        ("lacks", "accuracy", "other"), ("lacks", "error", "untested"),
    ]  # fmt: skip
    assert float(lines[3]["mean"]) == pytest.approx(0.25 + OTHER.mean() / 100)
    assert float(lines[3]["low"]) < float(lines[3]["mean"]) < float(lines[3]["high"])
    assert [lines[5][name] for name in ("mean", "std", "low", "high", "p")] == [""] * 5


def test_json_has_a_result_for_each_headline(table):
    (content,) = json.loads(FORMATS["json"]([table]))
    assert content["headlines"] == [{"metric": "accuracy", "at": {}}, {"metric": "error", "at": {}}]
    found = {
        row["label"]: [(r["metric"], r["standing"], r["folds"]) for r in row["results"]] for row in content["rows"]
    }
    assert found == {
        "a": [("accuracy", "best", 5), ("error", "other", 5)],
        "b": [("accuracy", "other", 5), ("error", "best", 5)],
        "lacks": [("accuracy", "other", 5), ("error", "untested", 0)],
    }
    assert [comparison["best"] for comparison in content["comparisons"]] == ["a", "b"]


def test_seeds_are_merged_under_every_headline():
    again = row("a", 62 + NOISE, 0.7 + NOISE / 100, seed=1, digest="c")
    only = row("b", 52 + OTHER, headlines=[ACCURACY], seed=1, digest="d")
    (table,) = make_tables([A, again, B, only], settings=Settings(seeds="together"))
    a, b = table.rows
    assert [result.summary.mean for result in a.results] == pytest.approx([61 + NOISE.mean(), 0.6 + NOISE.mean() / 100])
    # If a seed lacks the metric, there is no mean over seeds of it.
    assert b.mean == pytest.approx(51 + OTHER.mean())
    assert b.results[1] is None


def test_where_only_the_second_metric_was_measured_the_row_is_last_and_shows_it():
    half = row("half", [], 0.1 + NOISE / 100)
    (table,) = make_tables([half, A])
    assert [row.label for row in table.rows] == ["a", "half"]
    assert table.rows[1].mean is None
    assert table.rows[1].results[1].summary.mean == pytest.approx(0.1 + NOISE.mean() / 100)
    shown = next(line for line in FORMATS["table"]([table]).splitlines() if line.startswith("half"))
    assert "—" in shown
    assert f"≈ {0.1 + NOISE.mean() / 100:.3f} ± {NOISE.std() / 100:.3f}" in shown


def levels(label: str, *headlines: Headline, top: float = 0.0):
    found = [
        one
        for level in (0.2, 0.4)
        for one in measured("probe", 50 + top - 10 * level + NOISE, "higher", "%", level=level)
    ]
    evaluations = [evaluation([], measurements=found, headlines=list(headlines))]
    return trial(label, digest=label * 64, dataset=DATA, evaluations=evaluations)


LOW, HIGH = (Headline("probe", {"level": level}) for level in (0.2, 0.4))


def test_one_metric_at_two_coordinates_is_two_columns_that_say_where():
    (table,) = make_tables([levels("a", LOW, HIGH), levels("b", HIGH, LOW, top=1.0), levels("c", HIGH)])
    means = {row.label: [result and result.summary.mean for result in row.results] for row in table.rows}
    assert means["a"] == pytest.approx([48 + NOISE.mean(), 46 + NOISE.mean()])
    assert means["b"] == pytest.approx([49 + NOISE.mean(), 47 + NOISE.mean()])
    assert means["c"] == [None, pytest.approx(46 + NOISE.mean())]
    header = FORMATS["table"]([table]).splitlines()[2]
    assert "Probe, level 0.2" in header
    assert "probe, level 0.4, 95 % interval" in header


def test_a_metric_that_is_a_headline_once_is_one_column_wherever_it_was_measured():
    # The last layer has another name in every learner.
    (table,) = make_tables([levels("a", LOW), levels("b", HIGH)])
    assert table.headlines == (LOW,)
    means = {row.label: row.mean for row in table.rows}
    assert means == {"a": pytest.approx(48 + NOISE.mean()), "b": pytest.approx(46 + NOISE.mean())}
    notes = {row.label: row.notes for row in table.rows}
    assert notes == {"a": (), "b": ("measured at level 0.4",)}


def test_a_row_that_lacks_a_headline_is_not_measured_elsewhere(table):
    assert [row.notes for row in table.rows] == [(), (), ()]
    (table,) = make_tables([levels("a", LOW, HIGH), levels("c", HIGH)])
    assert [row.notes for row in table.rows] == [(), ()]


def test_the_headlines_are_those_of_the_protocols_newest_version():
    old = row("old", 60 + NOISE, headlines=[ACCURACY])
    (new,) = row("new", 50 + NOISE, 0.5 + NOISE).evaluations
    newer = trial(
        "new",
        digest="e" * 64,
        dataset=DATA,
        evaluations=[evaluation([], version=2, measurements=new.measurements, headlines=new.headlines)],
    )
    (table,) = make_tables([old, newer])
    assert table.headlines == (ACCURACY, ERROR)
    assert [(row.label, row.results[1] is None) for row in table.rows] == [("old", True), ("new", False)]


def test_the_headlines_are_preferably_those_of_a_learner_on_which_it_ran():
    missing = evaluation([], status="skipped", reason="no layers", headlines=[Headline("depth")])
    (table,) = make_tables([trial("x", dataset=DATA, evaluations=[missing]), A])
    assert table.metric == "accuracy"
    assert [(row.label, row.status) for row in table.rows] == [("a", "done"), ("x", "skipped")]
