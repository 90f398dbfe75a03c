from __future__ import annotations

import json
import re

import numpy as np
import pytest
from trials import evaluation, trial

from reprbench.measurement import Curve, Measurement
from reprbench.report.curves import curve_key, curve_title, curves_of
from reprbench.report.formats.figures import panels_of
from reprbench.report.formats.html import as_html
from reprbench.report.row import Source
from reprbench.report.table import Settings, make_tables

CURVE = Curve("error", "level", {"kind": "mask"})


def measured(values: np.ndarray, levels=(0.5, 0.25), folds=(0, 1, 2), **other):
    """Return measurements of `values` by level, fold, and a coordinate that the curve does not fix."""
    return [
        Measurement("error", float(values[i, j, k]), "dB", "lower", {"level": x, "fold": fold, "kind": kind, "n": k})
        for i, x in enumerate(levels)
        for j, fold in enumerate(folds)
        for k in range(values.shape[2])
        for kind in ("mask", *other)
    ]


def seed(number: int, measurements, curves=(CURVE,)):
    found = evaluation([], headline="error", measurements=list(measurements), curves=list(curves))
    return trial(seed=number, digest=f"{number}" * 64, evaluations=[found])


def points(*trials):
    sources = [Source(one, one.protocols[0], one.evaluation(one.protocols[0])) for one in trials]
    return [[(point.x, point.mean, point.std) for point in found.points] for found in curves_of(sources)]


def test_a_point_is_mean_and_spread_over_folds_of_the_mean_over_seeds():
    values = np.random.default_rng(0).normal(size=(4, 2, 3, 2))
    found = points(*(seed(number, measured(one)) for number, one in enumerate(values)))
    folds = values.mean(axis=(0, 3))
    expected = [[x, folds[i].mean(), folds[i].std()] for i, x in ((1, 0.25), (0, 0.5))]
    np.testing.assert_allclose(found[0], expected)


def test_seeds_are_averaged_on_the_folds_that_all_of_them_have():
    values = np.arange(6.0).reshape(2, 3, 1)
    found = points(seed(0, measured(values)), seed(1, measured(10 * values, folds=(1, 2, 3))))
    # Folds 1 and 2 of both: 1, 2 with 0, 10 at 0.5; 4, 5 with 30, 40 at 0.25.
    at_025, at_05 = [np.array([4 + 30, 5 + 40]) / 2, np.array([1 + 0, 2 + 10]) / 2]
    np.testing.assert_allclose(found[0], [[0.25, at_025.mean(), at_025.std()], [0.5, at_05.mean(), at_05.std()]])


def test_an_x_that_one_seed_lacks_is_left_out():
    values = np.ones((2, 3, 1))
    assert [x for x, _, _ in points(seed(0, measured(values)), seed(1, measured(values, (0.25, 0.75))))[0]] == [0.25]


def test_a_single_value_has_no_spread():
    once = [Measurement("error", 2.0, "dB", "lower", {"level": 1, "kind": "mask"})]
    assert points(seed(0, once)) == [[(1.0, 2.0, None)]]


@pytest.mark.parametrize("x", ["high", True, None])
def test_an_x_that_is_not_a_number_is_not_on_a_curve(x):
    odd = Measurement("error", 2.0, "dB", "lower", {"level": x, "kind": "mask"})
    assert points(seed(0, [odd])) == []
    assert points(seed(0, [odd, *measured(np.ones((2, 3, 1)))])) == points(seed(0, measured(np.ones((2, 3, 1)))))


def test_other_coordinates_and_metrics_are_separate_curves():
    values = np.ones((2, 3, 1))
    both = seed(0, measured(values, other=True))
    assert points(both) == points(seed(0, measured(values)))
    assert curve_key(CURVE) != curve_key(Curve("error", "level", {"kind": "other"}))
    assert curve_key(Curve("e", "x", {"a": 1, "b": 2})) == curve_key(Curve("e", "x", {"b": 2, "a": 1}, title="t"))


def test_a_row_whose_protocol_did_not_run_has_no_curves():
    whole = seed(0, measured(np.ones((2, 3, 1))))
    hole = trial(seed=1, digest="1" * 64, status="timeout")
    assert points(whole)
    assert points(hole) == points(whole, hole) == points() == []


def test_a_curve_without_a_title_is_named_by_metric_and_place():
    assert curve_title(CURVE) == "error: mask"
    assert curve_title(Curve("error", "level")) == "error"
    assert curve_title(Curve("error", "level", {"kind": "mask"}, title="Error, masking")) == "Error, masking"


def test_charts_and_figures_show_the_same_points(tmp_path):
    values = np.random.default_rng(1).normal(size=(3, 2, 3, 2))
    trials = [seed(number, measured(one)) for number, one in enumerate(values)]
    text = as_html(make_tables(trials, settings=Settings(seeds="together")), [tmp_path], tmp_path)
    payload = json.loads(re.search(r'id="payload">(.*?)</script>', text)[1])
    ((chart,),) = [table["curves"] for table in payload["tables"]]
    ((panel,),) = panels_of(make_tables(trials)[0]).values()
    drawn = [[point.x, point.mean, point.std] for point in panel.lines[0].points]
    assert chart["lines"][0]["points"] == drawn
    assert (chart["y_label"], panel.unit) == ("error (dB)", "dB")
