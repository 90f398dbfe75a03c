from __future__ import annotations

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_hex
from msgspec.structs import replace
from PIL import Image
from trials import evaluation, trial

from reprbench.measurement import Curve, Measurement
from reprbench.plotting import LARGEST_BYTES
from reprbench.report.formats import as_markdown, as_terminal
from reprbench.report.formats.figures import draw_all, draw_curves, draw_ranks, panels_of
from reprbench.report.formats.html import as_html
from reprbench.report.ranks import Ranks, ranks_over_datasets
from reprbench.report.table import Settings, make_tables
from reprbench.spec import Budget, Call
from reprbench.trial import DataRecord

LEVELS = (0, 0.2, 0.4)
KINDS = ("mask", "noise", "blur")
METRIC = ("probe accuracy", "level")


def robust(label: str, digest: str, top: float, seed: int = 0):
    measurements = [
        Measurement(
            metric="probe accuracy",
            value=top - 10 * level + fold,
            unit="%",
            better="higher",
            at={"fold": fold, "corruption": kind, "level": level},
        )
        for kind in KINDS
        for level in LEVELS
        for fold in range(3)
    ]
    found = evaluation([], text="robustness", headline="probe accuracy", measurements=measurements)
    found.curves = [
        Curve(metric="probe accuracy", x="level", at={"corruption": kind}, title=f"Probe accuracy (%), {kind}")
        for kind in KINDS
    ]
    return trial(label, seed=seed, digest=digest * 64, protocols=["robustness"], evaluations=[found])


TRIALS = [robust("a", "a", 50.0), robust("b", "b", 60.0), robust("b", "c", 62.0, seed=1)]


def panels(trials=TRIALS):
    (table,) = make_tables(trials)
    return panels_of(table)


def test_curves_of_one_metric_are_the_panels_of_one_figure():
    found = panels()
    assert list(found) == [("probe accuracy", "level")]
    assert [panel.curve.at["corruption"] for panel in found[METRIC]] == list(KINDS)


def test_a_line_is_the_mean_over_seeds_fold_by_fold():
    lines = panels()[METRIC][0].lines
    for name, mean in (("a", 49.0), ("b", 60.0)):
        point = point_of(lines, name, 0.2)
        assert (point.mean, point.std) == pytest.approx((mean, np.std([0, 1, 2])))


def point_of(lines, name: str, x: float):
    (found,) = [line for line in lines if line.name == name]
    return next(point for point in found.points if point.x == x)


def mean_of(lines, name: str, x: float) -> float:
    return point_of(lines, name, x).mean


def test_a_seed_whose_protocol_did_not_run_is_not_part_of_the_line():
    hole = trial("b", seed=2, digest="d" * 64, status="timeout", protocols=["robustness"])
    lines = panels([*TRIALS, hole])[METRIC][0].lines
    assert lines == panels()[METRIC][0].lines


def test_a_superseded_trial_is_not_drawn():
    old = replace(robust("a", "e", 10.0), provenance={"ended": "2026-01-01"})
    new = replace(robust("a", "f", 90.0), provenance={"ended": "2026-01-02"})
    (table,) = make_tables([old, new], settings=Settings(every=True))
    assert len(table.rows) == 2
    assert mean_of(panels_of(table)[METRIC][0].lines, "a", 0.2) == pytest.approx(89.0)


def test_two_budgets_of_a_method_are_two_lines():
    longer = replace(robust("a", "e", 90.0), budget=Budget(epochs=8))
    lines = panels([*TRIALS, longer])[METRIC][0].lines
    assert {one.name: mean_of(lines, one.name, 0.2) for one in lines} == pytest.approx(
        {"a (8 epochs)": 89.0, "b": 60.0, "a (1 epoch)": 49.0}
    )


def test_two_methods_of_one_name_are_two_lines_in_every_panel():
    # Labels that differ in what no name shows: here the second looks like the first with its budget.
    other = replace(robust("a", "e", 90.0), budget=Budget(epochs=8))
    trials = [*TRIALS, other, robust("a (8 epochs)", "f", 70.0)]
    found = panels(trials)[METRIC]
    assert [[(one.method, one.name) for one in panel.lines] for panel in found] == [
        [(0, "a (8 epochs)"), (1, "a (8 epochs)"), (2, "b"), (3, "a (1 epoch)")]
    ] * len(found)
    figure = draw_curves(found)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [one.name for one in found[0].lines]
    assert len({handle.get_color() for handle in legend.get_lines()}) == 4


def test_a_panel_has_its_coordinates_as_title_and_a_single_one_its_own_title():
    found = panels()[METRIC]
    assert [axis.get_title() for axis in draw_curves(found).axes[:3]] == ["Mask", "Noise", "Blur"]
    assert draw_curves(found[:1]).axes[0].get_title() == "Probe accuracy (%), mask"


def test_a_figure_draws_means_spreads_and_one_legend():
    figure = draw_curves(panels()[METRIC])
    first = figure.axes[0]
    drawn = {one.get_label(): one for one in first.get_lines()}
    assert np.allclose(drawn["b"].get_ydata(), [62, 60, 58])
    low, high = first.collections[0].get_datalim(first.transData).get_points()[:, 1]
    assert high - low == pytest.approx(4 + 2 * np.std([0, 1, 2]))
    assert first.get_ylabel() == "Probe accuracy (%)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a"]
    assert all(axis.get_legend() is None for axis in figure.axes)


def test_a_method_has_the_same_color_in_every_panel():
    figure = draw_curves(panels()[METRIC])
    colors = [{one.get_label(): to_hex(one.get_color()) for one in axis.get_lines()} for axis in figure.axes[:3]]
    assert colors[0] == colors[1] == colors[2]
    assert colors[0]["a"] != colors[0]["b"]


def test_more_methods_than_colors_have_distinct_styles():
    many = [robust(f"m{number}", f"{number:x}", 40.0 + number) for number in range(10)]
    figure = draw_curves(panels(many)[METRIC])
    looks = {(one.get_color(), one.get_marker(), one.get_linestyle()) for one in figure.axes[0].get_lines()}
    assert len(looks) == 10


def test_files_are_written_small_and_named(tmp_path):
    written = draw_all(make_tables(TRIALS), [], tmp_path / "figures")
    assert [path.name for path in written] == ["mine-robustness-probe-accuracy-level.png"]
    assert written[0].stat().st_size <= LARGEST_BYTES
    with Image.open(written[0]) as image:
        assert image.width > 500


def test_no_curves_no_files(tmp_path):
    plain = [trial("a", evaluations=[evaluation([1.0])])]
    assert draw_all(make_tables(plain), [], tmp_path / "figures") == []


def on(title: str, scores: dict[str, float]):
    data = DataRecord(
        call=Call(name=title),
        title=title,
        digest=title * 8,
        shape=(1, 8, 8),
        unlabeled=9,
        train=900,
        test=4,
        classes=2,
        folds=2,
    )
    return [
        trial(label, digest=f"{title}{number}" * 16, dataset=data, evaluations=[evaluation([score, score + 1])])
        for number, (label, score) in enumerate(scores.items())
    ]


def test_ranks_are_averaged_over_datasets_of_shared_methods():
    tables = make_tables(
        [
            *on("one", {"a": 3.0, "b": 2.0, "c": 1.0, "only here": 9.0}),
            *on("two", {"A": 3.0, "b": 1.0, "c": 2.0}),
        ]
    )
    (ranks,) = ranks_over_datasets(tables)
    assert dict(ranks.average) == {"a": 1.0, "b": 2.5, "c": 2.5}
    assert ranks.datasets == ("one", "two")
    assert "a 1.00, b 2.50, c 2.50" in str(ranks)


def test_ranks_are_under_the_tables_and_on_the_page(tmp_path):
    trials = [*on("one", {"<a>": 3.0, "b": 2.0, "c": 1.0}), *on("two", {"<a>": 3.0, "b": 1.0, "c": 2.0})]
    tables = make_tables(trials)
    words = "average ranks over one, two: <a> 1.00, b 2.50, c 2.50; Friedman p = "
    assert words in as_terminal(tables).splitlines()[-1]
    assert words.replace("<a>", "&lt;a&gt;") in as_markdown(tables).splitlines()[-1]
    page = as_html(tables, [tmp_path], tmp_path)
    assert words.replace("<a>", "&lt;a&gt;") in page
    content = base64.b64decode(re.search(r'<img src="data:image/png;base64,([^"]+)" alt="Critical', page)[1])
    assert np.asarray(Image.open(BytesIO(content))).std() > 10
    alone = make_tables(on("one", {"a": 3.0, "b": 2.0, "c": 1.0}))
    assert "ranks" not in as_terminal(alone)
    assert 'id="ranks"' not in as_html(alone, [tmp_path], tmp_path)


def test_two_methods_or_one_dataset_have_no_ranks():
    assert ranks_over_datasets(make_tables(on("one", {"a": 3.0, "b": 2.0, "c": 1.0}))) == []
    two = [*on("one", {"a": 3.0, "b": 2.0}), *on("two", {"a": 3.0, "b": 2.0})]
    assert ranks_over_datasets(make_tables(two)) == []


def test_bars_join_methods_that_the_test_does_not_distinguish():
    average = {"a": 1.0, "b": 1.5, "c": 3.0, "d": 3.9}
    figure = draw_ranks(Ranks("linear-svm", ("x", "y"), average, 0.01, 1.0))
    bars = [one.get_xdata() for one in figure.axes[0].get_lines() if one.get_linewidth() == 3]
    assert [[round(float(x), 2) for x in bar] for bar in bars] == [[0.97, 1.53], [2.97, 3.93]]
