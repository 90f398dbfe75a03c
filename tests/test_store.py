from __future__ import annotations

import gc
import json
import os

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from trials import evaluation, method, protocol, trial

from reprbench.benchmark import Reference
from reprbench.errors import UserError
from reprbench.measurement import Curve, Headline
from reprbench.migrations import SCHEMA
from reprbench.spec import Budget, Call
from reprbench.store import Store, last_lines
from reprbench.texts import LOG_CHARACTERS
from reprbench.trial import Code, Cost, Deviation, Figure
from reprbench.trial_file import read_trial


def test_what_is_written_is_read_back(tmp_path):
    history = tmp_path / "h.csv"
    history.write_text("step\n1\n")
    store = Store(tmp_path / "results")
    written = trial(evaluations=[evaluation([1.0, 2.0])], provenance={"ended": "now"})
    folder = store.write(written, {"history.csv": history})
    assert folder == tmp_path / "results/mine/ae/0-aaaaaaaa"
    assert (folder / "history.csv").read_text() == "step\n1\n"
    assert store.read() == ([written], [])


def test_every_part_of_a_trial_is_read_back(tmp_path):
    found = evaluation(
        [1.0, 2.0],
        text="few-labels[labels=[1,10],pooling=sum]",
        code=Code(source="c0de", bases=(("Base", 2),)),
        headlines=[Headline("accuracy", {"labels": 10}), Headline("error")],
        curves=[Curve("accuracy", "labels", {"layer": "last"}, "Accuracy", "labels", log=True)],
        figures=[Figure("curve", "figures/curve.png")],
        warnings=["edge"],
        status="skipped",
        reason="no layers",
    )
    written = trial(
        method=replace(
            method("kmeans", kind="pretrained", code=Code(version=3), parameters={"n": [1, 2]}),
            call=Call(name="kmeans", parameters={"weights": "a,b", "title": "2024", "layers": [1, "x"]}),
        ),
        budget=Budget(epochs=2, seconds=1.5),
        precision="bf16",
        protocols=[protocol("few-labels", table="few-labels[labels=[1]]"), protocol("knn")],
        deviations=[Deviation("own protocol", "a text"), Deviation("data", "another")],
        reference=Reference(value=50.0, spread=0.5, citation="A paper", differences=("widths",)),
        cost=Cost(parameters=1, peak_device_memory=2),
        status="failed",
        signal="SIGKILL",
        warnings=["slow"],
        evaluations=[found],
        provenance={"device": "cuda"},
    )
    again = read_trial(Store(tmp_path).write(written, {}) / "trial.json")
    assert again == written
    assert again.row == written.row
    assert hash(again.row) == hash(written.row)
    assert again.path == str(tmp_path / written.folder / "trial.json")


def test_a_second_write_replaces_the_first_and_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path)
    store.write(trial(status="failed", reason="x"), {})
    store.write(trial(), {})
    assert [t.status for t in store.read()[0]] == ["done"]
    assert [path.name for path in (tmp_path / "mine/ae").iterdir()] == ["0-aaaaaaaa"]


def test_a_write_that_fails_leaves_the_old_trial(tmp_path):
    store = Store(tmp_path)
    store.write(trial(reason="first"), {})
    with pytest.raises(OSError):
        store.write(trial(reason="second", provenance={"ended": "later"}), {"history.csv": tmp_path / "not there"})
    assert [t.reason for t in store.read()[0]] == ["first"]
    assert [path.name for path in (tmp_path / "mine/ae").iterdir()] == ["0-aaaaaaaa"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ("{,}", "malformed"),
        ("[]", "not a trial"),
        ('{"a": 1}', "not a trial"),
        ('{"schema_version": 3}', "missing required field `benchmark`"),
        ('{"schema_version": 2}', "schema 2 cannot be read"),
        ('{"schema_version": 1}', "schema 1 cannot be read"),
        ('{"schema_version": 0}', "there was no schema 0"),
        (json.dumps({"schema_version": SCHEMA + 1}), "newer reprbench"),
    ],
)
def test_what_is_not_a_trial_is_named_and_skipped(tmp_path, text, reason):
    store = Store(tmp_path)
    store.write(trial(), {})
    bad = tmp_path / "mine/ae/1-bbbbbbbb/trial.json"
    bad.parent.mkdir()
    bad.write_text(text)
    trials, problems = store.read()
    assert len(trials) == 1
    assert len(problems) == 1
    assert str(bad) in problems[0]
    assert reason in problems[0]


def test_a_file_of_the_right_form_with_wrong_content_is_named_and_skipped(tmp_path):
    store = Store(tmp_path)
    folder = store.write(trial(evaluations=[evaluation([1.0, 2.0])]), {})
    good = json.loads((folder / "trial.json").read_text())
    for number, place in enumerate(("value", "metric", "at")):
        content = json.loads(json.dumps(good))
        content["evaluations"][0]["measurements"][1][place] = ["nothing of the kind"]
        bad = folder.with_name(f"1-{number}") / "trial.json"
        bad.parent.mkdir()
        bad.write_text(json.dumps(content))
    deep = folder.with_name("2-deep") / "trial.json"
    deep.parent.mkdir()
    deep.write_text("[" * 10**6)
    (folder.with_name("3-none")).mkdir()
    trials, problems = store.read()
    assert [t.seed for t in trials] == [0]
    assert ["measurements" in problem for problem in problems] == [True, True, True, False]
    assert str(deep) in problems[3]
    problems = []
    assert len(list(store.each(problems))) == 1
    assert len(problems) == 4
    with pytest.raises(UserError, match="2-deep"):
        store.find("mine/ae/2-deep")


def test_a_store_is_shown_under_another_name(tmp_path):
    bad = tmp_path / "mine/ae/1-bbbbbbbb/trial.json"
    bad.parent.mkdir(parents=True)
    # What is wrong may name the folder, too; it stays as it is written in the file.
    bad.write_text(json.dumps({"schema_version": str(tmp_path)}))
    ((own,), (other,)) = (store.read()[1] for store in (Store(tmp_path), Store(tmp_path, "results at main")))
    assert own.startswith(f"{bad}: skipped: ")
    assert other == f"results at main/mine/ae/1-bbbbbbbb/trial.json{own.removeprefix(str(bad))}"


def test_what_pydantic_reads_is_named_when_it_is_wrong(tmp_path):
    folder = Store(tmp_path).write(trial(), {})
    content = json.loads((folder / "trial.json").read_text())
    (folder / "trial.json").write_text(json.dumps({**content, "budget": {"epochs": -1}}))
    with pytest.raises(ValueError, match=r"^epochs: Input should be greater than 0 - at `\$.budget`$"):
        read_trial(folder / "trial.json")


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5)])
def test_numbers_of_other_libraries_are_written_as_numbers(tmp_path, value):
    at = {"fold": np.int64(3), "path": tmp_path}
    written = trial(evaluations=[evaluation([0.0], measured={"value": value, "at": at})])
    (measurement,) = read_trial(Store(tmp_path).write(written, {}) / "trial.json").evaluations[0].measurements
    assert (measurement.value, measurement.at) == (0.5, {"fold": 3, "path": str(tmp_path)})


def test_reading_leaves_the_collector_as_it_was(tmp_path):
    assert gc.isenabled()
    Store(tmp_path).read()
    assert gc.isenabled()


def test_a_field_that_a_later_version_added_is_ignored(tmp_path):
    folder = Store(tmp_path).write(trial(), {})
    content = json.loads((folder / "trial.json").read_text())
    (folder / "trial.json").write_text(json.dumps({**content, "mood": "good"}))
    assert read_trial(folder / "trial.json") == trial(changed_by_hand=True)


def test_all_measurements_are_one_tidy_data_frame(tmp_path):
    store = Store(tmp_path)
    store.write(trial("one", method=method(parameters={"width": 8}), evaluations=[evaluation([1.0, 3.0])]), {})
    store.write(trial("two", seed=1, evaluations=[evaluation([5.0], "knn[k=3]", {"at": {"layer": "code"}})]), {})
    (tmp_path / "mine/ae/9-broken").mkdir()
    (tmp_path / "mine/ae/9-broken/trial.json").write_text("{")
    frame = store.to_dataframe().set_index("label")
    assert frame.loc["one"].value.tolist() == [1.0, 3.0]
    assert frame.loc["one", "at.fold"].tolist() == [0, 1]
    assert frame.loc["one", "parameter.width"].tolist() == [8, 8]
    assert frame.loc["two"][["protocol", "metric", "value", "unit", "at.layer", "seed"]].tolist() == [
        "knn[k=3]", "accuracy", 5.0, "%", "code", 1,
    ]  # fmt: skip
    assert frame["parameter.width"].isna().sum() == frame["at.fold"].isna().sum() == 1


def test_a_store_without_measurements_is_an_empty_data_frame_with_the_columns(tmp_path):
    empty = Store(tmp_path / "none").to_dataframe()
    assert (len(empty), empty.metric.tolist()) == (0, [])
    store = Store(tmp_path / "one")
    store.write(trial(evaluations=[evaluation([1.0])]), {})
    assert list(store.to_dataframe().columns) == [*empty.columns, "at.fold"]


def test_a_data_frame_has_the_newest_trial_of_each_row_unless_all_are_asked_for(tmp_path):
    store = Store(tmp_path)
    for digest, day, value in (("a", 2, 3.0), ("b", 1, 1.0), ("c", 2, 4.0)):
        ended = {"ended": f"2026-01-0{day}"}
        store.write(trial(digest=digest * 64, provenance=ended, evaluations=[evaluation([value])]), {})
    store.write(trial(seed=1, digest="d" * 64, evaluations=[evaluation([7.0])]), {})
    # Of two trials that ended at the same time the later in order counts, as in reports.
    assert store.to_dataframe()[["seed", "value", "ended"]].to_numpy().tolist() == [
        [0, 4.0, "2026-01-02"],
        [1, 7.0, ""],
    ]
    every = store.to_dataframe(every=True)
    assert every.value.tolist() == [3.0, 1.0, 4.0, 7.0]
    assert every.ended.tolist() == ["2026-01-02", "2026-01-01", "2026-01-02", ""]


def test_trials_are_found_by_folder_and_by_hash(tmp_path):
    store = Store(tmp_path)
    store.write(trial(), {})
    store.write(trial(seed=1, digest="b" * 64), {})
    assert len(store.find("mine/ae")) == 2
    assert [t.seed for _, t in store.find("bbbb")] == [1]
    assert [t.seed for _, t in store.find("mine/ae/0-")] == [0]


def test_a_store_that_is_a_file_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        Store(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written"):
        Store(tmp_path / "file" / "below").check_writable()


# -- logs -------------------------------------------------------------------------------------------------------------


def written_log(store: Store, said: str, begun: str) -> str:
    path = store.root.parent / "said.txt"
    path.write_text(said)
    return (store.write(trial(requested=begun), {"log.txt": path}) / "log.txt").read_text()


def test_what_a_process_prints_is_added_to_the_log_of_its_trial(tmp_path):
    store = Store(tmp_path / "results")
    first = written_log(store, "of the fit", "2026-01-01")
    assert first == "== process started 2026-01-01 ==\nof the fit\n"
    silent = written_log(store, "", "2026-01-02")
    assert silent == f"{first}== process started 2026-01-02 ==\n(no output)\n"
    assert written_log(store, "later\n", "2026-01-03") == f"{silent}== process started 2026-01-03 ==\nlater\n"
    folder = store.write(trial(), {})
    assert last_lines(folder, 2) == ["== process started 2026-01-03 ==", "later"]


def test_who_prints_nothing_has_no_log(tmp_path):
    folder = Store(tmp_path / "results").write(trial(), {"log.txt": tmp_path / "missing"})
    assert not (folder / "log.txt").exists()
    assert last_lines(folder, 3) == []


def test_a_log_stays_small(tmp_path):
    store = Store(tmp_path / "results")
    first = written_log(store, "a" * LOG_CHARACTERS, "2026-01-01")
    last = written_log(store, "b" * LOG_CHARACTERS, "2026-01-02")
    assert LOG_CHARACTERS - 2 < len(first) <= LOG_CHARACTERS and LOG_CHARACTERS - 2 < len(last) <= LOG_CHARACTERS
    assert "a\n… the middle is left out: of a log 40,000 characters are kept …\n" in last
    assert last.startswith("== process started 2026-01-01 ==\naaa")
    assert last.endswith("bbb\n")


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_a_log_that_cannot_be_written_costs_only_the_log(tmp_path, kind):
    store = Store(tmp_path / "results")
    log = store.write(trial(), {}) / "log.txt"
    (tmp_path / "elsewhere").mkdir()
    {
        "folder": log.mkdir,
        "fifo": lambda: os.mkfifo(log),
        "link": lambda: log.symlink_to(tmp_path / "elsewhere" / "file"),
    }[kind]()
    said = tmp_path / "said.txt"
    said.write_text("said")
    store.write(trial(requested="2027"), {"log.txt": said})
    assert store.read()[0][0].requested == "2027"
    assert log.is_dir() or log.read_text().endswith("said\n")
    assert list((tmp_path / "elsewhere").iterdir()) == []
