from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from trials import evaluation, trial

from reprbench.errors import UserError
from reprbench.measurement import Measurement
from reprbench.report.formats import FORMATS
from reprbench.report.pivot import PivotQuestion, make_pivots, parse_question
from reprbench.report.table import make_tables

LEVELS = (0, 0.2, 0.4)


def robust(label: str, digest: str, top: float):
    measurements = [
        Measurement(
            metric="probe accuracy",
            value=top - 10 * level + fold,
            unit="%",
            better="higher",
            at={"fold": fold, "corruption": kind, "level": level},
        )
        for kind in ("mask", "noise")
        for level in LEVELS
        for fold in range(3)
    ]
    at = {"corruption": "mask", "level": 0.4}
    found = evaluation([], text="robustness", headline="probe accuracy", headline_at=at, measurements=measurements)
    return trial(label, digest=digest * 64, protocols=["robustness"], evaluations=[found])


TRIALS = [
    robust("a", "a", 50.0),
    robust("b", "b", 60.0),
    trial("c", digest="c" * 64, protocols=["robustness"], status="timeout", reason="too slow"),
]


def pivots(text: str, trials=TRIALS):
    return make_pivots(parse_question(text), make_tables(trials))


def test_the_coordinate_that_varies_becomes_the_columns():
    (pivot,) = pivots("probe accuracy@corruption=mask")
    assert (pivot.coordinate, pivot.columns) == ("level", LEVELS)
    assert [row.name for row in pivot.rows] == ["b", "a", "c"]
    cell = pivot.rows[0].cells[1]
    assert (cell.mean, cell.n) == (pytest.approx(59.0), 3)
    assert cell.std == pytest.approx(np.std([0, 1, 2]))
    assert pivot.rows[2].cells == (None, None, None)


def test_a_level_can_be_fixed_while_the_corruption_varies():
    (pivot,) = pivots("probe accuracy@level=0.2")
    assert (pivot.coordinate, pivot.columns) == ("corruption", ("mask", "noise"))


def test_all_fixed_is_one_column():
    (pivot,) = pivots("probe accuracy@corruption=mask,level=0.4")
    assert len(pivot.columns) == 1
    assert pivot.rows[1].cells[0].mean == pytest.approx(47.0)


def test_a_pivot_in_every_format():
    found = pivots("probe accuracy@corruption=mask")
    for form in ("table", "markdown"):
        text = FORMATS[form](found)
        assert "level 0.2" in text
        assert "59.0 ± 0.8" in text
        assert "timeout: too slow" in text
    assert r"59.0 $\pm$ 0.8" in FORMATS["latex"](found)
    records = list(csv.DictReader(io.StringIO(FORMATS["csv"](found))))
    assert len(records) == 9
    assert (records[1]["label"], records[1]["value"], float(records[1]["mean"])) == ("b", "0.2", pytest.approx(59.0))
    (content,) = json.loads(FORMATS["json"](found))
    assert content["columns"] == [0, 0.2, 0.4]
    assert content["rows"][2]["cells"] == [None, None, None]


@pytest.mark.parametrize(("unit", "bound"), [("%", 100.0), ("dB", float("inf"))])
def test_cells_are_written_in_every_unit_with_their_interval(unit, bound):
    found = evaluation([98.0, 99.0, 100.0], measured={"unit": unit, "better": "higher"})
    (pivot,) = pivots("accuracy", [trial("a", evaluations=[found])])
    (low, high) = pivot.rows[0].cells[0].interval
    (content,) = json.loads(FORMATS["json"]([pivot]))
    std = pytest.approx(np.std([98, 99, 100]))
    assert content["rows"][0]["cells"] == [{"mean": 99.0, "std": std, "low": low, "high": high, "n": 3}]
    assert high <= bound
    (record,) = csv.DictReader(io.StringIO(FORMATS["csv"]([pivot])))
    assert (float(record["low"]), float(record["high"]), record["n"]) == (low, high, "3")
    assert "bounds" not in record


def test_csv_of_a_pivot_has_a_line_for_each_hole_with_the_reason():
    short = evaluation([50.0], text="robustness", headline="probe accuracy",
                       measured={"metric": "probe accuracy", "at": {"corruption": "mask", "level": 0}})  # fmt: skip
    trials = [*TRIALS, trial("d", digest="d" * 64, protocols=["robustness"], evaluations=[short])]
    records = list(csv.DictReader(io.StringIO(FORMATS["csv"](pivots("probe accuracy@corruption=mask", trials)))))
    holes = [(one["label"], one["value"], one["reason"], one["n"]) for one in records if not one["mean"]]
    assert holes == [
        ("d", "0.2", "not measured", "0"),
        ("d", "0.4", "not measured", "0"),
        *(("c", str(level), "timeout: too slow", "0") for level in LEVELS),
    ]


def test_layers_that_go_with_their_depth_are_one_coordinate():
    measurements = [Measurement("rank", float(d), at={"layer": f"l{d}", "depth": d}) for d in range(3)]
    found = evaluation([], text="code-stats", headline="rank", measurements=measurements)
    (pivot,) = pivots("rank", [trial("a", protocols=["code-stats"], evaluations=[found])])
    assert (pivot.coordinate, pivot.columns) == ("layer", ("l0", "l1", "l2"))


@pytest.mark.parametrize(
    ("text", "metric", "at"),
    [
        ("accuracy", "accuracy", {}),
        ("probe accuracy@level=0.2, corruption = mask", "probe accuracy", {"level": 0.2, "corruption": "mask"}),
        ('accuracy@name="a,b=c",level=1', "accuracy", {"name": "a,b=c", "level": 1}),
        ('accuracy@name="1"', "accuracy", {"name": "1"}),
        ("accuracy@widths=[1,2],level=1", "accuracy", {"widths": [1, 2], "level": 1}),
    ],
)
def test_values_are_read_as_in_calls(text, metric, at):
    assert parse_question(text) == PivotQuestion(metric, at)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("probe acuracy", ["'probe acuracy'", "Did you mean 'probe accuracy'"]),
        ("probe accuracy", ["corruption and level vary", "probe accuracy@corruption=mask"]),
        ("probe accuracy@corruption=maks", ["corruption=maks", "'mask'"]),
        ("probe accuracy@corupption=mask", ["'corupption'", "'corruption'"]),
        ("probe accuracy@corruption", ["expected METRIC@coordinate=value"]),
        ("@corruption=mask", ["no metric"]),
        ('probe accuracy@corruption="mask', ["a quote is not closed"]),
        ("probe accuracy@level=1,level=2", ["'level' is given twice"]),
        ("probe accuracy@corruption=[mask]", ["corruption=['mask']"]),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(text, words):
    with pytest.raises(UserError) as caught:
        pivots(text)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_the_proposed_question_can_be_asked():
    measurements = [
        Measurement("rank", 1.0, at={"name": name, "level": level}) for name in ("a,b", "c") for level in range(2)
    ]
    found = evaluation([], text="code-stats", headline="rank", measurements=measurements)
    trials = [trial("a", protocols=["code-stats"], evaluations=[found])]
    with pytest.raises(UserError) as caught:
        pivots("rank", trials)
    assert "'rank@name=\"a,b\"'" in str(caught.value)
    (pivot,) = pivots('rank@name="a,b"', trials)
    assert pivot.columns == (0, 1)


# -- relative to a row -------------------------------------------------------------------------------------------------


def corrupted(label: str, digest: str, seed: int = 0, factor: float = 1.0, kinds=("fog", "noise")):
    errors = {"fog": (10.0, 20.0), "noise": (40.0, 50.0)}
    measurements = [
        Measurement("corruption error", factor * value, "%", "lower", {"fold": fold, "corruption": kind})
        for kind in kinds
        for fold, value in enumerate(errors[kind])
    ]
    found = evaluation([], text="robustness", headline="corruption error", measurements=measurements)
    return trial(label, seed=seed, digest=digest * 64, protocols=["robustness"], evaluations=[found])


def relative_pivot(*trials, to: str = "base"):
    (pivot,) = make_pivots(parse_question("corruption error"), make_tables(trials), to)
    return {row.row.label: [cell and cell.mean for cell in row.cells] for row in pivot.rows}, pivot


def test_values_in_percent_of_those_of_a_row_and_their_mean():
    # The mean corruption error: each corruption counts alike, whatever its size.
    half = corrupted("half", "h", factor=0.5)
    half.evaluations[0].measurements[:2] = corrupted("half", "h", factor=0.8).evaluations[0].measurements[:2]
    found, pivot = relative_pivot(corrupted("base", "b"), half)
    assert pivot.columns == ("fog", "noise", "mean") and pivot.unit == "% of base"
    assert found == {"half": pytest.approx([80, 50, 65]), "base": [100, 100, 100]}
    assert [row.name for row in pivot.rows] == ["half", "base"]
    assert pivot.rows[0].cells[2].n == 2


def test_folds_are_paired_and_seeds_of_the_baseline_averaged():
    other = corrupted("a", "a")
    first = other.evaluations[0].measurements[0]
    other.evaluations[0].measurements[0] = Measurement(first.metric, 30.0, first.unit, first.better, first.at)
    found, _ = relative_pivot(corrupted("base", "b"), corrupted("base", "c", seed=1, factor=3.0), other)
    # Fold 0: 30 of (10 + 30) / 2; fold 1: 20 of (20 + 60) / 2; of noise half in both.
    assert found["a"] == pytest.approx([(150 + 50) / 2, 50, (100 + 50) / 2])


def test_a_column_that_the_baseline_lacks_is_a_hole_and_so_is_the_mean():
    found, _ = relative_pivot(corrupted("base", "b", kinds=("fog",)), corrupted("a", "a"))
    assert found == {"base": [100, None, None], "a": [100, None, None]}
    found, _ = relative_pivot(corrupted("base", "b", factor=0.0), corrupted("a", "a"))
    assert found["a"] == [None, None, None]


def test_relative_values_in_every_format():
    _, pivot = relative_pivot(corrupted("base", "b"), corrupted("a", "a", factor=0.5))
    text = FORMATS["table"]([pivot])
    assert "corruption fog" in text and "Mean" in text and "50.0" in text and "% of base" in text
    (content,) = json.loads(FORMATS["json"]([pivot]))
    assert content["relative_to"] == "base" and content["columns"] == ["fog", "noise", "mean"]
    records = list(csv.DictReader(io.StringIO(FORMATS["csv"]([pivot]))))
    assert {record["relative_to"] for record in records} == {"base"} and len(records) == 6


@pytest.mark.parametrize("wrong", ["bas", "empty"])
def test_a_row_that_is_not_there_is_the_users_mistake(wrong):
    empty = trial("empty", digest="e" * 64, protocols=["robustness"], status="timeout", reason="too slow")
    with pytest.raises(UserError, match=f"^--relative-to: mine, robustness: no row '{wrong}' with values.*base"):
        relative_pivot(corrupted("base", "b"), empty, to=wrong)
