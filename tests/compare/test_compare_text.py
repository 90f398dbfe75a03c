from __future__ import annotations

import json

import pytest
from msgspec.structs import replace
from pairs import FOLDS, NOISE, STL10, compared, row
from trials import evaluation

from reprbench.compare.text import as_json, as_markdown, as_terminal, worse_sentences
from reprbench.spec import Budget


def test_of_many_rows_that_only_one_store_has_some_are_named(tmp_path):
    both = row(FOLDS, "both")
    report = compared(tmp_path, [both, *(row(FOLDS, f"old {n:02}, of 20") for n in range(20 + 3))], [both])
    (line,) = (line for line in as_terminal(report).splitlines() if line.startswith("only in BASE"))
    assert line.count("; mine: old") == 20 - 1, "labels may have commas"
    assert line.endswith("; and 3 more")


def test_names_are_literal_in_markdown_and_lines_stay_lines(tmp_path):
    name = "<script>alert(1)</script> | [x](http://y) @all *b*\n::error::z"
    text = as_markdown(compared(tmp_path, [row(FOLDS, name)], [row(FOLDS, name)]))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "\\[x\\](http:" in text
    assert "@all" not in text
    assert "\\*b\\*" in text
    cells = [line for line in text.splitlines() if "script" in line]
    assert len(cells) == 1
    # Only the row's own bars separate cells.
    assert len(cells[0].replace("\\|", "").split("|")) == 10
    assert not any(line.startswith("::") for line in text.splitlines())


def test_a_long_comparison_is_cut_in_print_and_complete_in_json(tmp_path):
    labels = [f"m{number:03}" for number in range(200 + 5)]
    base = [row(FOLDS, label) for label in labels]
    new = [row(FOLDS - 20 * (label == "m150"), label) for label in labels]
    report = compared(tmp_path, base, new)
    text = as_markdown(report)
    assert len(text) < 65_000
    assert "m150" in text.splitlines()[4]
    assert "5 more are not shown; --format json has all of them" in text.splitlines()
    content = json.loads(as_json(report))
    assert (len(content["comparisons"]), content["status"], content["counts"]["worse"]) == (200 + 5, 1, 1)
    assert content["comparisons"][0]["difference"] == pytest.approx(-20)


def test_rows_of_one_label_are_shown_with_what_sets_them_apart(tmp_path):
    base = [row(FOLDS), row(FOLDS, budget=Budget(epochs=8)), row(FOLDS, "dae")]
    new = [row(FOLDS), row(FOLDS - 9 + NOISE, budget=Budget(epochs=8)), row(FOLDS, "dae", seed=1)]
    report = compared(tmp_path, base, new)
    assert worse_sentences(report)[0].startswith("mine: ae (8 epochs, seed 0), linear-svm: accuracy [%] ")
    text = as_terminal(report)
    assert "mine: ae (1 epoch, seed 0)" in text
    assert "only in BASE, not compared (1): mine: dae (seed 0)" in text


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"budget": Budget(images=500)}, ("1 epoch", "500 images")),
        ({"precision": "bf16"}, ("float32", "bf16")),
        ({"dataset": replace(STL10, digest="0123456789")}, ("data dddddddd", "data 01234567")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_with_nothing_to_compare_the_rows_say_why(tmp_path, changes, shown):
    text = as_terminal(compared(tmp_path, [row(FOLDS)], [row(FOLDS, **changes)]))
    assert f"only in BASE, not compared (1): mine: ae ({shown[0]}, seed 0)" in text
    assert f"only in NEW, not compared (1): mine: ae ({shown[1]}, seed 0)" in text


def test_json_has_the_values_of_a_row_unchanged(tmp_path):
    def store(shift, precision="float32"):
        measured = {"at": {"level": 0.5}}
        found = evaluation([60.0 + shift], "knn[k=3]", measured=measured)
        return row([], protocols=["knn[k=3]"], evaluations=[found], budget=Budget(epochs=8), precision=precision)

    content = json.loads(as_json(compared(tmp_path, [store(0)], [store(-1), store(0, "bf16")])))
    key = {"benchmark": "mine", "label": "ae", "digest": "d" * 64, "budget": "8 epochs"}
    (found,) = content["comparisons"]
    expected = {
        **key, "precision": "float32", "dataset": "STL-10", "protocol": "knn[k=3]", "seeds": [[0], [0]],
        "metric": "accuracy", "at": {"level": 0.5}, "unit": "%", "better": "higher", "base": 60.0, "new": 59.0,
        "difference": -1.0, "folds": 0, "p": None, "adjusted": None, "tolerance": 0.0, "verdict": "worse", "notes": [],
    }  # fmt: skip
    assert found == expected
    assert content["only_new"] == [{**key, "precision": "bf16", "seed": 0}]
    assert content["only_base"] == []


def table(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_outcome_and_the_numbers_of_every_row_are_shown_as_they_are(tmp_path):
    base = [row([60.0], "1e5"), row([50.0], "007"), row([40.0], "c"), row(FOLDS, "d")]
    new = [row([59.5], "1e5"), row([50.25], "007"), row([40.0], "c"), row(FOLDS - 20 + NOISE, "d")]
    text = as_markdown(compared(tmp_path, base, new))
    assert "NEW is worse: 2 worse, 1 better, 1 same" in text.splitlines()[0]
    header, _, *rows = table(text)
    assert header[-4:] == ["BASE", "NEW", "Difference", "p"]
    cells = {cells[1].split()[1]: (cells[0], *cells[-4:]) for cells in rows}
    assert cells.pop("d")[-1] == "&lt; 0.001"
    assert cells == {
        "1e5": ("WORSE", "60", "59.5", "-0.5", "—"),
        "007": ("better", "50", "50.25", "+0.25", "—"),
        "c": ("same", "40", "40", "+0", "—"),
    }
    assert "NEW is no worse: 4 same" in as_terminal(compared(tmp_path / "same", base, base)).splitlines()[0]
