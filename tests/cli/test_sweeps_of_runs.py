"""A sweep on the command line: planned, run, reported, and done again where it stopped."""

from __future__ import annotations

import json

import pytest
from trials import swept

from reprbench.store import Store

SMALL = (
    "--limit", "100", "--set", "linear-svm.costs=[0.01,1]", "--set", "linear-svm.inner_folds=2",
    "--protocols", "linear-svm",
)  # fmt: skip
SWEEP = ("run", "--methods", "pca[n_components=2|8],raw-pixels", "--set", "whiten=true|false", "--seeds", "0,1", *SMALL)


def test_a_sweep_is_one_command(here, tmp_path):
    planned = here(*SWEEP, "--plan")
    assert planned.returncode == 0, planned.stderr
    assert (
        "sweep of pca[n_components=2|8,whiten=true|false]: 4 settings, 8 trials; one is chosen by inner accuracy, "
        "on seed 0, and reported on seed 1\n10 of 10 trials to run"
    ) in planned.stdout
    done = here(*SWEEP)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("pca["))
    assert line.startswith("pca[n_components=8,whiten=")
    assert "(seed 1)" in line
    assert "chosen of 4 settings by inner accuracy" in done.stdout
    assert "unequal tuning" in done.stdout
    assert "7 other trials of sweeps are not shown; --sweep shows all" in done.stdout
    assert "0 of 10 trials to run" in here(*SWEEP, "--plan").stdout
    assert here(*SWEEP).stdout == done.stdout
    everything = here("report", "--sweep", "--figures", "figures")
    assert everything.stdout.count("pca[n_components=") - everything.stdout.count("sweep of pca") >= 8
    assert [path.name for path in (tmp_path / "figures").iterdir()] == [
        "adhoc-sweep-pca-n-components-2-8-whiten-true-false.png"
    ]


def test_a_setting_that_fails_is_a_hole_that_is_counted(here, plugin):
    body = """@register("picky")
class Picky(Flat):
    size: int = 1
    def fit(self, images, run):
        if self.size == 2:
            raise RuntimeError("no luck")
        super().fit(images, run)
"""
    done = here("run", "--plugin", str(plugin("picky.py", body)), "--methods", "picky[size=1|2|3]", *SMALL)
    assert done.returncode == 1
    assert "chosen of 3 settings by inner accuracy, on seed 0, which is reported too; 1 without a value" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--methods", "pca[n_components=2|4]", "--protocols", "knn"), "nothing is measured without the test split"),
        (("--methods", "pca[n_components=2|2]"), "expected at least two values, each once"),
        (("--methods", "pca", "--dataset", "digits[development=100|200]"), "several values, separated by '|', are for"),
        (
            ("--methods", "pca", "--set", "knn.k=1|2", "--protocols", "knn"),
            "only a method's parameter can have several",
        ),
        (("--methods", "pca", "--set", "n_components=1|"), "expected a value"),
    ],
)
def test_a_mistake_is_one_line(here, words, message):
    done = here("run", *words, "--plan")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert message in done.stderr


def test_a_file_may_choose_by_a_headline_on_development_images(here, tmp_path):
    text = """title: Tuned
dataset: {dataset}
budget: {{epochs: 1}}
protocols: [knn]
methods:
  - method: pca
    label: PCA
    tune: {{parameters: {{n_components: "int(1, 9)"}}, tries: 3, by: accuracy}}
"""
    (tmp_path / "test.yaml").write_text(text.format(dataset="digits"))
    refused = here("run", "--benchmark", "test.yaml", "--plan")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "sweep of 'PCA': 'accuracy' is not measured without the test split" in refused.stderr
    (tmp_path / "tuned.yaml").write_text(text.format(dataset="digits[development=100]"))
    planned = here("run", "--benchmark", "tuned.yaml", "--plan")
    assert "sweep of PCA: 3 settings, 3 trials; one is chosen by accuracy, on seed 0" in planned.stdout


def test_a_report_of_settings_alone_says_how_to_see_them(here, tmp_path):
    store = Store(tmp_path / "results")
    for one in swept({"1.0": [(60, 90)], "2.0": [(80, 50)]}, seeds=(0,)):
        store.write(one, {})
    hidden = here("report", "--method", "AE[lr=1.0]")
    assert (hidden.returncode, "--all shows them" in hidden.stderr) == (2, True)
    assert here("report", "--method", "AE[lr=1.0]", "--sweep").returncode == 0
    (table,) = json.loads(here("report", "--method", "ae", "--format", "json").stdout)
    assert [row["setting"] for row in table["rows"]] == [{"lr": 2.0}]
