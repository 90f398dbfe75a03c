"""Trackers of a run, read back by the libraries of those who read them."""

from __future__ import annotations

import csv
import json
import struct
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import reprbench as rb
from reprbench import Tracker
from reprbench.api import tracking
from reprbench.api.tracking import TrackedSubmission, Tracking
from reprbench.trackers.base import TrackedTrial, TrialEnd

PLUGIN = """
import torch
from reprbench import Headline, Learner, Measurement, Outcome, Protocol, register, register_protocol

@register("logging")
class Logging(Learner):
    width: int = 3

    def fit(self, images, run):
        for step in range(1, 4):
            run.log(step, loss=1 / step)
        run.log(4, extra=5.0)

    def encode(self, x):
        return {"pixels": x.flatten(1)}

@register_protocol("drawn")
class Drawn(Protocol):
    headlines = ("score",)

    def evaluate(self, subject, seed):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1, 1))
        figure.add_subplot().plot([1, 2])
        values = [Measurement("score", value, "", "higher", {"fold": fold}) for fold, value in enumerate((1.0, 2.0))]
        return Outcome(values, headlines=[Headline("score")], figures={"line": figure})
"""

HIDDEN = "hunter2-of-the-tracking-server"


class Recording(Tracker):
    def __init__(self, fails: str = "") -> None:
        self.calls, self.threads, self._fails = [], set(), fails

    def _called(self, what, *about):
        self.calls.append((what, *about))
        self.threads.add(threading.current_thread())
        if what == self._fails:
            raise ConnectionError(f"no answer to {what}")

    def on_start(self, trial):
        self._called("start", trial)

    def on_log(self, trial, step, values):
        self._called("log", step, dict(values))

    def on_image(self, trial, name, path):
        self._called("image", name, path.read_bytes()[:4])

    def on_end(self, trial, end):
        self._called("end", end)


class Failing(Recording):
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of one trial with trackers of all kinds."""
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "plugin.py").write_text(PLUGIN)
    recording, failing = Recording(), Failing("log")
    names = [f"tensorboard:{folder}/runs", "mlflow:mine", "wandb:project", f"csv:{folder}/all/log.csv"]
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("MLFLOW_TRACKING_TOKEN", HIDDEN)
        patch.setenv("WANDB_MODE", "offline")
        patch.setattr("reprbench.api.run._say", said.append)
        places = {"plugins": ["plugin.py"], "store": folder / "results", "cache": folder / "cache"}
        rb.run("logging", "digits", 1, "drawn", limit=60, debug=True, log_to=[*names, failing, recording], **places)
        (trial,), _ = rb.Store(places["store"]).read()
        yield SimpleNamespace(folder=folder, trial=trial, recording=recording, failing=failing, said=said)


def test_a_tracker_hears_everything_in_order(made):
    calls = made.recording.calls
    assert [call[0] for call in calls] == ["start", "log", "log", "log", "log", "image", "end"]
    started, end = calls[0][1], calls[-1][1]
    assert (started.name, started.method, started.folder) == ("logging, seed 0", "logging", made.trial.folder)
    assert started.settings == {
        "label": "logging",
        "method": "logging",
        "dataset": "digits",
        "budget": "1 epoch",
        "seed": 0,
        "width": 3,
    }
    assert [(step, values.pop("seconds") >= 0, values) for _, step, values in calls[1:5]] == [
        (1.0, True, {"loss": 1.0}),
        (2.0, True, {"loss": 0.5}),
        (3.0, True, {"loss": 1 / 3}),
        (4.0, True, {"extra": 5.0}),
    ]
    assert calls[5][1:] == ("drawn/line", b"\x89PNG")
    assert (end.status, end.reason, end.measurements["drawn/score"]) == ("done", "", 1.5)
    assert set(end.measurements) == {"drawn/score", "fit seconds", "evaluation seconds"}
    assert threading.main_thread() not in made.recording.threads


def test_one_that_fails_is_warned_of_once_and_costs_nothing(made):
    assert made.trial.status == "done"
    assert [call[0] for call in made.failing.calls] == ["start", "log"]
    warned = [line for line in made.said if "--log-to" in line]
    assert warned == ["--log-to Failing: ConnectionError: no answer to log; nothing more is logged there"]


def test_tensorboard_reads_it(made):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(made.folder / "runs" / made.trial.folder))
    events.Reload()
    losses = events.Scalars("fit/loss")
    assert [event.step for event in losses] == [1, 2, 3]
    assert [event.value for event in losses] == pytest.approx([1.0, 0.5, 1 / 3])
    assert [event.value for event in events.Scalars("drawn/score")] == [1.5]
    assert events.Tags()["images"] == ["drawn/line"]
    (text,) = events.Tensors("settings/text_summary")
    assert b"| method | logging |" in text.tensor_proto.string_val[0]


def test_mlflow_reads_it(made):
    from mlflow import MlflowClient

    client = MlflowClient()
    experiment = client.get_experiment_by_name("mine")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("logging, seed 0", "FINISHED")
    assert run.data.params["width"] == "3"
    assert run.data.tags["trial"] == made.trial.folder
    assert run.data.metrics["drawn/score"] == 1.5
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    assert [file.path for file in client.list_artifacts(run.info.run_id, "figures")]


def test_wandb_has_it_to_be_sent_later(made):
    (path,) = made.folder.glob("wandb/offline-run-*/run-*.wandb")
    content = path.read_bytes()
    for words in (b"drawn/score", b"logging, seed 0", b"project", b"loss"):
        assert words in content, words
    assert list(path.parent.glob("files/media/images/**/*.png"))


def wandb_history(path):
    """Yield the rows of the history in a file of W&B, whose records are in the log format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, text = path.read_bytes(), 7, b""
    while place + 7 <= len(content):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, size, part = struct.unpack("<IHB", content[place : place + 7])
        text += content[place + 7 : place + 7 + size]
        place += 7 + size
        if part in (1, 4):  # whole, or the last part
            record, text = Record.FromString(text), b""
            items = record.history.item
            yield {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_wandb_keeps_the_history_of_every_fit(tmp_path, monkeypatch):
    """The steps of each fit begin anew, and so would those of W&B itself, which only ascend."""
    from reprbench.trackers.wandb import WandbTracker

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    tracker, trial = WandbTracker("project"), TrackedTrial("adhoc", "own", "own", "digits", {}, "1 epoch", 0, "f")
    logged = [(step, {f"fit {fit}/loss": 1 / step + fit}) for fit in (0, 1) for step in (1.0, 1.5, 2.0, 2.0, 3.0)]
    tracker.on_start(trial)
    folder = Path(tracker._runs["f"].dir).parent
    for step, values in logged:
        tracker.on_log(trial, step, values)
    tracker.on_end(trial, TrialEnd("done", "", {}))
    (path,) = folder.glob("run-*.wandb")
    rows = [{key: value for key, value in row.items() if key[0] != "_"} for row in wandb_history(path)]
    assert [row for row in rows if row] == [{"step": step, **values} for step, values in logged]


def test_the_csv_file_has_every_value(made):
    with (made.folder / "all/log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [(row["step"], row["value"]) for row in rows if row["name"] == "loss"]
    assert losses == [("1.0", "1.0"), ("2.0", "0.5"), ("3.0", str(1 / 3))]
    assert [row["value"] for row in rows if row["name"] == "drawn/score"] == ["1.5"]
    assert {row["trial"] for row in rows} == {made.trial.folder}


def test_no_secret_of_a_tracker_is_stored(made):
    files = [path for place in ("results", "cache") for path in Path(made.folder, place).rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if HIDDEN.encode() in path.read_bytes()]


# -- while trials run --------------------------------------------------------------------------------------------------


def open_trial(*trackers, warn=print, root=Path()):
    made = Tracking([(type(one).__name__, one) for one in trackers], root, warn)
    made._open["f"] = tracking._Open("a trial")
    return made


def test_rows_are_logged_while_a_trial_runs_each_once(tmp_path):
    recording, history = Recording(), tmp_path / "history.csv"
    made = open_trial(recording)
    submitted = TrackedSubmission(SimpleNamespace(path=tmp_path, messages=list, files=dict), "f", made)
    submitted.files()
    for text in ("step,loss\n1,3\n", "step,loss\n1,3\n2,2\n", "fit,step,loss\n0,1,3\n0,2,2\n1,1,9\n"):
        history.write_text(text)
        submitted._seen = 0
        submitted.files()
        submitted.files()
    made.close()
    rows = [(1.0, {"loss": 3.0}), (2.0, {"loss": 2.0}), (1.0, {"fit 1/loss": 9.0})]
    assert recording.calls == [("log", *row) for row in rows]


def test_one_that_is_slow_is_not_waited_for_forever(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "CLOSE_SECONDS", 0.05)
    stuck, said = threading.Event(), []
    made = open_trial(SimpleNamespace(on_start=lambda trial: stuck.wait()), warn=said.append)
    made._calls.put(lambda tracker: tracker.on_start("a trial"))
    made.close()
    stuck.set()
    assert said == ["--log-to SimpleNamespace: still busy after 0.05 s; what is left is lost"]
