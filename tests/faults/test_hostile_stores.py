"""A store with absurd trials: each is refused with a line that names its file, or costs at most its own row."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from trials import evaluation, trial

from reprbench.benchmark import Reference
from reprbench.measurement import Curve, Headline, Measurement
from reprbench.report.formats.figures import draw_all
from reprbench.report.significance import corrected_resampled_t_test, seeds_t_test
from reprbench.report.statistics import summarize, summarize_seeds
from reprbench.report.table import make_tables
from reprbench.report.text import fixed, plus_minus
from reprbench.report.trial_files import file_of
from reprbench.trial import Cost, to_json

DIGITS = int("9" * 400)
LEVELS = [
    Measurement("accuracy", 80.0 - level, "%", "higher", {"fold": fold, "level": level})
    for fold in (0, 1)
    for level in (1, 2)
]
CURVE = Curve("accuracy", "level")


def content(number: int, **changes: Any) -> Any:
    """Return the JSON of a good trial, with `changes`."""
    found = evaluation([], measurements=LEVELS, headlines=[Headline("accuracy", {"level": 1})], curves=[CURVE])
    plain: dict[str, Any] = {
        "evaluations": [found],
        "reference": Reference(value=79.0, citation="A paper"),
        "cost": Cost(parameters=10, fit_seconds=2.0, evaluation_seconds=1.0, peak_memory=2**20),
        "provenance": {"ended": "2026-01-01"},
    }
    return to_json(trial(f"label {number}", digest=f"{number:08}".ljust(64, "0"), **{**plain, **changes}))


def changed(number: int, *path: Any, to: Any) -> Any:
    """Return the JSON of a good trial with another value at a path."""
    part = whole = content(number)
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = to
    return whole


REFUSED: list[tuple[tuple[Any, ...], Any]] = [
    (("reference", "value"), 1e200),
    (("reference", "spread"), 1e300),
    (("budget", "epochs"), DIGITS),
    (("budget", "images"), 10**30),
    (("seed",), DIGITS),
    (("seed",), -1),
    (("identity", "numerics"), DIGITS),
    (("dataset", "limit"), DIGITS),
    (("dataset", "train"), 10**30),
    (("dataset", "unlabeled"), -1),
    (("dataset", "shape"), [1, 10**30, 8]),
    (("dataset", "folds"), 10**30),
    (("dataset", "fold_size"), 10**30),
    (("cost", "parameters"), DIGITS),
    (("cost", "encode_flops"), 10**30),
    (("cost", "fit_seconds"), 1e300),
    (("cost", "peak_memory"), 10**30),
    (("evaluations", 0, "seconds"), 1e300),
    (("evaluations", 0, "code", "version"), DIGITS),
    (("evaluations", 0, "measurements", 0, "value"), 1e200),
    (("evaluations", 0, "measurements", 0, "at", "level"), DIGITS),
    (("evaluations", 0, "measurements", 0, "at", "level"), 1e300),
    (("evaluations", 0, "headlines"), []),
]
SHOWN: list[tuple[tuple[Any, ...], Any]] = [
    (("reference", "value"), 1e150),
    (("reference", "value"), -0.0),
    (("reference", "value"), 1e-300),
    (("reference", "tolerance"), 1e150),
    (("budget", "epochs"), 2**63 - 1),
    (("seed",), 2**63 - 1),
    (("dataset", "folds"), 0),
    (("dataset", "fold_size"), 9),
    (("cost", "parameters"), 2**63 - 1),
    (("cost", "fit_seconds"), 1e12),
    (("cost", "peak_memory"), 2**63 - 1),
    (("evaluations", 0, "measurements"), []),
    (("evaluations", 0, "measurements", 0, "value"), 1e150),
    (("evaluations", 0, "measurements", 0, "value"), 5e-324),
    (("evaluations", 0, "measurements", 0, "at", "fold"), "x\n"),
    (("evaluations", 0, "measurements", 0, "at", "level"), 2**63 - 1),
    (("evaluations", 0, "measurements", 0, "at", "level"), -1e150),
    (("evaluations", 0, "curves", 0, "log"), True),
    (("evaluations", 0, "curves", 0, "title"), "$\\frac{$ \x1b" + "x" * 100_000),
    (("label",), "=1+1|\x1b[31m" + "x" * 100_000),
    (("label",), "\\$\\nothing$ \u202e"),
    (("method", "parameters"), {"width": DIGITS, "=x": "\x9b"}),
    (("dataset", "title"), "\n| a |\n"),
]
FORMATS = ("table", "markdown", "latex", "csv", "json", "html")


def write(store: Path, trials: list[Any]) -> None:
    for number, one in enumerate(trials):
        folder = store / "mine" / "ae" / f"{number}-{number:08}"
        folder.mkdir(parents=True)
        (folder / "trial.json").write_text(json.dumps(one))


@pytest.fixture
def stores(tmp_path):
    """Two stores, the second of better values; of both the first trial is good, and so is a seed of it."""
    hostile = [changed(number, *path, to=value) for number, (path, value) in enumerate(REFUSED + SHOWN, start=2)]
    write(tmp_path / "results", [content(0), {**content(1), "label": "label 0", "seed": 1}, *hostile])
    write(tmp_path / "other", [content(0), {**content(1), "label": "label 0", "seed": 1}, *hostile[::-1]])
    return tmp_path


def skipped(done: Any) -> list[str]:
    return [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "options", [(), ("--seeds", "together"), ("--pivot", "accuracy"), ("--test", "wilcoxon", "--all")]
)
def test_a_report(here, stores, form, options):
    if form == "html" and "--pivot" in options:
        return
    done = here("report", "--format", form, *options)
    assert done.returncode == 0, done.stderr
    assert len(skipped(done)) == len(REFUSED)
    for number, line in enumerate(skipped(done), start=2):
        assert line.startswith("Warning: results/mine/ae/")
        assert len(line) < 400, number
    assert "label 0" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 7_000 or form in ("html", "csv", "json")


def test_every_good_number_is_in_the_data(here, stores):
    (table,) = json.loads(here("report", "--format", "json").stdout)
    rows = {row["label"]: row for row in table["rows"]}
    assert rows["label 0"]["results"][0]["mean"] == 79.0
    (row,) = [
        row for row in csv.DictReader(io.StringIO(here("report", "--format", "csv").stdout)) if row["seeds"] == "1"
    ]
    assert (row["label"], float(row["mean"])) == ("label 0", 79.0)


def test_figures(here, stores):
    done = here("report", "--figures", "drawn", "--format", "csv")
    assert done.returncode == 0, done.stderr
    drawn = list((stores / "drawn").iterdir())
    assert drawn
    assert len(drawn) == sum(line.startswith("wrote ") for line in done.stderr.splitlines())


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
@pytest.mark.parametrize("options", [(), ("--ignore-seeds",), ("--all",)])
def test_a_comparison(here, stores, form, options):
    done = here("compare", "results", "other", "--format", form, *options)
    assert done.returncode in (0, 1), done.stderr
    assert sum(": skipped: " in line for line in skipped(done)) == 2 * len(REFUSED)
    assert "label 0" in done.stdout


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_trial_that_can_be_read_is_shown(here, stores, form):
    for number in range(2 + len(REFUSED), 2 + len(REFUSED + SHOWN)):
        done = here("show", f"mine/ae/{number}-{number:08}", "--format", form)
        assert done.returncode == 0, done.stderr


def test_each_trial_that_cannot_be_read_is_named(here, stores):
    for number in range(2, 2 + len(REFUSED)):
        done = here("show", f"mine/ae/{number}-{number:08}")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"{number}-{number:08}/trial.json: cannot be read: " in line


def test_a_figure_that_is_no_file_is_not_read(tmp_path):
    one = trial("ae")
    one.path = str(tmp_path / "trial.json")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "map.png").write_bytes(b"")
    assert file_of(one, "pipe") is None
    assert file_of(one, "map.png") == tmp_path / "map.png"
    assert file_of(one, "missing.png") is None


@pytest.mark.filterwarnings("ignore:constrained_layout", "ignore:Glyph")
def test_names_in_figures_are_literal_short_and_files_unique(tmp_path):
    metrics = ["$\\frac{$ a", "frac-A", "日", "本", "x" * 300, "../" * 200]
    found = [replace(one, metric=metric) for metric in metrics for one in LEVELS]
    curves = [Curve(metric, "level", title="$x^$" * 9, x_label="$\\nothing$") for metric in metrics]
    one = trial("$\\frac{$\ud800" + "m" * 10_000, evaluations=[evaluation([], measurements=found, curves=curves)])
    paths = draw_all(make_tables([one]), [], tmp_path / "drawn")
    assert len(paths) == len(metrics)
    assert sorted(paths) == sorted((tmp_path / "drawn").iterdir())
    assert len({path.name.casefold() for path in paths}) == len(metrics)
    assert max(Image.open(path).width for path in paths) < 2_500


@pytest.mark.parametrize("exponent", [-500, -200, 200, 480])
def test_intervals_do_not_depend_on_the_scale(exponent):
    table = np.array([[1.0, 2.5, 2.0], [3.0, 2.0, 4.5]])
    scale = 2.0**exponent
    one, scaled = summarize_seeds(table, 0.3), summarize_seeds(table * scale, 0.3)
    assert scaled.half_width == one.half_width * scale
    assert seeds_t_test(table, table[::-1] + 1, 0.3).p == seeds_t_test(table * scale, (table[::-1] + 1) * scale, 0.3).p


def test_there_is_no_interval_where_it_is_not_finite():
    assert summarize_seeds([[1.0, 1.0], [1.0, 1.0]], math.inf).half_width is None
    assert summarize_seeds([[1.0, 1.0], [2.0, 2.0]], math.inf).half_width is None
    assert summarize([1e150, -1e150], 1e12).half_width is None
    assert corrected_resampled_t_test([1e-200, 2e-200], math.inf).p == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e150, "1.00e+150"), (-1e12, "-1.00e+12"), (999_999_999_999.0, "999999999999.0"), (1e-300, "0.0"), (2.25, "2.2")],
)
def test_a_huge_number_is_short(value, text):
    assert fixed(value) == text
    assert plus_minus(value, value) == f"{text} ± {text}"
