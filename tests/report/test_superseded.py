"""Which row is which: a later trial of a row takes its place, whatever the parameters behind the label."""

from __future__ import annotations

import csv
import io
import json

import pytest
from msgspec.structs import replace
from trials import evaluation, method, protocol, trial

from reprbench.report.formats import FORMATS
from reprbench.report.pivot import make_pivots, parse_question
from reprbench.report.ranks import ranks_over_datasets
from reprbench.report.table import Settings, make_tables
from reprbench.spec import Budget, Call
from reprbench.trial import DataRecord, newest_of_each_row


def mine(components: int, day: int, value: float, **changes):
    values = {
        "method": method(f"pca[n_components={components}]"),
        "digest": f"{components:064}",
        "provenance": {"ended": f"2026-01-{day:02}"},
        "evaluations": [evaluation([value, value + 1])],
    }
    return trial("mine", **{**values, **changes})


OLD, NEW = mine(32, 1, 90.9), mine(2, 2, 50.0)


def test_a_trial_that_is_selected_alone_is_still_superseded():
    assert make_tables([OLD], among=[OLD, NEW]) == []
    (table,) = make_tables([NEW], among=[OLD, NEW])
    assert (table.rows[0].mean, table.superseded) == (50.5, 0)
    (table,) = make_tables([OLD], settings=Settings(every=True), among=[OLD, NEW])
    assert table.rows[0].superseded


@pytest.mark.parametrize("trials", [[OLD, NEW], [NEW, OLD]], ids=["older first", "newer first"])
def test_an_edited_row_is_one_row_with_the_newest_trial(trials):
    (table,) = make_tables(trials)
    assert [(row.label, row.mean, row.superseded) for row in table.rows] == [("mine", 50.5, False)]
    assert table.superseded == 1
    for form in FORMATS:
        assert "91.4" not in FORMATS[form]([table]), form
    line = "1 trial superseded by later trials of the same row is not shown; --all shows all"
    assert line in FORMATS["table"]([table])


def test_superseded_trials_can_be_shown_and_are_marked():
    other = trial("other", digest="f" * 64, evaluations=[evaluation([40.0, 41.2])])
    (table,) = make_tables([OLD, NEW, other], settings=Settings(every=True))
    assert [(row.name, row.superseded) for row in table.rows] == [
        ("mine (superseded)", True),
        ("mine", False),
        ("other", False),
    ]
    assert table.superseded == 0
    # It has the best mean, and does not compete.
    assert [row.result.standing.place for row in table.rows] == ["untested", "tie", "other"]
    assert table.comparisons[0].best == "mine"
    text = FORMATS["table"]([table])
    assert "superseded by a later trial of this row" in text
    assert "--all" not in text
    (content,) = json.loads(FORMATS["json"]([table]))
    assert [row["superseded"] for row in content["rows"]] == [True, False, False]
    (pivot,) = make_pivots(parse_question("accuracy"), [table])
    assert [row.name for row in pivot.rows] == ["mine (superseded)", "mine", "other"]


def test_superseded_trials_are_not_seeds_of_the_row():
    trials = [OLD, NEW, mine(2, 3, 60.0, seed=1, digest="1" * 64)]
    (table,) = make_tables(trials, settings=Settings(seeds="together", every=True))
    assert sorted((row.mean, row.seeds) for row in table.rows) == [(55.5, (0, 1)), (91.4, (0,))]
    assert [(spread.seeds, spread.mean) for spread in table.seeds] == [((0, 1), 55.5)]


def test_it_is_superseded_under_protocols_that_only_the_older_trial_has():
    old = mine(32, 1, 90.9, protocols=["linear-svm", "knn"])
    old.evaluations.append(evaluation([80.0, 81.0], text="knn"))
    assert [str(table.protocol) for table in make_tables([old, NEW])] == ["linear-svm"]
    every = {str(table.protocol): table for table in make_tables([old, NEW], settings=Settings(every=True))}
    assert [(row.mean, row.superseded) for row in every["knn"].rows] == [(80.5, True)]
    other = trial("other", digest="f" * 64, protocols=["knn"], evaluations=[evaluation([1.0, 2.0], text="knn")])
    knn = next(table for table in make_tables([old, NEW, other]) if str(table.protocol) == "knn")
    assert [row.label for row in knn.rows] == ["other"]
    assert knn.superseded == 1


def test_a_trial_that_failed_later_takes_the_place_too():
    failed = mine(2, 2, 0.0, status="failed", reason="no", evaluations=[])
    (table,) = make_tables([OLD, failed])
    assert [(row.mean, row.status) for row in table.rows] == [(None, "failed")]


@pytest.mark.parametrize(
    "changes",
    [
        {"benchmark": "yours"},
        {"label": "other"},
        {"dataset": replace(OLD.dataset, digest="e" * 64)},
        {"budget": Budget(epochs=8)},
        {"precision": "bf16"},
        {"seed": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_part_of_a_rows_key_makes_another_row(changes):
    other = replace(NEW, **changes)
    assert newest_of_each_row([OLD, other]) == [OLD, other]
    rows = [row for table in make_tables([OLD, other]) for row in table.rows]
    assert sorted(row.mean for row in rows) == [50.5, 91.4]
    assert sum(table.superseded for table in make_tables([OLD, other])) == 0


def test_a_label_is_enough_where_rows_differ_in_nothing_else():
    trials = [trial("ae", evaluations=[evaluation([2.0])]), trial("pca", digest="b" * 64, status="failed")]
    (table,) = make_tables(trials)
    assert [(row.name, row.method) for row in table.rows] == [("ae", "ae"), ("pca", "pca")]
    # A trial that did not reach the protocol has no code for it that could differ.
    again = trial("ae", seed=1, digest="d" * 64, status="failed")
    (table,) = make_tables([*trials, again])
    assert [row.name for row in table.rows] == ["ae (seed 0)", "ae (seed 1)", "pca (seed 0)"]
    assert {row.method for row in table.rows} == {"ae", "pca"}


def test_two_budgets_of_a_method_are_two_rows_that_say_so():
    trials = [
        trial("ae", evaluations=[evaluation([50.0, 51.0])]),
        trial("ae", digest="b" * 64, budget=Budget(epochs=8), evaluations=[evaluation([60.0, 61.0])]),
        trial("pca", digest="c" * 64, evaluations=[evaluation([40.0, 41.0])]),
    ]
    (table,) = make_tables(trials)
    assert [row.name for row in table.rows] == ["ae (8 epochs)", "ae (1 epoch)", "pca"]
    for form in ("table", "markdown", "latex"):
        text = FORMATS[form]([table])
        assert "ae (8 epochs)" in text, form
        assert "ae (1 epoch)" in text, form
    records = list(csv.DictReader(io.StringIO(FORMATS["csv"]([table]))))
    assert [(row["label"], row["budget"], row["precision"]) for row in records] == [
        ("ae", "8 epochs", "float32"),
        ("ae", "1 epoch", "float32"),
        ("pca", "1 epoch", "float32"),
    ]
    (content,) = json.loads(FORMATS["json"]([table]))
    assert [row["budget"] for row in content["rows"]] == ["8 epochs", "1 epoch", "1 epoch"]
    (pivot,) = make_pivots(parse_question("accuracy"), [table])
    assert [row.name for row in pivot.rows] == ["ae (8 epochs)", "ae (1 epoch)", "pca"]
    # Each is tested on its own, too.
    assert table.comparisons[0].methods == 3
    assert table.comparisons[0].best == "ae (8 epochs)"


def test_precisions_and_own_protocols_distinguish_rows_too():
    own = [protocol(f"linear-svm[pooling={way}]", table="linear-svm") for way in ("l2", "sum")]
    trials = [
        trial("ae", evaluations=[evaluation([50.0, 51.0])]),
        trial("ae", digest="b" * 64, precision="bf16", evaluations=[evaluation([49.0, 50.0])]),
        trial(
            "ica",
            digest="c" * 64,
            protocols=own,
            evaluations=[
                evaluation([value, value], text=str(one.call)) for value, one in zip((40.0, 41.0), own, strict=True)
            ],
        ),
    ]
    (table,) = make_tables(trials)
    assert [row.name for row in table.rows] == [
        "ae (float32)",
        "ae (bf16)",
        "ica (linear-svm[pooling=sum])",
        "ica (linear-svm[pooling=l2])",
    ]
    records = list(csv.DictReader(io.StringIO(FORMATS["csv"]([table]))))
    assert [row["precision"] for row in records] == ["float32", "bf16", "float32", "float32"]
    # They are not seeds of one row.
    (together,) = make_tables(trials, settings=Settings(seeds="together"))
    assert [(row.name, row.mean) for row in together.rows] == [(row.name, row.mean) for row in table.rows]
    assert table.seeds == ()


def test_seeds_and_budgets_are_named_together():
    trials = [
        trial(
            "ae",
            seed=seed,
            digest=f"{epochs}{seed}" * 32,
            budget=Budget(epochs=epochs),
            evaluations=[evaluation([epochs + seed, 1.0])],
        )
        for epochs in (1, 8)
        for seed in (0, 1)
    ]
    (table,) = make_tables(trials)
    assert sorted(row.name for row in table.rows) == [
        "ae (seed 0; 1 epoch)",
        "ae (seed 0; 8 epochs)",
        "ae (seed 1; 1 epoch)",
        "ae (seed 1; 8 epochs)",
    ]
    assert [(spread.label, spread.seeds) for spread in table.seeds] == [
        ("ae (1 epoch)", (0, 1)),
        ("ae (8 epochs)", (0, 1)),
    ]
    (table,) = make_tables(trials, settings=Settings(seeds="together"))
    assert [(row.name, row.mean) for row in table.rows] == [
        ("ae (seeds 0, 1; 8 epochs)", 4.75),
        ("ae (seeds 0, 1; 1 epoch)", 1.25),
    ]


def test_seeds_under_two_versions_of_the_protocol_are_not_one_row():
    trials = [
        trial("ae", evaluations=[evaluation([90.0, 91.0])]),
        trial("ae", seed=1, digest="b" * 64, evaluations=[evaluation([50.0, 51.0], version=2)]),
        trial("pca", seed=1, digest="c" * 64, evaluations=[evaluation([40.0, 41.2], version=2)]),
    ]
    for seeds in ("apart", "together"):
        (table,) = make_tables(trials, settings=Settings(seeds=seeds))
        assert [(row.name, row.mean) for row in table.rows] == [
            ("ae (seed 0; version 1)", 90.5),
            ("ae (seed 1; version 2)", 50.5),
            ("pca (seed 1)", 40.6),
        ]
        # The first does not compete, and does not take the standing of another seed.
        assert [row.result.standing.place for row in table.rows] == ["untested", "tie", "other"]
        assert table.seeds == ()


def test_budgets_are_not_seeds_of_one_method_in_ranks_either():
    def dataset(title: str) -> DataRecord:
        return DataRecord(
            call=Call(name=title), title=title, digest=(title * 64)[:64], shape=(1, 8, 8), unlabeled=9, train=9, test=4,
            classes=2, folds=2,
        )  # fmt: skip

    trials = [
        trial(
            label,
            digest=f"{number:x}" * 64,
            dataset=dataset(title),
            budget=Budget(epochs=epochs),
            evaluations=[evaluation([value, value])],
        )
        for number, (title, label, epochs, value) in enumerate(
            (title, label, epochs, value)
            for title in ("a", "b")
            for label, epochs, value in (("ae", 1, 10.0), ("ae", 8, 90.0), ("pca", 1, 60.0), ("dae", 1, 55.0))
        )
    ]
    (ranks,) = ranks_over_datasets(make_tables(trials))
    assert ranks.average == {"ae (8 epochs)": 1, "pca": 2, "dae": 3, "ae (1 epoch)": 4}
    old = [
        trial("dae", digest=digest * 64, dataset=dataset(title), evaluations=[evaluation([99.0, 99.0])])
        for title, digest in (("a", "8"), ("b", "9"))
    ]
    for one in trials:
        one.provenance["ended"] = "2026-01-01"
    assert ranks_over_datasets(make_tables([*trials, *old], settings=Settings(every=True))) == [ranks]
