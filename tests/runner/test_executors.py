"""What executors send to other machines, and what comes back."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import job, protocol_job
from msgspec.structs import replace

from reprbench.api.running import RunOptions, requested_specs
from reprbench.limit import Limit
from reprbench.protocols.knn import KNN
from reprbench.registry import Entry, discover
from reprbench.runner import schedule
from reprbench.runner.executors import host, mirror
from reprbench.runner.executors.host import decoded, looks, ordered
from reprbench.runner.executors.mirror import Mirror
from reprbench.runner.job import Ended, TrialResult
from reprbench.runner.limits import Limits
from reprbench.runner.plan import plan
from reprbench.runner.request import Overrides
from reprbench.runner.schedule import Folders
from reprbench.spec import parse_call
from reprbench.trial import to_json

DATA = SimpleNamespace(digest="d")
KNN_CALL = parse_call("knn")
ENDED = json.dumps(to_json(Ended(TrialResult(status="done"), None))).encode()


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.fixture
def planned_job(tmp_path, plugin):
    """Return the job of a method of a plugin file that imports another."""
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "__init__.py").touch()
    (folder / "inner" / "names.py").write_text("LAYER = 'codes'\n")
    path = plugin(
        "mine/flat2.py",
        "from inner.names import LAYER\n@register('flat2')\nclass Flat2(Flat):\n"
        "    def encode(self, x):\n        return {LAYER: super().encode(x)['pixels']}\n",
    )
    overrides = Overrides(methods=(parse_call("flat2"),), limit=Limit.each(60), protocols=(parse_call("knn"),))
    folders, options = Folders([], tmp_path / "cache"), RunOptions(overrides=overrides)
    (planned,) = plan(requested_specs(options, discover([path], folder=None), folders, Limits()), [])
    return schedule._job(planned, folders)


def test_plugin_files_travel_to_a_machine_without_them(planned_job, tmp_path):
    content = ordered(planned_job, None, None, "cpu", 1, with_code=True)
    (tmp_path / "mine").rename(tmp_path / "gone")
    seen = {name: part for files in looks(content) for name, part in files.items()}
    assert json.loads(seen["ended.json"])["result"]["reason"] == ""
    (evaluation,) = [json.loads(part) for name, part in seen.items() if name.startswith("evaluations/")]
    assert evaluation["status"] == "done"
    assert len(evaluation["measurements"]) > 1


def test_other_code_on_a_machine_is_said_to_be_that(planned_job, tmp_path):
    content = ordered(planned_job, None, None, "cpu", 1)
    (tmp_path / "mine" / "inner" / "names.py").write_text("LAYER = 'others'\n")
    (ended,) = [files["ended.json"] for files in looks(content) if "ended.json" in files]
    reason = json.loads(ended)["result"]["reason"]
    assert reason.startswith(f"the code or a file of method flat2 on {os.uname().nodename} are not those that the run")


def test_a_file_named_from_the_folder_of_the_run_is_found_from_another(plugin, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "w.txt").write_text("weights")
    path = plugin("filed.py", "from reprbench import File\n@register('filed')\nclass Filed(Flat):\n    weights: File\n")
    overrides = Overrides(methods=(parse_call("filed[weights=w.txt]"),), limit=Limit.each(60), protocols=(KNN_CALL,))
    folders, options = Folders([], tmp_path / "cache"), RunOptions(overrides=overrides)
    monkeypatch.chdir(tmp_path / "run")
    (planned,) = plan(requested_specs(options, discover([path], folder=None), folders, Limits()), [])
    content = ordered(schedule._job(planned, folders), None, None, "cpu", 1)
    monkeypatch.chdir(tmp_path)
    (ended,) = [json.loads(files["ended.json"]) for files in looks(content) if "ended.json" in files]
    assert (ended["result"]["status"], ended["result"]["reason"]) == ("done", "")
    assert Path.cwd() == tmp_path


def test_an_order_keeps_names_that_are_no_utf8(tmp_path):
    name = os.fsdecode(b"/data/caf\xe9")
    asked = replace(job(DATA, Path(name)), data_dirs=[Path(name), Path("data")])
    found = decoded(ordered(asked, 1.5, 10, "cuda", 3)).job
    assert found == replace(asked, device="cuda", threads=3, sent=True, data_dirs=[Path(name), Path("data").absolute()])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "0"}, "could not be started: it has reprbench .*, the run 0; install the same"),
        ({"job": 3}, "could not be started: Expected `object`, got `int`"),
    ],
)
def test_an_order_that_cannot_be_followed_is_a_failed_trial(tmp_path, changes, why):
    content = json.loads(ordered(job(DATA, tmp_path / "cache"), None, None, "cpu", 1))
    (files,) = looks(json.dumps({**content, **changes}).encode())
    result = json.loads(files["ended.json"])["result"]
    assert result["status"] == "failed"
    assert re.search(why, result["reason"])


def test_a_cache_that_cannot_be_made_there_is_named(tmp_path):
    (tmp_path / "file").touch()
    (files,) = looks(ordered(job(DATA, tmp_path / "file" / "cache"), None, None, "cpu", 1))
    reason = json.loads(files["ended.json"])["result"]["reason"]
    assert f"could not be started: cache {tmp_path / 'file' / 'cache'}: cannot be written (not a directory)" in reason


def test_figures_come_before_the_evaluation_they_belong_to_and_large_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(host, "RESULT_BYTES", 10)
    asked = protocol_job(KNN())
    for name, content in [("figures/a.png", b"small"), ("figures/b.png", b"large" * 9), ("fit.json", b"{}")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "evaluations").mkdir()
    (tmp_path / "evaluations" / f"{asked.hash}.json").write_bytes(b"{}")
    (tmp_path / "history.csv").symlink_to("/etc/passwd")
    written = host.Written(tmp_path, [asked])
    assert list(written.new()) == ["figures/a.png", "fit.json", f"evaluations/{asked.hash}.json"]
    assert written.new() == {}
    (warning,) = written.warnings
    assert warning.startswith("figures/b.png has more than")


def test_entries_of_files_are_those_of_the_copies(tmp_path):
    moved = host._written_below(tmp_path, {"/a/b.py": b"x", "/a/c/d.py": b"y"})
    assert Path(moved(Entry("n", "file", "/a/b.py")).target).read_bytes() == b"x"
    installed = Entry("n", "entry point", "m:N")
    assert moved(installed) is installed


# -- what comes back ---------------------------------------------------------------------------------------------------


def test_files_that_no_trial_has_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(mirror, "RESULT_BYTES", 10)
    names = [
        "../fit.json", "/fit.json", "evaluations/../../x.json", "evaluations/a/b.json", "figures/x.json", "job.json",
        "evaluations/\0.json", "./fit.json", "figures/.png",
    ]  # fmt: skip
    folder = tmp_path / "mirror"
    Mirror(folder).put({**dict.fromkeys(names, b"x"), "fit.json": b"y" * 99, "figures/a.png": b"x"})
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "mirror/figures/a.png",
        "mirror/fit.json",
    ]
    assert (folder / "fit.json").read_bytes() == b"y" * 11


def test_a_report_of_progress_is_read_once_and_reaches_no_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("reprbench.files.sync", synced.append)
    found = Mirror(tmp_path)
    found.put({"progress.json": b'{"what": "fit", "share": 7}'})
    assert [(one.what, one.share) for one in found.messages()] == [("fit", 1.0)]
    assert found.messages() == []
    found.put({"progress.json": b"{}"})
    assert found.messages() == []
    assert synced == []
    assert not found.ended()
    found.put({"ended.json": ENDED})
    assert synced
    assert found.ended()
    assert found.result() == (TrialResult(status="done"), None)
