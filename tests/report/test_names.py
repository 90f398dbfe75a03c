from __future__ import annotations

from trials import evaluation, trial

from reprbench.report.names import chart_names, method_names
from reprbench.report.row import without_seed
from reprbench.report.table import Settings, make_tables
from reprbench.spec import Budget


def rows(*trials, every: bool = False):
    (table,) = make_tables(trials, settings=Settings(every=every))
    return sorted(table.rows, key=lambda row: row.sources[0].trial.hash)


def one(digest: str, label: str = "ae", **changes):
    return trial(label, digest=digest * 64, evaluations=[evaluation([1.0, 2.0])], **changes)


def test_a_label_is_enough_where_rows_differ_in_nothing_else():
    assert chart_names(rows(one("0", "ae"), one("1", "pca"))) == ["ae", "pca"]


def test_a_name_has_what_rows_of_one_label_differ_in():
    budgets = rows(one("0"), one("1", budget=Budget(epochs=8)), one("2", "pca"))
    assert chart_names(budgets) == ["ae, 1 epochs", "ae, 8 epochs", "pca"]
    precisions = rows(one("0", seed=1), one("1", seed=1, precision="bf16"), one("2", "pca", seed=2))
    assert chart_names(precisions) == ["ae (seed 1), float32", "ae (seed 1), bf16", "pca (seed 2)"]


def test_a_superseded_row_says_so():
    found = rows(one("0", provenance={"ended": "2026-01-01"}), one("1", provenance={"ended": "2026-01-02"}), every=True)
    assert chart_names(found) == ["ae, superseded", "ae"]


def test_a_method_has_one_name_whatever_its_seeds():
    found = rows(one("0"), one("1", seed=1), one("2", budget=Budget(epochs=8)), one("3", "pca"))
    names = method_names(without_seed(row.key) for row in found)
    assert list(names.values()) == ["ae, 1 epochs", "ae, 8 epochs", "pca"]
