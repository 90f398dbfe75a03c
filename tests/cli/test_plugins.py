"""One plugin with a method, a protocol and a dataset, registered in different ways, through the commands."""

from __future__ import annotations

import json
import textwrap

import pytest
from common import FAST

HELPER = "SHARE = 0.5\n"

PLUGIN = '''
import numpy as np
import torch

from reprbench import File, ImageArrays, Learner, register, register_dataset, register_protocol
from reprbench.protocols.base import Measurement, Outcome, Protocol

from helper import SHARE


@register("scaled")
class Scaled(Learner):
    """Scales images by a factor from a file."""

    weights: File

    def fit(self, images, run):
        self.scale = torch.tensor(float(self.weights.read_text()))
        run.images_seen = len(images)

    def encode(self, x):
        return {"code": self.scale * x.flatten(1)}


@register_protocol("dark")
class Dark(Protocol):
    """The share of test images that are dark."""

    version = 1
    headlines = ("dark",)

    def evaluate(self, subject, seed):
        from helper import SHARE

        pixels = subject.dataset.test.pixels(slice(None))
        share = float((pixels.mean((1, 2, 3)) < 255 * SHARE).mean())
        return Outcome([Measurement("dark", share, "", "neither", {})])


@register_dataset("halves")
def halves(count: int = 40):
    """Images that are dark or bright: 2 classes."""
    labels = np.arange(count) % 2
    images = np.random.default_rng(0).integers(0, 100, (count, 8, 8), np.uint8)
    images[labels == 1] += 150
    half = count // 2
    return ImageArrays(
        x_train=images[:half], y_train=labels[:half], x_test=images[half:], y_test=labels[half:], title="Halves"
    )
'''


@pytest.fixture(params=["--plugin", "folder"])
def words(request, tmp_path):
    """The options that make the plugin known, with its helper next to it."""
    folder = tmp_path / ("elsewhere" if request.param == "--plugin" else "methods")
    folder.mkdir()
    (folder / "mine.py").write_text(textwrap.dedent(PLUGIN))
    (folder / "helper.py").write_text(HELPER)
    (tmp_path / "w.txt").write_text("2")
    return ["--plugin", str(folder / "mine.py")] if request.param == "--plugin" else []


def test_all_kinds_run_together(here, tmp_path, words):
    command = ["run", "--methods", "scaled[weights=w.txt]", "--dataset", "halves[count=60]", "--protocols", "dark"]
    done = here(*command, "--epochs", "1", *FAST[:2], *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Halves" in done.stdout
    (path,) = tmp_path.glob("results/*/*/*/trial.json")
    trial = json.loads(path.read_text())
    assert trial["status"] == "done"
    assert trial["dataset"]["train"] == 30
    assert [m["value"] for m in trial["evaluations"][0]["measurements"]] == [0.5]
    again = here(*command, "--epochs", "1", *FAST[:2], *words, "--plan")
    assert "0 of 1 trials to run" in again.stdout


def test_what_is_registered_is_listed(here, words):
    assert "halves         Images that are dark or bright: 2 classes." in here("list", "datasets", *words).stdout
    assert "mine.py" in here("list", "datasets", "-v", *words).stdout
    listed = {record["name"]: record for record in json.loads(
        here("list", "protocols", "-v", "--format", "json", *words).stdout
    )}  # fmt: skip
    assert listed["dark"]["description"] == "The share of test images that are dark."
    assert "scaled" in here("list", "methods", "-v", *words).stdout


def test_a_missing_file_is_reported_before_anything_runs(here, tmp_path, words):
    done = here("run", "--methods", "scaled[weights=no.txt]", *words)
    assert done.returncode == 2
    assert done.stderr == f"Error: method scaled: weights: no such file: 'no.txt' in {tmp_path}\n"


def test_a_plugin_that_fails_to_import_is_reported_for_every_kind(here, tmp_path, words):
    (path,) = tmp_path.glob("*/mine.py")
    path.write_text("import nowhere_at_all\n" + path.read_text())
    reason = "ModuleNotFoundError: No module named 'nowhere_at_all'"
    for option in (["--dataset", "halves"], ["--protocols", "dark"]):
        done = here("run", "--methods", "pca", *option, *words)
        assert (done.returncode, done.stderr) == (2, f"Error: {path}: {reason}\n")
    listed = here("list", "protocols", "-v", *words)
    assert listed.returncode == 0
    (line,) = [line for line in listed.stdout.splitlines() if line.startswith("dark ")]
    assert f"cannot be used: {reason}" in line
    assert f"origin: file {path}" in listed.stdout
