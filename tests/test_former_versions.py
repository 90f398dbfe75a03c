"""Trials that version 0.1 wrote, with schema 1, are read, and reported as they were then."""

from __future__ import annotations

import pytest
from common import REPOSITORY
from trials import read_whole

from reprbench.report.table import make_tables
from reprbench.trial import Trial

FORMER = REPOSITORY / "tests" / "former"
"""Trials of the results that were committed then, without their figures."""

# Mean, standard deviation and folds of a few rows as the last version with schema 1 reported them (`reprbench report
# --format json` at commit c48276c; all 72 trials were compared when schema 2 came); standings, as tested over seeds.
RECORDED = {
    ("mnist", "linear-svm", "supervised", 0): (94.893, 0.25923155672101333, 10, "untested"),
    ("mnist", "linear-svm", "denoising-ameae", 0): (90.36699999999999, 0.25452111896658014, 10, "tie"),
    ("reconstruction-cifar10", "reconstruction[steps=100]", "AE", 0): (0.0055814385414123535, None, 1, "untested"),
    ("single-layer-cifar10", "linear-svm[pooling=sum]", "PCA", 0): (21.079, 1.1741503310905297, 10, "other"),
    ("table1-cifar10", "linear-svm[layers=all]", "AME-AE", 0): (42.048, 0.4111885212405626, 10, "tie"),
}
HOLE = ("reconstruction-cifar10", "interpolation", "DeconvNet", 0)


@pytest.fixture(scope="module")
def former() -> list[Trial]:
    return read_whole(FORMER)


def test_all_kinds_are_read(former):
    assert {one.method.kind for one in former} == {"unsupervised", "control", "supervised"}


def test_all_are_reported_as_before(former):
    rows = {
        (table.benchmark, str(table.protocol), row.label, row.seeds[0]): row
        for table in make_tables(former)
        for row in table.rows
    }
    for key, (mean, std, folds, place) in RECORDED.items():
        result = rows[key].result
        assert result.summary.mean == pytest.approx(mean, rel=1e-12), key
        assert result.summary.std == (std if std is None else pytest.approx(std, rel=1e-9)), key
        assert (len(result.by_fold), result.standing.place) == (folds, place), key
    assert rows[HOLE].mean is None
    assert rows[HOLE].status == "skipped"
