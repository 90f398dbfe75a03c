"""Figures of sweeps show every setting, the one that is chosen, and those without a value."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest
from matplotlib.ticker import FixedLocator
from msgspec.structs import replace
from PIL import Image
from trials import swept

from reprbench.plotting import as_png
from reprbench.report.choice import Choice, choices
from reprbench.report.formats.figures import draw_all
from reprbench.report.formats.sweeps import CHOSEN, draw_sweep
from reprbench.report.table import Settings, make_tables

RATES = {"0.001": [(60, 90)], "0.01": [(80, 50)], "0.1": [None], "1.0": [(70, 99)]}


def grid(values=((70.0, None), (60.0, 90.0)), better="higher", **asked) -> Choice:
    """Return the choice of a sweep over two rates and two widths, with a value for each pair."""
    trials = []
    for rate, row in zip((0.1, 1.0), values, strict=True):
        for width, value in zip(("narrow", "wide"), row, strict=True):
            setting = {"lr": rate, "width": width}
            parameters = {"lr": [0.1, 1.0], "width": ["narrow", "wide"]}
            record = {"setting": setting, "parameters": parameters, "tries": 4, "name": str(setting), **asked}
            (one,) = swept({str(rate): [(value, 1) if value else None]}, seeds=(0,), better=better, asked=record)
            trials.append(replace(one, label=str(setting), hash=f"{len(trials)}" * 64))
    (found,) = choices(trials)
    return found


def lines(figure):
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}


def test_one_parameter_is_a_curve():
    (choice,) = choices(swept(RATES, seeds=(0,)))
    figure = draw_sweep(choice)
    drawn = lines(figure)
    np.testing.assert_array_equal(drawn["mean ± std over folds"], [(0.001, 60), (0.01, 80), (1, 70)])
    np.testing.assert_array_equal(drawn["chosen"], [(0.01, 80)])
    assert drawn["no value"][:, 0].tolist() == [0.1]
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_xlabel(), axes.get_ylabel()) == ("log", "lr", "Inner accuracy (%)")


def test_values_close_to_each_other_are_on_a_linear_axis():
    (choice,) = choices(swept({"1.0": [(1, 1)], "9.0": [(2, 1)]}, seeds=(0,)))
    assert draw_sweep(choice).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize(
    ("better", "place"), [("higher", (0.5, 0.5)), ("lower", (-0.5, 0.5))]
)  # lower left corners, in cells: the second parameter across, the first down
def test_two_parameters_of_a_grid_are_a_heat_map(better, place):
    figure = draw_sweep(grid(better=better))
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array().filled(np.nan), [[70, np.nan], [60, 90]])
    assert [text.get_text() for text in axes.texts] == ["70.0", "no value", "60.0", "90.0"]
    assert [one.get_text() for one in axes.get_xticklabels()] == ["narrow", "wide"]
    assert [one.get_text() for one in axes.get_yticklabels()] == ["0.1", "1.0"]
    (frame,) = axes.patches
    assert (frame.get_xy(), axes.get_xlabel(), axes.get_ylabel()) == (place, "width", "lr")


def test_settings_that_were_drawn_are_points_in_a_panel_each():
    choice = grid(parameters={"lr": {"kind": "log", "low": 0.1, "high": 1}, "width": ["narrow", "wide"]})
    figure = draw_sweep(choice)
    assert [axes.get_xlabel() for axes in figure.axes] == ["lr", "width"]
    assert sorted(map(tuple, lines(figure)["a setting"])) == [(0.1, 70), (1, 60), (1, 90)]
    assert [one.get_text() for one in figure.axes[1].get_xticklabels()] == ["narrow", "wide"]


def test_values_that_were_drawn_have_no_tick_each_as_they_may_lie_close():
    drawn = {"lr": {"kind": "log", "low": 0.09, "high": 1}, "width": ["narrow", "wide"]}
    listed, close = (
        draw_sweep(grid(parameters=parameters)).axes[0].xaxis.get_major_locator()
        for parameters in ({"lr": [0.1, 1.0], "width": {"kind": "int", "low": 1, "high": 2}}, drawn)
    )
    assert isinstance(listed, FixedLocator)
    assert not isinstance(close, FixedLocator)


def test_a_parameter_with_one_value_in_all_settings_has_no_panel():
    choice = grid(parameters={"lr": {"kind": "log", "low": 0.1, "high": 1}, "width": ["narrow", "wide"]})
    narrow = dataclasses.replace(
        choice, settings=tuple(one for one in choice.settings if one.setting["width"] == "narrow")
    )
    assert [axes.get_xlabel() for axes in draw_sweep(narrow).figure.axes] == ["lr"]


def test_a_sweep_without_any_value_can_be_drawn():
    for choice in (grid(((None, None), (None, None))), *choices(swept({"1.0": [None], "2.0": [None]}, seeds=(0,)))):
        assert Image.open(BytesIO(as_png(draw_sweep(choice)))).size[0] > 100


def test_the_chosen_setting_is_in_its_own_color():
    pixels = np.asarray(Image.open(BytesIO(as_png(draw_sweep(grid())))).convert("RGB")).reshape(-1, 3)
    assert (pixels == [int(CHOSEN[at : at + 2], 16) for at in (1, 3, 5)]).all(axis=1).sum() > 100


def test_figures_are_files_on_request(tmp_path):
    trials = swept(RATES, row="A $x$ [lr=1|2]", seeds=(0,))
    assert draw_all(make_tables(trials), [], tmp_path) == []
    (path,) = draw_all(make_tables(trials, settings=Settings(sweeps=True)), [], tmp_path)
    assert path.name == "mine-sweep-A-x-lr-1-2.png"
    assert path.exists()
