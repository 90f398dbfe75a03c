"""``reprbench report`` as a user types it, on fabricated stores."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from common import status_here
from msgspec.structs import replace
from trials import evaluation, method, trial

from reprbench.store import Store


@pytest.fixture
def stores(tmp_path, monkeypatch):
    first, second = Store(tmp_path / "results"), Store(tmp_path / "more")
    first.write(trial("AE", evaluations=[evaluation([50.0, 51.0, 52.5])]), {})
    first.write(trial("AE", seed=1, digest="b" * 64, evaluations=[evaluation([50.5, 51.0, 52.0])]), {})
    second.write(trial("PCA", digest="c" * 64, method=method("pca"), evaluations=[evaluation([40.0, 41.0, 42.5])]), {})
    broken = tmp_path / "more/mine/ae/9-99999999/trial.json"
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def report(stores, capsys):
    """Run the command in this process; return exit status, output and messages."""

    def run(*words: str) -> tuple[int, str, str]:
        status = status_here("report", *words)
        output = capsys.readouterr()
        return status, output.out, output.err

    return run


def test_several_stores_are_one_report_and_a_broken_file_is_a_warning(report):
    status, text, messages = report("results", "more")
    assert status == 0
    assert "AE (seed 1)" in text
    assert "PCA" in text
    assert "Warning: " in messages
    assert "9-99999999" in messages


def test_another_test_is_named_under_the_table(report, stores):
    Store(stores / "more").write(
        trial("PCA", seed=1, digest="d" * 64, method=method("pca"), evaluations=[evaluation([40.0, 41.5, 42.5])]), {}
    )
    for words, name in (((), "t-test of differences"), (("--test", "wilcoxon"), "Wilcoxon's signed ranks")):
        status, text, _ = report("results", "more", *words)
        assert (status, name in text) == (0, True)


MINE = """
title: Mine
dataset: digits
budget: {epochs: 1}
methods:
  - {method: pca, label: PCA, group: Controls}
  - {method: ae, label: AE, group: Learners}
  - {method: dae, label: DAE, group: Learners, reference: {value: 60.0, citation: Somebody}}
"""


def test_the_file_of_ones_own_benchmark_gives_order_and_rows_that_were_not_run(report, stores):
    (stores / "mine.yaml").write_text(MINE)
    status, text, _ = report("results", "more", "--benchmark", "mine.yaml")
    assert status == 0
    lines = text.splitlines()
    assert lines[:2] == ["mine: Digits, linear-svm", "Mine"]
    names = [line.split("  ")[0].strip() for line in lines[5:11]]
    assert names == ["Controls:", "PCA (seed 0)", "Learners:", "AE (seed 0)", "AE (seed 1)", "DAE"]
    assert "not run" in lines[10]
    (stores / "other.yaml").write_text(MINE)
    status, text, messages = report("results", "--benchmark", "other.yaml")
    assert (status, text) == (2, "")
    assert "--benchmark 'other': not in the store." in messages


def test_selection_seeds_and_output(report, stores):
    status, text, messages = report(
        "results", "more", "--method", "AE", "--seeds", "together", "--format", "json", "-o", "o.json"
    )
    assert (status, text) == (0, "")
    assert "wrote o.json" in messages
    (table,) = json.loads((stores / "o.json").read_text())
    assert [(row["label"], row["seeds"]) for row in table["rows"]] == [("AE", [0, 1])]


def test_a_superseded_trial_is_shown_with_all(report, stores):
    old = trial("AE", digest="0" * 64, method=method("ae[width=2]"), evaluations=[evaluation([90.0, 91.4])])
    Store(stores / "results").write(replace(old, provenance={"ended": ""}), {})
    newer = trial("AE", evaluations=[evaluation([50.0, 51.0, 52.5])], provenance={"ended": "2026-01-01"})
    Store(stores / "results").write(newer, {})
    status, text, _ = report("--format", "csv")
    assert (status, "90.7" in text) == (0, False)
    status, text, _ = report("--format", "csv", "--all")
    assert (status, text.count(",90.7,")) == (0, 1)
    for words in (("--all",), ("--all", "--pivot", "accuracy"), ("--all", "--seeds", "together")):
        status, text, _ = report(*words)
        assert (status, "(seed 0; superseded)" in text) == (0, True)
        assert "--all shows all" not in text
    status, text, _ = report()
    assert "1 trial superseded by later trials of the same row is not shown; --all shows all" in text
    status, text, messages = report("--method", "ae[width=2]")
    assert (status, text) == (2, "")
    assert "--all shows them" in messages
    status, text, _ = report("--method", "ae[width=2]", "--all")
    assert (status, "superseded" in text) == (0, True)


def test_a_row_of_several_stores_is_its_newest_trial(report, stores):
    later = trial("AE", digest="9" * 64, evaluations=[evaluation([10.0, 11.0])], provenance={"ended": "2026-01-01"})
    Store(stores / "more").write(later, {})
    status, text, _ = report("results", "more", "--format", "json")
    (table,) = json.loads(text)
    assert status == 0
    assert {(row["label"], *row["seeds"]): row["results"][0]["mean"] for row in table["rows"]} == {
        ("AE", 0): 10.5,
        ("AE", 1): pytest.approx(153.5 / 3),
        ("PCA", 0): pytest.approx(123.5 / 3),
    }


def test_pivot_and_latex(report):
    status, text, _ = report("--pivot", "accuracy", "--format", "latex")
    assert status == 0
    assert r"51.2 $\pm$ 1.0" in text
    assert text.rstrip().endswith(r"\end{document}")


def test_a_pivot_relative_to_a_row(report):
    status, text, _ = report("--pivot", "accuracy", "--relative-to", "AE")
    assert status == 0
    # Both of its seeds are close to their mean.
    assert "accuracy in % of AE" in text and text.count("100.0 ± 0.4") == 4


def test_a_pivot_and_seeds_together_exclude_each_other(report):
    status, _, messages = report("--pivot", "accuracy", "--seeds", "together")
    assert status == 2
    assert "--seeds together" in messages


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--benchmark", "mien"], "Did you mean 'mine'"),
        (["--method", "aee"], "Did you mean 'ae'"),
        (["--pivot", "acuracy"], "Did you mean 'accuracy'"),
        (["--relative-to", "AE"], "give a --pivot, too"),
        (["--pivot", "accuracy", "--relative-to", "AEE"], "Did you mean 'AE'"),
        (["--protocol", "linear-smv"], "Did you mean 'linear-svm'"),
        (["--format", "docx"], "latex"),
        (["nowhere"], "no such folder"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(report, words, said):
    status, text, messages = report(*words)
    assert (status, text) == (2, "")
    assert said in messages


def test_figures_say_that_there_are_none(report):
    status, _, messages = report("--figures", "figures")
    assert status == 0
    assert "no figures" in messages


PROGRAM = """
import sys
from reprbench.cli.main import main
for form in ("table", "markdown", "latex", "csv", "json"):
    sys.argv = ["reprbench", "report", "results", "--format", form, "-o", form]
    try:
        main()
    except SystemExit as end:
        assert not end.code, end.code
print({"torch", "torchvision", "sklearn", "matplotlib", "pandas"} & {name.partition(".")[0] for name in sys.modules})
print("scipy.stats" in sys.modules)
"""


def test_no_format_imports_anything_heavy(stores):
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=stores)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["set()", "False"]
    assert all((stores / form).stat().st_size for form in ("table", "markdown", "latex", "csv", "json"))
