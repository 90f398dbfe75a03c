from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from common import FAST, wait_for

SMALL = (*FAST, "--epochs", "2", "--set", "width=4")


def trials(folder: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in folder.glob("results/*/*/*/trial.json")]
    return {trial["label"]: trial for trial in found}


def measurements(folder: Path) -> dict[str, object]:
    return {label: [e["measurements"] for e in trial["evaluations"]] for label, trial in trials(folder).items()}


def test_a_run_makes_a_table_and_a_second_run_does_nothing(cli, here, tmp_path):
    done = cli("run", "--methods", "ameae,ae[batch_size=32],ae,raw-pixels,supervised[min_steps=8]", *SMALL)
    assert done.returncode == 0, done.stderr
    rows = trials(tmp_path)
    assert set(rows) == {
        "ameae[width=4]",
        "ae[batch_size=32,width=4]",
        "ae[width=4]",
        "raw-pixels",
        "supervised[min_steps=8,width=4]",
    }
    for row in rows.values():
        assert row["status"] == "done"
        assert {"kind": "limit", "text": "limit 150"} in row["deviations"]
        assert (row["dataset"]["train"], row["dataset"]["fold_size"]) == (150, 120)
        assert row["provenance"]["versions"]["torch"]
        accuracies = [m["value"] for m in row["evaluations"][0]["measurements"] if m["metric"] == "accuracy"]
        assert len(accuracies) == 10
        assert all(0 <= value <= 100 for value in accuracies)
    assert rows["supervised[min_steps=8,width=4]"]["method"]["kind"] == "supervised"
    header = next(tmp_path.glob("results/adhoc/ameae/*/history.csv")).read_text().splitlines()[0]
    assert "classifier_accuracy" in header
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/**/trial.json")}
    again = here("run", "--methods", "ameae,ae[batch_size=32],ae,raw-pixels,supervised[min_steps=8]", *SMALL)
    assert again.returncode == 0
    assert again.stdout == done.stdout
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/**/trial.json")} == before


def test_the_same_seed_twice_gives_the_same_bits(here, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        assert here("run", "--methods", "denoising-ameae,pca", *SMALL, cwd=tmp_path / folder).returncode == 0
    assert measurements(tmp_path / "one") == measurements(tmp_path / "two")
    assert len(measurements(tmp_path / "one")) == 2


def test_the_plan_gives_a_reason_for_every_trial(here, tmp_path, plugin):
    path = plugin("mine.py", '@register("mine")\nclass A(Flat): ...\n')
    words = ("run", "--plugin", str(path), "--methods", "mine", *FAST)
    assert "new" in here(*words, "--plan").stdout
    assert not (tmp_path / "results").exists()
    assert here(*words).returncode == 0
    assert "already there" in here(*words, "--plan").stdout
    assert "protocol changed" in here(*words, "--set", "linear-svm.grid=1", "--plan").stdout
    path.write_text(path.read_text() + "# a remark\n")
    assert "already there" in here(*words, "--plan").stdout
    path.write_text(path.read_text() + "EXTRA = 1\n")
    assert "method changed" in here(*words, "--plan").stdout


def test_a_new_protocol_evaluates_the_cached_fit(here, tmp_path, plugin):
    path = plugin(
        "once.py",
        '@register("once")\nclass A(Flat):\n    def fit(self, images, run):\n'
        '        super().fit(images, run)\n        open("fits", "a").write("x")\n',
    )
    words = ("run", "--plugin", str(path), "--methods", "once", *FAST)
    assert here(*words).returncode == 0
    done = here(*words, "--protocols", "linear-svm,linear-svm[grid=1],linear-svm[folds=none]")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "fits").read_text() == "x"
    assert len(trials(tmp_path)["once"]["evaluations"]) == 3
    # Train and test for either grid; together the folds use every row, so that folds=none reads the same matrix.
    assert len(list((tmp_path / ".reprbench" / "features").glob("*/*.npy"))) == 4


BENCHMARK = """
title: Mine
dataset: digits
protocols: ["linear-svm[costs=[0.1],inner_folds=2]"]
methods: [{{method: "pca[n_components={size}]", label: mine, reference: {{value: {value}, citation: Somebody 2011}}}}]
budget: {{epochs: 1}}
limit: 150
"""


def test_what_is_asked_for_again_is_the_row_again_without_running(here, tmp_path):
    file, words = tmp_path / "b.yaml", ("run", "--benchmark", "b.yaml")
    stored: dict[int, dict] = {}
    for size in (16, 2, 16):
        file.write_text(BENCHMARK.format(size=size, value=90))
        plan = here(*words, "--plan").stdout
        done = here(*words)
        assert done.returncode == 0, done.stderr
        trial = next(
            one for path in tmp_path.glob("results/b/pca/*/trial.json")
            if (one := json.loads(path.read_text()))["method"]["parameters"]["n_components"] == size
        )  # fmt: skip
        first = stored.setdefault(size, trial)
        assert trial["evaluations"] == first["evaluations"]
    assert "recorded anew: its row has a later trial" in plan
    assert "0 of 1 trials to run" in plan
    assert trial["provenance"] == first["provenance"]
    assert trial["requested"] > stored[2]["provenance"]["ended"]
    assert len(list(tmp_path.glob("results/b/pca/*/history.csv"))) == 2
    (row,) = [line for line in done.stdout.splitlines() if "mine" in line]
    assert row in here("report").stdout
    file.write_text(BENCHMARK.format(size=16, value=80))
    assert "recorded anew: reference" in here(*words, "--plan").stdout
    assert "80" in here(*words).stdout
    assert "already there" in here(*words, "--plan").stdout


def test_protocols_of_earlier_runs_stay_in_the_tables(here, tmp_path):
    words = ("run", "--methods", "raw-pixels", "--limit", "150", "--protocols")
    for protocol in ("knn", "code-stats", "knn"):
        assert here(*words, protocol).returncode == 0
    recorded = trials(tmp_path)["raw-pixels"]["protocols"]
    assert {one["call"]["name"] for one in recorded} == {"knn", "code-stats"}


def test_figures_are_stored_and_stay_when_a_protocol_is_added(here, tmp_path):
    words = ("run", "--methods", "raw-pixels", "--limit", "150", "--protocols")
    assert here(*words, "knn").returncode == 0
    (first,) = tmp_path.glob("results/adhoc/raw-pixels/*/figures/knn-*.png")
    before = first.read_bytes()
    assert before.startswith(b"\x89PNG")
    done = here(*words, "knn,code-stats")
    assert done.returncode == 0, done.stderr
    stored = trials(tmp_path)["raw-pixels"]
    named = [figure["file"] for evaluation in stored["evaluations"] for figure in evaluation["figures"]]
    assert len(named) >= 2
    assert {path.name for path in first.parent.iterdir()} == {Path(name).name for name in named}
    assert first.read_bytes() == before
    shown = here("show", stored["hash"][:8])
    assert str(Path("results", "adhoc", "raw-pixels")) in shown.stdout
    assert "figure neighbors: " in shown.stdout


def test_evaluations_with_other_parameters_have_figures_of_their_own(here, tmp_path):
    words = ("run", "--methods", "raw-pixels", "--limit", "150", "--protocols")
    assert here(*words, "knn").returncode == 0
    assert here(*words, "knn[k=3]").returncode == 0
    stored = trials(tmp_path)["raw-pixels"]
    assert [evaluation["call"]["parameters"] for evaluation in stored["evaluations"]] == [{}, {"k": 3}]
    assert len(list(tmp_path.glob("results/adhoc/raw-pixels/*/figures/knn-*.png"))) == 2


def test_files_that_are_not_the_official_ones_label_every_row(here, tmp_path):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (200, 28, 28), dtype=np.uint8)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, 200, 28, 28) + pixels.tobytes())
        labels = bytes(i % 10 for i in range(200))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 200) + labels)
    done = here("run", "--methods", "raw-pixels,pca", "--dataset", "mnist", "--data-dir", str(tmp_path / "data"), *FAST)
    assert done.returncode == 0, done.stderr
    for row in trials(tmp_path).values():
        assert any(
            one["kind"] == "data" and "train-images-idx3-ubyte: not the official file" in one["text"]
            for one in row["deviations"]
        )
    assert "not the official file" in done.stdout


BAD = """
@register("raises")
class Raises(Flat):
    def fit(self, images, run): raise RuntimeError("no luck")

@register("exits")
class Exits(Flat):
    def fit(self, images, run): os._exit(1)

@register("eats")
class Eats(Flat):
    def fit(self, images, run):
        self._kept = []
        while True:
            self._kept.append(bytearray(b"x" * 2**26))

@register("sleeps")
class Sleeps(Flat):
    def fit(self, images, run):
        open("sleeping", "w").close()
        time.sleep(600)

@register("nan")
class NotANumber(Flat):
    def encode(self, x): return {"code": x.flatten(1) * float("nan")}

@register("logs-nan")
class LogsNotANumber(Flat):
    def fit(self, images, run): run.log(1, loss=torch.tensor(float("nan")))

@register("good")
class Good(Flat): ...
"""


EDITED = """
from reprbench import File

@register("{name}")
class A(Flat):
    weights: File
    def fit(self, images, run):
        super().fit(images, run)
        for name, text in {edits}:
            with open(name, "a") as file:
                file.write(text)
"""


def test_data_read_from_another_folder_than_named_are_said_to_be(here, tmp_path, monkeypatch):
    rows = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    labels = np.arange(40) % 2
    (tmp_path / "others").mkdir()
    np.savez(tmp_path / "others" / "mine.npz", x_train=rows, y_train=labels, x_test=rows, y_test=labels)
    monkeypatch.setenv("REPRBENCH_DATA", "others")
    words = ["run", "--methods", "raw-pixels", "--dataset", "npz[path=mine.npz]", "--protocols", "knn"]
    note = "data read from others: the folder named with --data-dir does not have them"
    for named in ([], ["--data-dir", "others"]):
        assert note not in here(*words, *named, "--plan").stdout
    assert note in here(*words, "--data-dir", "elsewhere", "--plan").stdout
    done = here(*words, "--data-dir", "elsewhere")
    assert done.returncode == 0, done.stderr
    assert note in done.stdout


@pytest.mark.parametrize("edited", ["second.py", "weights"])
def test_what_changes_while_a_trial_waits_is_not_stored_under_the_planned_identity(here, tmp_path, plugin, edited):
    (tmp_path / "other").write_text("w")
    (tmp_path / "weights").write_text("w")
    first = plugin("first.py", EDITED.format(name="first", edits=[(edited, "EXTRA = 1\n")]))
    second = plugin("second.py", EDITED.format(name="second", edits=[]))
    words = ("run", "--plugin", str(first), "--plugin", str(second), *FAST)
    done = here(*words, "--methods", "first[weights=other],second[weights=weights]")
    assert done.returncode == 1
    stored = {name.partition("[")[0]: trial for name, trial in trials(tmp_path).items()}
    assert stored["first"]["status"] == "done"
    assert stored["second"]["status"] == "failed"
    reason = "the code or a file of method second changed after the run was planned; run it again"
    assert stored["second"]["reason"] == reason
    assert here(*words, "--methods", "second[weights=weights]").returncode == 0


def test_every_failure_is_a_row_with_its_reason_and_harms_no_other(here, plugin, tmp_path):
    path = plugin("bad.py", BAD)
    leaving = plugin("leaving.py", '@register("leaving")\nclass A(Flat): ...\nos._exit(1)\n')
    done = here(
        "run", "--plugin", str(path), "--plugin", str(leaving),
        "--methods", "raises,exits,eats,sleeps,nan,logs-nan,leaving,good",
        *FAST, "--timeout", "12", "--memory", "2GB", "--jobs", "2",
    )  # fmt: skip
    assert done.returncode == 1
    rows = trials(tmp_path)
    expected = {
        "raises": ("failed", "RuntimeError: no luck"),
        "exits": ("failed", "exited with status 1"),
        "eats": ("out-of-memory", "--memory allows (2048 MB)"),
        "sleeps": ("timeout", "--timeout 12 s"),
        "logs-nan": ("diverged", "loss = nan"),
        "leaving": ("failed", "importing it ended the process with status 1"),
    }
    for label, (status, words) in expected.items():
        assert rows[label]["status"] == status, rows[label]
        assert words in rows[label]["reason"]
        assert f"{status}: " in done.stdout
    # It is fitted before its features are needed.
    assert rows["nan"]["status"] == "done"
    assert rows["nan"]["evaluations"][0]["status"] == "diverged"
    assert "not finite" in rows["nan"]["evaluations"][0]["reason"]
    assert "Traceback" in rows["raises"]["traceback"]
    assert rows["eats"]["signal"] == "SIGKILL"
    assert rows["eats"]["cost"]["peak_memory"] > 2 * 2**30
    for label in ("exits", "eats", "sleeps", "good"):
        assert rows[label]["provenance"]["versions"]["torch"]
    assert rows["good"]["status"] == "done"
    assert "Traceback" not in done.stderr + done.stdout


def start(tmp_path: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "reprbench.cli.main", *words],
        cwd=tmp_path, start_new_session=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip


THREE = (
    "run",
    "--methods",
    "pca,ameae,raw-pixels",
    *FAST,
    "--set",
    "width=4",
    "--set",
    "batch_size=2",
    "--epochs",
    "2",
)


@pytest.mark.slow
def test_after_kill_9_of_everything_the_same_command_continues_bit_for_bit(here, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert here(*THREE, cwd=whole).returncode == 0
    process = start(killed, *THREE, REPRBENCH_CHECKPOINT_SECONDS="0.1")
    wait_for(lambda: list(killed.glob(".reprbench/fits/*/*/checkpoint.safetensors")))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(trials(killed)) == ["pca"]
    first = next(killed.glob("results/adhoc/pca/*/trial.json")).stat().st_mtime_ns
    assert here(*THREE, cwd=killed).returncode == 0
    assert next(killed.glob("results/adhoc/pca/*/trial.json")).stat().st_mtime_ns == first
    (second,) = [trial for label, trial in trials(killed).items() if label.startswith("ameae")]
    assert second["provenance"]["resumed"]
    assert measurements(killed) == measurements(whole)


def test_ctrl_c_ends_cleanly_and_keeps_what_is_finished(plugin, tmp_path, here):
    path = plugin("slow.py", BAD)
    words = ("run", "--plugin", str(path), "--methods", "good,sleeps,raw-pixels", *FAST)
    process = start(tmp_path, *words)
    wait_for((tmp_path / "sleeping").exists)
    os.killpg(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert {label: trial["status"] for label, trial in trials(tmp_path).items()} == {
        "good": "done", "sleeps": "interrupted",
    }  # fmt: skip
    assert "Traceback" not in output + errors
    assert "good" in output
    assert "failed before (interrupted)" in here(*words, "--plan").stdout


def test_a_full_disk_costs_the_trial_it_hits(here, tmp_path, plugin):
    path = plugin("full.py", '@register("full")\nclass A(Flat):\n    def fit(self, images, run):\n'
                  '        import pathlib\n        pathlib.Path("results/adhoc").mkdir(parents=True)\n'
                  '        pathlib.Path("results/adhoc/full").write_text("in the way")\n')  # fmt: skip
    done = here("run", "--plugin", str(path), "--methods", "full,raw-pixels", *FAST)
    assert done.returncode == 1
    assert "could not be written" in done.stdout
    assert trials(tmp_path)["raw-pixels"]["status"] == "done"
    assert "Traceback" not in done.stderr
