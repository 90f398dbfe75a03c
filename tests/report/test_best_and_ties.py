"""Which rows are marked, on fabricated tables whose truth is known."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats
from trials import evaluation, fits, protocol, trial

from reprbench.benchmark import find_benchmark
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.row import Row
from reprbench.report.significance import parts_test
from reprbench.report.statistics import seed_parts
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


SEEDS = {"a": (-0.001, 0.0, 0.001), "b": (0.0015, -0.001, -0.0005), "c": (0.0, -0.002, 0.002)}
"""What three seeds of a method differ in, as shares of its values; together nothing, so that means stay."""


def three(label: str, values, **changes):
    """Return trials of three seeds whose mean is `values`."""
    return fits(row(label, values, **changes), *SEEDS[label])


def test_a_method_far_above_the_others_over_three_seeds_is_the_best():
    trials = [*three("a", 50 + BASE), *three("b", 55 + CLOSE), *three("c", 40 + BASE)]
    for seeds in ("apart", "together"):
        assert places(trials, seeds=seeds) == {"a": "other", "b": "best", "c": "other"}
        tables = make_tables(trials, settings=Settings(seeds=seeds))
        assert "* 5" in FORMATS["table"](tables)
        assert "**5" in FORMATS["markdown"](tables)
        assert r"\textbf{5" in FORMATS["latex"](tables)
        assert "one seed" not in FORMATS["table"](tables)
        assert [row.result.standing.place for row in tables[0].rows if row.label == "b"].count("best") == len(
            [row for row in tables[0].rows if row.label == "b"]
        )


def test_a_row_that_is_not_told_apart_makes_both_ties_and_nothing_bold():
    trials = [*three("a", 50 + BASE), *three("b", 50.05 + CLOSE), *three("c", 40 + BASE)]
    assert places(trials) == {"a": "tie", "b": "tie", "c": "other"}
    for form in ("table", "markdown", "latex"):
        text = FORMATS[form](make_tables(trials, settings=Settings(seeds="together")))
        assert text.count("≈" if form != "latex" else r"$\approx$") == 3, form  # two rows and the meaning of the mark
        assert "**" not in text
        assert "textbf" not in text


def test_with_one_seed_no_row_is_the_best_and_every_format_says_so(tmp_path):
    tables = make_tables([row("a", 50 + BASE), row("b", 55 + CLOSE), row("c", 40 + BASE)])
    found = {one.label: standing(one) for one in tables[0].rows}
    assert {label: one.place for label, one in found.items()} == {"a": "other", "b": "tie", "c": "other"}
    assert [(found[label].seeds, found[label].folds) for label in "ac"] == [(1, 10)] * 2
    assert not tables[0].comparisons[0].over_seeds
    for form in ("table", "markdown", "latex"):
        text = FORMATS[form](tables)
        assert "one seed: folds only; they say nothing about other fits, so no row is the best" in text
        assert not any(mark in text for mark in ("* 5", "**", "textbf", "better than every other")), form
    page = as_html(tables, [tmp_path], tmp_path)
    assert "one seed: folds only" in page
    assert 'class="best"' not in page
    (record,) = json.loads(FORMATS["json"](tables))
    assert record["comparisons"][0]["seeds"] == [1]
    assert [(one["results"][0]["tested_seeds"], one["results"][0]["tested_folds"]) for one in record["rows"]] == [
        (0, 0), (1, 10), (1, 10),
    ]  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"](tables))))
    assert [(line["tested_seeds"], line["tested_folds"]) for line in lines] == [("0", "0"), ("1", "10"), ("1", "10")]


def test_seeds_of_one_method_are_never_told_apart():
    fits_of_one = [row("untrained", 38 + 2.4 * seed + 0.1 * BASE, str(seed), seed=seed) for seed in (0, 1)]
    assert places(fits_of_one) == {"untrained": "untested"}
    trials = [*fits_of_one, *three("a", 20 + BASE)]
    (table,) = make_tables(trials)
    assert [standing(one).place for one in table.rows if one.label == "untrained"] == ["best", "best"]


@pytest.mark.parametrize(("p", "place"), [(0.0499, "other"), (0.0501, "tie")])
def test_five_percent_decide_on_folds(p, place):
    noise = BASE - BASE.mean()
    gain = stats.t.isf(p / 2, 9) * np.sqrt(noise.var(ddof=1) * (1 / 10 + 1000 / 4000))
    trials = [row("a", [50.0 + gain] * 10 + noise), row("b", [50.0] * 10)]
    (table,) = make_tables(trials)
    assert [standing(one).p for one in table.rows] == [None, pytest.approx(p)]
    assert places(trials) == {"a": "tie", "b": place}
    assert "p < 0.05" in FORMATS["table"]([table])


@pytest.mark.parametrize(("p", "expected"), [(0.0499, {"a": "best", "b": "other"}), (0.0501, {"a": "tie", "b": "tie"})])
def test_five_percent_decide_over_seeds_between_best_and_tie(p, expected):
    shifts = np.array([-0.3, 0.1, 0.2])
    gain = stats.t.isf(p / 2, 2) * np.sqrt(shifts.var(ddof=1) / 3)
    # Seeds differ, and folds in the same way for both methods.
    a = [row("a", 50 + gain + shift + BASE, f"{seed}", seed=seed) for seed, shift in enumerate(shifts)]
    b = [row("b", 50 + BASE, f"{seed + 3}", seed=seed) for seed in range(3)]
    (table,) = make_tables([*a, *b])
    assert standing(table.rows[-1]).p == pytest.approx(p)
    assert (standing(table.rows[-1]).seeds, standing(table.rows[-1]).folds) == (3, 10)
    assert places([*a, *b]) == expected


def test_p_values_are_those_of_the_formula_adjusted_for_all_pairs():
    b, c = 50 + CLOSE + 0.2, 49.8 + BASE[::-1]
    (table,) = make_tables([row("a", 51 + BASE), row("b", b), row("c", c)])
    expected = []
    for other in (b, c):
        difference = 51 + BASE - other
        t = difference.mean() / np.sqrt(difference.var(ddof=1) * (1 / 10 + 1000 / 4000))
        expected.append(2 * stats.t.sf(abs(t), 9))
    low, high = sorted(expected)
    adjusted = {low: 3 * low, high: max(3 * low, high)}  # three pairs of three methods, then one of two
    (comparison,) = table.comparisons
    found = {one.label: standing(one).p for one in table.rows}
    assert found["a"] is None
    assert found["b"] == pytest.approx(min(1, adjusted[expected[0]]))
    assert found["c"] == pytest.approx(min(1, adjusted[expected[1]]))
    assert (comparison.best, comparison.methods, comparison.ratio) == ("a", 3, 0.25)


def test_methods_with_unequal_seeds_are_compared_on_those_that_both_have():
    a, b = three("a", 55 + BASE), three("b", 50 + CLOSE)
    b[0] = replace(b[0], seed=7, identity={"seed": 7})
    (table,) = make_tables([*a, *b])
    assert {standing(one).seeds for one in table.rows if one.label == "b"} == {2}
    ab = np.array([[x.value - y.value for x, y in zip(*(one.evaluations[0].measurements for one in pair), strict=True)]
                   for pair in zip(a[1:], b[1:], strict=True)])  # fmt: skip
    found = next(standing(one).p for one in table.rows if one.label == "b")
    assert found == pytest.approx(parts_test(ab.mean(), seed_parts(ab, 0.25)).p)


def test_a_method_that_shares_fewer_than_two_seeds_is_not_told_apart_and_named():
    trials = [*three("a", 55 + BASE), *three("b", 50 + CLOSE), row("c", 20 + BASE, seed=0)]
    assert places(trials) == {"a": "tie", "b": "other", "c": "tie"}
    (table,) = make_tables(trials)
    assert table.comparisons[0].untold == ("c",)
    for form in ("table", "markdown", "latex"):
        assert "fewer than two seeds in common with a, so not told apart: c" in FORMATS[form]([table])
    # One seed has the best mean: nothing can be told apart from it.
    (table,) = make_tables([*three("a", 55 + BASE), *three("b", 50 + CLOSE), row("c", 80 + BASE)])
    assert {standing(one).place for one in table.rows} == {"untested"}
    text = FORMATS["table"]([table])
    assert "fewer than two seeds in common with c, so not told apart: a, b" in text
    assert "≈" not in text


def test_a_method_that_does_not_lead_on_the_shared_seeds_is_not_called_better():
    a, b = three("a", 50 + BASE), three("b", 52 + BASE)
    high = row("a", 90 + BASE, "f", seed=9)
    assert places([*a, high, *b]) == {"a": "tie", "b": "tie"}


def test_wilcoxons_test_can_be_chosen():
    b, c = 50 + CLOSE + 0.2, 40 + BASE[::-1]
    (table,) = make_tables([row("a", 51 + BASE), row("b", b), row("c", c)], settings=Settings(test="wilcoxon"))
    found = {one.label: standing(one).p for one in table.rows}
    expected = sorted(stats.wilcoxon(51 + BASE - other, zero_method="zsplit").pvalue for other in (b, c))
    assert sorted([found["b"], found["c"]]) == pytest.approx(
        [min(1, 3 * expected[0]), min(1, max(3 * expected[0], expected[1]))]
    )
    text = FORMATS["table"]([table])
    assert "Wilcoxon's signed ranks of differences on 10 folds" in text
    assert "t-test" not in text


def test_wilcoxons_test_over_seeds_ranks_seeds_and_not_folds():
    trials = [*three("a", 55 + BASE), *three("b", 50 + BASE)]
    (table,) = make_tables(trials, settings=Settings(test="wilcoxon"))
    # Three seeds that agree: 2/2³.
    assert standing(table.rows[-1]).p == pytest.approx(0.25)
    assert "paired by seed, over 3 seeds and 10 folds" in FORMATS["table"]([table])


def test_what_could_have_been_told_apart_is_under_the_table():
    (table,) = make_tables([*three("a", 55 + BASE), *three("b", 50 + CLOSE)])
    size = table.comparisons[0].detectable
    assert 0 < size < 5
    assert f"a difference of {size:.1f} would be told apart with a probability of 80 %" in FORMATS["table"]([table])
    noisy = [*fits(row("a", 55 + BASE), 0.1, -0.1), *fits(row("b", 54 + BASE), -0.1, 0.1)]
    assert "no difference would be told apart" in FORMATS["table"](make_tables(noisy))


def test_where_lower_is_better_the_lowest_is_the_best():
    lower = {"measured": {"better": "lower"}}
    trials = [*three("a", 50 + BASE, evaluation=lower), *three("b", 40 + BASE, evaluation=lower)]
    assert places(trials) == {"a": "other", "b": "best"}


def test_where_neither_is_better_nothing_is_marked():
    neither = {"measured": {"better": "neither"}}
    trials = [row("a", 50 + BASE, evaluation=neither), row("b", 40 + BASE, evaluation=neither)]
    assert places(trials) == {"a": "untested", "b": "untested"}


def test_supervised_rows_do_not_compete_and_controls_do():
    method = trial().method
    supervised = row("s", 70 + BASE, method=replace(method, kind="supervised"))
    control = three("c", 60 + BASE, method=replace(method, kind="control"))
    assert places([supervised, *control, *three("a", 50 + BASE)]) == {"s": "untested", "c": "best", "a": "other"}


def test_one_fold_is_not_tested():
    assert set(places([row("a", [50.0]), row("b", [60.0])]).values()) == {"untested"}


def test_rows_that_share_one_fold_only_are_not_tested():
    other = row("b", 60 + BASE)
    found = other.evaluations[0]
    found.measurements = [replace(one, at={"fold": fold}) for fold, one in enumerate(found.measurements, start=9)]
    assert set(places([row("a", 50 + BASE), other]).values()) == {"untested"}


def test_only_the_newest_version_of_the_protocol_competes():
    old = row("o", 70 + BASE)
    new = [
        one for label, value in (("a", 50), ("b", 55)) for one in three(label, value + BASE, evaluation={"version": 2})
    ]
    assert places([old, *new]) == {"o": "untested", "a": "other", "b": "best"}
    (table,) = make_tables([old, *new])
    noted = next(one for one in table.rows if one.label == "o").notes
    assert noted == ("evaluated by version 1 of the protocol, not version 2",)
    assert "only rows of version 2 compete" in FORMATS["table"]([table])


def test_only_rows_of_the_newest_numerics_compete():
    old, unknown = row("o", 70 + BASE, identity={"numerics": 1}), row("u", 80 + BASE)
    new = [
        one for label, value in (("a", 50), ("b", 55)) for one in three(label, value + BASE, identity={"numerics": 2})
    ]
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
    two = [row("a", 50 + BASE, str(seed), seed=seed, identity={"numerics": seed}) for seed in (1, 2)]
    (table,) = make_tables(two, settings=Settings(seeds="together"))
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


def published(values, *shifts: float, **changes):
    """Return fits of the row AE of Table 1 for STL-10, published as 49.5 ± 0.7."""
    reference = next(one.reference for one in find_benchmark("table1-stl10").methods if one.label == "AE")
    return fits(row("AE", values, benchmark="table1-stl10", reference=reference, **changes), *shifts)


def test_missing_published_rows_are_not_run_and_under_their_heading():
    benchmark = find_benchmark("table1-stl10")
    known = {"table1-stl10": benchmark}
    trials = published(49.5 + 0.2 * BASE, 0.0, 0.001, -0.001)
    (table,) = make_tables(trials, known, Settings(seeds="together"))
    labels = [one.label for one in benchmark.methods if one.reference]
    assert sorted(one.label for one in table.rows) == sorted(labels)
    verdicts = {one.label: str(one.verdict) for one in table.rows}
    assert verdicts["DCGAN"] == "not run"
    assert verdicts["AE"] == "reproduced"
    for form in FORMATS:
        assert "not run" in FORMATS[form]([table]), form
        assert "reproduced" in FORMATS[form]([table]), form
    (table,) = make_tables(published(49.5 + BASE, 0.0, deviations=[LIMIT]), known)
    assert [str(one.verdict) for one in table.rows] == ["not comparable"]


@pytest.mark.parametrize(
    ("shifts", "verdict"),
    [((0.0,), "one seed"), ((0.0, 0.001), "two seeds"), ((0.0, 0.001, -0.001), "reproduced"),
     ((0.0, 0.05, -0.05), "inconclusive")],
)  # fmt: skip
def test_a_verdict_is_over_all_seeds_whether_they_are_rows_of_their_own_or_not(shifts, verdict):
    for seeds in ("apart", "together"):
        (table,) = make_tables(published(49.5 + 0.2 * BASE, *shifts), settings=Settings(seeds=seeds))
        assert {one.verdict.word for one in table.rows} == {verdict}
        assert len({one.verdict for one in table.rows}) == 1
        (content,) = json.loads(FORMATS["json"]([table]))
        numbers = [content["rows"][0][name] for name in ("difference", "difference_half_width", "tolerance")]
        shown = table.rows[0].verdict
        assert numbers == [shown.difference, shown.half_width, shown.tolerance]
        assert shown.tolerance == pytest.approx(1.4)


def test_a_reference_belongs_to_the_first_protocol_only():
    reference = find_benchmark("table1-stl10").methods[0].reference
    both = row("a", 50 + BASE, reference=reference, protocols=["linear-svm", "knn"])
    both.evaluations.append(evaluation([50.0, 51.0], text="knn"))
    tables = {str(table.protocol): table.rows[0].reference for table in make_tables([both])}
    assert tables == {"knn": None, "linear-svm": reference}
    assert reference.value == 49.5


def test_json_carries_tests_verdicts_and_fold_values():
    (table,) = json.loads(
        FORMATS["json"](
            make_tables([*three("a", 50 + BASE), *three("b", 55 + CLOSE)], settings=Settings(seeds="together"))
        )
    )
    (first,) = table["rows"][0]["results"]
    assert (first["standing"], first["p"]) == ("best", None)
    assert first["by_fold"]["3"] == pytest.approx(55 + CLOSE[3])
    (comparison,) = table["comparisons"]
    assert [comparison[name] for name in ("best", "methods", "seeds", "folds", "untold")] == ["b", 2, [3], [10], []]
    (second,) = table["rows"][1]["results"]
    assert (second["tested_seeds"], second["tested_folds"]) == (3, 10)


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
