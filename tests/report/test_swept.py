"""The rows of sweeps in tables and their formats."""

from __future__ import annotations

import csv
import io
import json

import pytest
from msgspec.structs import replace
from trials import evaluation, fits, method, swept, trial

from reprbench.benchmark import Benchmark, BenchmarkRow, Reference
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.pivot import make_pivots, parse_question, pivot_grid
from reprbench.report.select import Wanted, select_trials
from reprbench.report.table import Settings, _competitors, make_tables
from reprbench.spec import Budget, Call

VALUES = {"1.0": [(60, 90), (99, 1)], "2.0": [(80, 50), (10, 40)], "3.0": [(70, 99), (70, 2)]}
PCA = trial("pca", digest="a" * 64, method=method("pca"), evaluations=[evaluation([30.0, 32.0])])
PLAIN = fits(PCA, 0, 0)


def table(trials=None, **settings):
    (found,) = make_tables([*swept(VALUES), *PLAIN] if trials is None else trials, settings=Settings(**settings))
    return found


def names(found):
    return [(row.name, row.tries) for row in found.rows]


def test_a_table_has_one_row_for_a_sweep_on_the_seeds_that_are_reported():
    found = table()
    assert names(found) == [("AE[lr=2.0] (seed 1)", 3), ("pca (seed 0)", 1), ("pca (seed 1)", 1)]
    row = found.rows[0]
    assert (row.mean, row.label, row.seeds) == (40, "AE", (1,))
    assert row.notes[0] == "chosen of 3 settings by inner accuracy, on seed 0, and reported on seed 1"
    assert found.settings == 5
    assert any(line.startswith("unequal tuning: rows are chosen from 1 and 3 settings") for line in found.explanations)


def test_seeds_together_are_those_that_are_reported():
    values = {"1.0": [(60, 0)] * 4, "2.0": [(80, 10), (80, 20), (80, 30), (80, 50)]}
    found = table(swept(values, seeds=(0, 1, 2, 3)), seeds="together")
    assert [(row.name, row.mean, row.seeds) for row in found.rows] == [("AE[lr=2.0] (seeds 2, 3)", 40, (2, 3))]


def test_equal_tuning_needs_no_line():
    found = table([*swept(VALUES), *swept(VALUES, row="DAE", hash="7" * 64)])
    assert [row.tries for row in found.rows] == [3, 3]
    assert not [line for line in found.explanations if "tuning" in line]


def test_a_table_without_sweeps_says_nothing_of_settings():
    found = table(PLAIN)
    assert [row.tries for row in found.rows] == [None, None]
    assert "Settings" not in FORMATS["table"]([found])


@pytest.mark.parametrize("settings", [{"sweeps": True}, {"every": True}])
def test_all_settings_are_shown_on_request_and_do_not_compete(settings):
    found = table(**settings)
    rows = {row.name: row for row in found.rows}
    assert len(rows) == 8 and len(found.rows) == 8
    assert (rows["AE[lr=3.0] (seed 0)"].mean, rows["AE[lr=3.0] (seed 0)"].tries) == (99, None)
    assert rows["AE[lr=3.0] (seed 0)"].notes[0] == "a setting of the sweep of AE"
    one_seed = [*swept(VALUES), PLAIN[1]]
    assert [table(one_seed, **each).comparisons[0].methods for each in ({}, settings)] == [2, 2]
    assert {row.name for row in rows.values() if row.only_setting and row.result.standing.place != "untested"} == set()
    assert found.settings == 0
    assert [choice.sweep.row for choice in found.sweeps] == ["AE"]


def test_a_sweep_without_a_value_is_a_hole_with_its_reason():
    found = table([*swept({"1.0": [None, None], "2.0": [None, None]}, reason="no luck"), *PLAIN])
    row = found.rows[-1]
    assert (row.name, row.mean, row.status) == ("AE", None, "not evaluated")
    assert row.reason == "no setting has inner accuracy on every seed that chooses; AE[lr=1.0]: failed: no luck"
    assert "2 without a value" in row.notes[0]
    for form in FORMATS.values():
        assert "no setting has inner accuracy" in form([found]).replace("\\", "")


def test_a_seed_that_was_not_run_is_a_hole():
    trials = [one for one in swept(VALUES) if one.seed == 0]
    (row,) = table(trials).rows
    assert (row.status, row.reason) == ("not evaluated", "the chosen setting has no trial with seed 1")


def test_a_chosen_setting_that_fails_where_it_is_reported_is_a_hole():
    (row,) = table(swept({**VALUES, "2.0": [(80, 50), None]})).rows
    assert (row.name, row.status, row.mean) == ("AE[lr=2.0]", "failed", None)


def test_a_setting_that_is_a_row_of_its_own_stays_one():
    trials = [replace(one, only_setting=one.method.call != Call("ae", {"lr": 2.0})) for one in swept(VALUES)]
    assert sorted(names(table(trials))) == [
        ("AE[lr=2.0] (seed 0)", 1),
        ("AE[lr=2.0] (seed 1)", 1),
        ("AE[lr=2.0] (seed 1)", 3),
    ]


def test_what_is_published_concerns_the_row_of_the_sweep():
    reference = Reference(value=40.0, spread=1.0, citation="Somebody 2011")
    benchmark = Benchmark(
        name="mine", title="Mine", dataset=Call("digits"), budget=Budget(epochs=1),
        methods=(BenchmarkRow(method=Call("ae"), label="AE", group="Coders", reference=reference),),
    )  # fmt: skip
    trials = swept(VALUES, reference=reference)
    (found,) = make_tables(trials, {"mine": benchmark}, Settings(sweeps=True))
    judged = [(row.name, row.group) for row in found.rows if row.verdict]
    assert judged == [("AE[lr=2.0] (seed 1)", "Coders")]


def test_a_sweep_is_selected_by_its_row_and_chosen_from_all_of_it():
    trials = [*swept(VALUES), *PLAIN]
    chosen = select_trials(trials, Wanted(methods=("ae",)))
    assert len(chosen) == 6
    (found,) = make_tables([one for one in chosen if one.label == "AE[lr=2.0]"], among=trials)
    assert [row.name for row in found.rows] == ["AE[lr=2.0]"]
    assert make_tables([one for one in chosen if one.label == "AE[lr=1.0]"], among=trials) == []


def test_records_carry_the_choice():
    (made,) = json.loads(FORMATS["json"]([table(sweeps=True)]))
    row = next(one for one in made["rows"] if one["tries"] == 3)
    assert (row["label"], row["setting"], row["chosen_by"]) == ("AE", {"lr": 2.0}, "inner accuracy")
    assert (row["chosen_on"], row["reported_on"], row["settings_without_value"]) == ([0], [1], 0)
    (sweep,) = made["sweeps"]
    assert [(one["setting"], one["mean"], one["chosen"]) for one in sweep["settings"]] == [
        ({"lr": 1.0}, 60, False),
        ({"lr": 2.0}, 80, True),
        ({"lr": 3.0}, 70, False),
    ]
    lines = list(csv.DictReader(io.StringIO(FORMATS["csv"]([table()]))))
    assert [(line["tries"], line["setting"], line["chosen_on"]) for line in lines] == [
        ("3", "lr=2.0", "0"),
        ("1", "", ""),
        ("1", "", ""),
    ]


def test_the_formats_show_the_number_of_settings():
    for name in ("table", "markdown", "latex"):
        text = FORMATS[name]([table()])
        assert "Settings" in text and "chosen of 3 settings" in text, name


def test_a_page_draws_sweeps_on_request(tmp_path):
    plain = as_html([table()], [tmp_path], tmp_path)
    assert 'id="sweeps"' not in plain and "Settings" in plain
    page = as_html([table(sweeps=True)], [tmp_path], tmp_path)
    assert 'id="sweeps"' in page and "AE: lr=2.0, chosen of 3 settings" in page


def test_a_pivot_is_ordered_by_itself():
    trials = [*swept(VALUES), *swept({"1.0": [(5, 99), (5, 99)]}, row="DAE", hash="7" * 64)]
    (pivot,) = make_pivots(parse_question("inner accuracy"), make_tables(trials))
    assert [(row.name, row.cells[0].mean) for row in pivot.rows] == [("AE[lr=2.0]", 10), ("DAE[lr=1.0]", 5)]
    assert [row.name for row in pivot.table.rows] == ["DAE[lr=1.0]", "AE[lr=2.0]"]
    under = [line.text for line in pivot_grid(pivot).under]
    assert "AE[lr=2.0]: chosen of 3 settings by inner accuracy, on seed 0, and reported on seed 1" in under


def larger_and_smaller(benchmark="adhoc"):
    """Return the trials of a sweep over two rates that was enlarged to three; no file names the rows of `adhoc`."""
    small = swept({rate: VALUES[rate] for rate in ("1.0", "2.0")}, row="ae[lr=1|2]")
    before = {(one.sweeps[0].setting["lr"], one.seed): one.sweeps for one in small}
    found = []
    for one in swept(VALUES, row="ae[lr=1|2|3]", benchmark=benchmark):
        earlier = before.get((one.sweeps[0].setting["lr"], one.seed), [])
        found.append(replace(one, sweeps=[*earlier, *one.sweeps]))
    return found


def test_a_larger_sweep_takes_the_place_of_the_one_that_it_enlarges():
    found = table(larger_and_smaller())
    assert [(row.tries, row.label) for row in found.rows if row.choice] == [(3, "ae[lr=1|2|3]")]


def test_a_larger_sweep_that_is_chosen_on_other_seeds_is_another_row():
    other = []
    for one in larger_and_smaller():
        *earlier, last = one.sweeps
        other.append(replace(one, sweeps=[*(replace(sweep, chosen_on=(1,)) for sweep in earlier), last]))
    assert {row.tries for row in table(other).rows if row.choice} == {2, 3}


def test_rows_that_a_file_names_stay_beside_a_larger_sweep():
    found = table(larger_and_smaller(PCA.benchmark))
    assert {row.tries for row in found.rows if row.choice} == {2, 3}


def test_a_trial_does_not_compete_with_itself():
    # The chosen setting of both sweeps is the same fit, and a row of its own in addition.
    trials = larger_and_smaller(PCA.benchmark)
    trials = [replace(one, only_setting=one.sweeps[-1].setting["lr"] != 2) for one in trials]
    found = table([*trials, *PLAIN])
    assert len([row for row in found.rows if row.label != "pca"]) > 2
    assert found.comparisons[0].methods == 2


def test_methods_that_a_third_one_connects_are_one_competitor():
    row = table(PLAIN).rows[0]
    sources = [source for one in table(PLAIN).rows for source in one.sources]
    rows = [replace(row, sources=(one,)) for one in sources] + [replace(row, sources=tuple(sources))]
    assert _competitors(rows, [[0], [1], [2]]) == [[0, 1, 2]]
    assert _competitors(rows[:2], [[0], [1]]) == [[0], [1]]
