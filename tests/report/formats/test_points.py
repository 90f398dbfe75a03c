"""The figure of tables: a point for each row."""

from __future__ import annotations

import pytest
from trials import evaluation, trial

from reprbench.errors import UserError
from reprbench.plotting import as_png
from reprbench.report.formats.points import LONGEST_NAME, draw_points
from reprbench.report.table import make_tables


def test_points_are_the_means_and_bars_the_spreads():
    done = [trial(name, digest=name * 64, evaluations=[evaluation(values)]) for name, values in
            (("a", [90.0, 92.0]), ("b", [70.0, 80.0]))]  # fmt: skip
    (axes,) = draw_points(make_tables([*done, trial("c", digest="c" * 64, status="failed", reason="x")])).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c: failed"]
    drawn = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert drawn == [91.0, 75.0]
    bars = [container.lines[2][0].get_segments()[0][:, 0].tolist() for container in axes.containers]
    assert bars == [[90.0, 92.0], [70.0, 80.0]]
    assert axes.get_xlabel() == "Accuracy (%)"


def test_each_table_with_a_result_has_a_panel():
    both = trial("a", protocols=["linear-svm", "knn"], evaluations=[evaluation([1.0, 2.0])])
    assert len(draw_points(make_tables([both])).axes) == 1
    with pytest.raises(UserError, match="nothing to draw"):
        draw_points(make_tables([trial("a")]))


def test_long_and_odd_names_can_be_drawn():
    figure = draw_points(make_tables([trial("$x_{" + "y" * 500, evaluations=[evaluation([1.0, 2.0])])]))
    assert as_png(figure)
    assert len(figure.axes[0].get_yticklabels()[0].get_text()) <= LONGEST_NAME + 2  # a backslash, an ellipsis
