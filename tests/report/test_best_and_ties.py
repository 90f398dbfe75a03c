"""Which rows are marked, on fabricated tables whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats
from trials import evaluation, protocol, trial

from reprbench.benchmark import find_benchmark
from reprbench.report.formats import FORMATS
from reprbench.report.row import Row
from reprbench.report.table import Settings, make_tables
from reprbench.spec import Call
from reprbench.trial import Code, Cost, DataRecord, Deviation

DATA = DataRecord(
    call=Call(name="stl10"), title="STL-10", digest="d" * 64, shape=(3, 96, 96), unlabeled=1, train=5000, test=8000,
    classes=10, folds=10,
)  # fmt: skip
BASE = np.random.default_rng(0).normal(0, 1, 10)
LIMIT = Deviation("limit", "limit 9")
CLOSE = BASE + np.random.default_rng(1).normal(0, 0.3, 10)


def row(label: str, values, digest: str | None = None, **changes):
    changes = {"dataset": DATA, **changes}
    evaluations = [evaluation([float(value) for value in values], **changes.pop("evaluation", {}))]
    return trial(label, digest=(digest or label[0]) * 64, evaluations=evaluations, **changes)


def places(trials, **options) -> dict[str, str]:
    (table,) = make_tables(trials, settings=Settings(**options))
    return {one.label: standing(one).place for one in table.rows}


def standing(row: Row):
    return row.result.standing


def test_a_row_far_above_the_others_is_the_best():
    trials = [row("a", 50 + BASE), row("b", 55 + CLOSE), row("c", 40 + BASE)]
    assert places(trials) == {"a": "other", "b": "best", "c": "other"}
    assert "* 5" in FORMATS["table"](make_tables(trials))
    assert "**5" in FORMATS["markdown"](make_tables(trials))
    assert r"\textbf{5" in FORMATS["latex"](make_tables(trials))


def test_a_row_that_does_not_differ_from_the_best_makes_both_ties_and_nothing_bold():
    trials = [row("a", 50 + BASE), row("b", 50.05 + CLOSE), row("c", 40 + BASE)]
    assert places(trials) == {"a": "tie", "b": "tie", "c": "other"}
    for form in ("table", "markdown", "latex"):
        text = FORMATS[form](make_tables(trials))
        assert text.count("≈" if form != "latex" else r"$\approx$") == 3, form  # two rows and the meaning of the mark
        assert "**" not in text
        assert "textbf" not in text


@pytest.mark.parametrize(("p", "expected"), [(0.0499, {"a": "best", "b": "other"}), (0.0501, {"a": "tie", "b": "tie"})])
def test_five_percent_decide_between_best_and_tie(p, expected):
    noise = BASE - BASE.mean()
    t = stats.t.isf(p / 2, 9)
    gain = t * np.sqrt(noise.var(ddof=1) * (1 / 10 + 1000 / 4000))
    trials = [row("a", [50.0 + gain] * 10 + noise), row("b", [50.0] * 10)]
    (table,) = make_tables(trials)
    assert [standing(one).p for one in table.rows] == [None, pytest.approx(p)]
    assert places(trials) == expected
    assert "p < 0.05" in FORMATS["table"]([table])


def test_p_values_are_those_of_the_formula_with_holms_correction():
    b, c = 50 + CLOSE + 0.2, 49.8 + BASE[::-1]
    (table,) = make_tables([row("a", 51 + BASE), row("b", b), row("c", c)])
    expected = []
    for other in (b, c):
        difference = 51 + BASE - other
        t = difference.mean() / np.sqrt(difference.var(ddof=1) * (1 / 10 + 1000 / 4000))
        expected.append(2 * stats.t.sf(abs(t), 9))
    low, high = sorted(expected)
    adjusted = {low: 2 * low, high: max(2 * low, high)}
    (comparison,) = table.comparisons
    found = {one.label: standing(one).p for one in table.rows}
    assert found["a"] is None
    assert found["b"] == pytest.approx(min(1, adjusted[expected[0]]))
    assert found["c"] == pytest.approx(min(1, adjusted[expected[1]]))
    assert (comparison.best, comparison.comparisons, comparison.ratio) == ("a", 2, 0.25)


def test_wilcoxons_test_can_be_chosen():
    b, c = 50 + CLOSE + 0.2, 40 + BASE[::-1]
    (table,) = make_tables([row("a", 51 + BASE), row("b", b), row("c", c)], settings=Settings(test="wilcoxon"))
    found = {one.label: standing(one).p for one in table.rows}
    expected = sorted(stats.wilcoxon(51 + BASE - other, zero_method="zsplit").pvalue for other in (b, c))
    assert sorted([found["b"], found["c"]]) == pytest.approx(
        [min(1, 2 * expected[0]), max(2 * expected[0], expected[1])]
    )
    text = FORMATS["table"]([table])
    assert "Wilcoxon's signed ranks on shared folds" in text
    assert "t-test" not in text


def test_where_lower_is_better_the_lowest_is_the_best():
    lower = {"measured": {"better": "lower"}}
    trials = [row("a", 50 + BASE, evaluation=lower), row("b", 40 + BASE, evaluation=lower)]
    assert places(trials) == {"a": "other", "b": "best"}


def test_where_neither_is_better_nothing_is_marked():
    neither = {"measured": {"better": "neither"}}
    trials = [row("a", 50 + BASE, evaluation=neither), row("b", 40 + BASE, evaluation=neither)]
    assert places(trials) == {"a": "untested", "b": "untested"}


def test_supervised_rows_do_not_compete_and_controls_do():
    method = trial().method
    supervised = row("s", 70 + BASE, method=replace(method, kind="supervised"))
    control = row("c", 60 + BASE, method=replace(method, kind="control"))
    assert places([supervised, control, row("a", 50 + BASE)]) == {"s": "untested", "c": "best", "a": "other"}


def test_one_fold_is_not_tested():
    assert set(places([row("a", [50.0]), row("b", [60.0])]).values()) == {"untested"}


def test_rows_that_share_one_fold_only_are_not_tested():
    other = row("b", 60 + BASE)
    found = other.evaluations[0]
    found.measurements = [replace(one, at={"fold": fold}) for fold, one in enumerate(found.measurements, start=9)]
    assert set(places([row("a", 50 + BASE), other]).values()) == {"untested"}


def test_only_the_newest_version_of_the_protocol_competes():
    old = row("o", 70 + BASE)
    new = [row(label, value + BASE, evaluation={"version": 2}) for label, value in (("a", 50), ("b", 55))]
    assert places([old, *new]) == {"o": "untested", "a": "other", "b": "best"}
    (table,) = make_tables([old, *new])
    noted = next(one for one in table.rows if one.label == "o").notes
    assert noted == ("evaluated by version 1 of the protocol, not version 2",)
    assert "only rows of version 2 compete" in FORMATS["table"]([table])


def test_only_rows_of_the_newest_numerics_compete():
    old, unknown = row("o", 70 + BASE, identity={"numerics": 1}), row("u", 80 + BASE)
    new = [row(label, value + BASE, identity={"numerics": 2}) for label, value in (("a", 50), ("b", 55))]
    failed = trial("f", digest="f" * 64, dataset=DATA, status="failed", identity={"numerics": 3})
    (table,) = make_tables([old, unknown, *new, failed])
    assert places([old, unknown, *new]) == {"u": "untested", "o": "untested", "a": "other", "b": "best"}
    notes = {one.label: one.notes for one in table.rows}
    assert notes["o"] == ("computed with version 1 of reprbench's numerics, not 2",)
    assert notes["a"] == notes["b"] == notes["f"] == ()
    (line,) = [line for line in table.explanations if "numerics" in line]
    assert "only rows of version 2 compete" in line
    (same,) = make_tables(new)
    assert same.explanations == ()


def test_seeds_of_different_numerics_are_not_one_method():
    fits = [row("a", 50 + BASE, str(seed), seed=seed, identity={"numerics": seed}) for seed in (1, 2)]
    (table,) = make_tables(fits, settings=Settings(seeds="together"))
    assert {one.name for one in table.rows} == {"a (seed 1; numerics 1)", "a (seed 2; numerics 2)"}
    assert table.seeds == ()


def test_versions_of_bases_are_in_the_note():
    codes = [Code(version=1, bases=(("Probe", number),)) for number in (1, 2)]
    trials = [trial(name, digest=name * 64, evaluations=[evaluation([1.0], code=code)],
                    provenance={"ended": name}) for name, code in zip("ab", codes, strict=True)]  # fmt: skip
    (table,) = make_tables(trials)
    noted = next(row.notes for row in table.rows if row.label == "a")
    assert noted == ("evaluated by version 1 (Probe 1) of the protocol, not version 1 (Probe 2)",)
    assert str(Code(source="abcdef0123", bases=(("A", 1), ("B", 2)))) == "code abcdef01 (A 1, B 2)"


def seeds():
    return [
        row("a", 50 + BASE, "a", seed=0),
        row("a", 52 + BASE, "b", seed=1),
        row("b", 40 + BASE, "c", seed=0),
        row("b", 41 + BASE, "d", seed=1),
    ]


def test_seeds_are_apart_and_their_spread_is_under_the_table():
    (table,) = make_tables(seeds())
    assert len(table.rows) == 4
    assert {one.label: standing(one).place for one in table.rows} == {"a": "best", "b": "other"}
    first = table.seeds[0]
    assert (first.label, first.seeds) == ("a", (0, 1))
    assert first.std_seeds == pytest.approx(1.0)
    assert first.std_folds == pytest.approx(BASE.std())
    text = FORMATS["table"]([table])
    assert f"standard deviation (ddof = 0) over seeds 1.00, over folds {BASE.std():.2f}" in text


def test_seeds_together_are_one_row():
    (table,) = make_tables(seeds(), settings=Settings(seeds="together"))
    assert [one.label for one in table.rows] == ["a", "b"]
    first = table.rows[0]
    assert first.seeds == (0, 1)
    assert first.mean == pytest.approx(51 + BASE.mean())
    assert first.result.summary.std == pytest.approx(BASE.std())
    assert len(first.result.by_fold) == 10
    single = make_tables(seeds())[0].rows[0]
    # Two seeds that differ by two points mean more uncertainty than ten folds of one seed.
    assert width(first) > width(single)
    assert "a (seeds 0, 1)" in FORMATS["table"]([table])


def width(row: Row) -> float:
    low, high = row.result.summary.interval
    return high - low


def test_what_seeds_do_not_share_is_that_of_the_lowest():
    benchmark = find_benchmark("table1-stl10").methods
    references = [next(one.reference for one in benchmark if one.label == label) for label in ("AE", "DAE")]
    first, second = (
        row("a", 40 + 10 * seed + BASE, str(seed), seed=seed, reference=references[seed], warnings=[f"seed {seed}"],
            method=replace(trial().method, kind=kind), cost=Cost(parameters=100 + seed))
        for seed, kind in enumerate(["control", "pretrained"])
    )  # fmt: skip
    for trials in ([first, second], [second, first]):
        (merged,) = make_tables(trials, settings=Settings(seeds="together"))[0].rows
        assert merged.seeds == (0, 1)
        assert merged.reference == references[0] != references[1]
        assert merged.parameters == 100
        assert merged.kind == "control"
        assert merged.notes == ("seed 0", "seed 1")
        assert merged.mean == pytest.approx(45 + BASE.mean())


def test_a_seed_that_failed_stays_a_row_without_a_result():
    failed = trial("a", seed=2, digest="9" * 64, dataset=DATA, status="failed", reason="ValueError: no")
    (table,) = make_tables([*seeds(), failed], settings=Settings(seeds="together"))
    assert [(one.label, one.seeds, one.mean is None) for one in table.rows][-1] == ("a", (2,), True)


def test_mixed_machines_and_deviations_are_marked_and_explained():
    here = {"device": "cpu", "machine": {"processor": "Xeon"}, "versions": {"torch": "2.4"}}
    there = {**here, "device": "cuda:0"}
    trials = [row("a", 50 + BASE, provenance=here), row("b", 50 + BASE, provenance=here, deviations=[LIMIT])]
    (table,) = make_tables([*trials, row("c", 50 + BASE, provenance=there)])
    notes = {one.label: one.notes for one in table.rows}
    assert notes == {"a": (), "b": ("limit 9",), "c": ("ran on Xeon, cuda:0, torch 2.4",)}
    text = FORMATS["table"]([table])
    assert "mixed machines: rows without such a note ran on Xeon, cpu, torch 2.4" in text
    assert "mixed deviations" in text


def test_devices_are_named_by_their_kind_not_by_their_number():
    gpu = {"device": "cuda:0", "device_name": "NVIDIA H100", "machine": {"processor": "Xeon"}}
    trials = [row(label, 50 + BASE, provenance={**gpu, "device": f"cuda:{n}"}) for n, label in enumerate("ab")]
    (table,) = make_tables(trials)
    assert [one.notes for one in table.rows] == [(), ()]
    (table,) = make_tables([*trials, row("c", 50 + BASE, provenance={**gpu, "device_name": "NVIDIA H200"})])
    assert {one.label: one.notes for one in table.rows}["c"] == ("ran on Xeon, NVIDIA H200",)


def test_a_row_with_a_protocol_of_its_own_is_in_the_benchmarks_table():
    own = "linear-svm[pooling=sum]"
    note = f"protocol of its own: {own}"
    trials = [
        row("a", 50 + BASE),
        row(
            "b",
            40 + BASE,
            protocols=[protocol(own, table="linear-svm")],
            deviations=[Deviation("own protocol", note)],
            evaluation={"text": own},
        ),
    ]
    (table,) = make_tables(trials)
    assert str(table.protocol) == "linear-svm"
    assert [(one.label, one.notes) for one in table.rows] == [("a", ()), ("b", (note,))]
    separate = [
        trials[0],
        replace(trials[1], protocols=[protocol(own)], deviations=[Deviation("protocol", "protocol " + own)]),
    ]
    assert len(make_tables(separate)) == 2


def test_missing_published_rows_are_not_run_and_under_their_heading():
    benchmark = find_benchmark("table1-stl10")
    known = {"table1-stl10": benchmark}
    reference = next(one.reference for one in benchmark.methods if one.label == "AE")
    trials = [row("AE", 49.5 + BASE, benchmark="table1-stl10", reference=reference)]
    (table,) = make_tables(trials, known)
    published = [one.label for one in benchmark.methods if one.reference]
    assert sorted(one.label for one in table.rows) == sorted(published)
    verdicts = {one.label: str(one.verdict) for one in table.rows}
    assert verdicts["DCGAN"] == "not run"
    assert verdicts["AE"].startswith("reproduced")
    for form in FORMATS:
        assert "not run" in FORMATS[form]([table]), form
        assert "reproduced" in FORMATS[form]([table]), form
    limited = [row("AE", 49.5 + BASE, benchmark="table1-stl10", reference=reference, deviations=[LIMIT])]
    (table,) = make_tables(limited, known)
    assert [str(one.verdict) for one in table.rows] == ["not comparable"]


def test_a_reference_belongs_to_the_first_protocol_only():
    reference = find_benchmark("table1-stl10").methods[0].reference
    both = row("a", 50 + BASE, reference=reference, protocols=["linear-svm", "knn"])
    both.evaluations.append(evaluation([50.0, 51.0], text="knn"))
    tables = {str(table.protocol): table.rows[0].reference for table in make_tables([both])}
    assert tables == {"knn": None, "linear-svm": reference}
    assert reference.value == 49.5


def test_json_carries_tests_verdicts_and_fold_values():
    (table,) = json.loads(FORMATS["json"](make_tables([row("a", 50 + BASE), row("b", 55 + CLOSE)])))
    (first,) = table["rows"][0]["results"]
    assert (first["standing"], first["p"]) == ("best", None)
    assert first["by_fold"]["3"] == pytest.approx(55 + CLOSE[3])
    assert [comparison["comparisons"] for comparison in table["comparisons"]] == [1]


def test_small_numbers_keep_three_figures():
    error = {"headline": "MSE", "measured": {"metric": "MSE", "unit": "", "better": "lower"}}
    values = {"a": 0.0123 + BASE * 1e-4, "b": 0.0456 + BASE * 1e-4}
    trials = [row(label, value, evaluation=error) for label, value in values.items()]
    assert "0.0123 ± 0.0001" in FORMATS["table"](make_tables(trials))


@pytest.mark.parametrize("seeds", ["apart", "together"])
def test_intervals_stay_inside_the_range_of_the_unit(seeds):
    values = [91.0, 94.8]
    trials = [row("a", values, "a", seed=0), row("a", values, "b", seed=1)]
    text = FORMATS["table"](make_tables(trials, settings=Settings(seeds=seeds)))
    assert "92.9 ± 1.9" in text
    assert ", 100.0]" in text
    in_decibels = row("a", values, evaluation={"measured": {"unit": "dB"}})
    assert ", 122" in FORMATS["table"](make_tables([in_decibels]))
