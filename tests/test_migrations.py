"""Trials of former versions: what schema 1 kept as texts."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from reprbench.measurement import Headline
from reprbench.migrations import SCHEMA, STEPS, migrate
from reprbench.spec import Budget, Call
from reprbench.store import Store
from reprbench.trial import Code, Figure, Trial, to_json
from reprbench.trial_file import read_trial

HASH = "5f0c" * 16
OLD: dict[str, Any] = {
    "schema_version": 1,
    "benchmark": "mine",
    "label": "K-means",
    "method": {
        "name": "kmeans",
        "call": "kmeans[n_centroids=800]",
        "parameters": {"n_centroids": 800, "whiten": True},
        "origin": "entry point",
        "source": "c0de" * 16,
        "supervised": False,
        "control": False,
    },
    "dataset": {
        "call": "folder[path=cifar,title=CIFAR-10 (JPEG)]",
        "title": "CIFAR-10 (JPEG)",
        "digest": "d" * 64,
        "limit": 1000,
        "shape": [3, 32, 32],
        "unlabeled": 1000,
        "train": 1000,
        "test": 100,
        "classes": 10,
        "folds": 2,
    },
    "budget": {"epochs": 5, "images": None, "seconds": None},
    "seed": 3,
    "identity": {"seed": 3},
    "hash": "a" * 64,
    "status": "done",
    "protocols": ["linear-svm[layers=all]", "embedding"],
    "evaluations": [
        {
            "name": "linear-svm",
            "version": 4,
            "parameters": {"layers": "all"},
            "text": "linear-svm[layers=all]",
            "headline": "accuracy",
            "headline_at": {"layer": "last"},
            "hash": HASH,
            "seconds": 2.5,
            "measurements": [
                {
                    "metric": "accuracy",
                    "value": 50.0,
                    "unit": "%",
                    "better": "higher",
                    "at": {"fold": 0, "layer": "last"},
                }
            ],
            "figures": [],
        }
    ],
    "provenance": {"ended": "2026-01-01", "device": "cpu"},
}


def read(tmp_path: Path, **changes: Any) -> Trial:
    """Read a trial of schema 1 with changes; `method` and `evaluation` change these parts."""
    content = copy.deepcopy(OLD)
    content["method"].update(changes.pop("method", {}))
    content["evaluations"][0].update(changes.pop("evaluation", {}))
    content.update(changes)
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(content))
    return read_trial(path)


def test_texts_become_calls_and_the_rest_stays(tmp_path):
    found = read(tmp_path)
    assert found.schema_version == SCHEMA
    assert found.method.call == Call(name="kmeans", parameters={"n_centroids": 800})
    assert found.method.parameters == {"n_centroids": 800, "whiten": True}
    assert found.method.code == Code(source="c0de" * 16)
    assert found.dataset.call == Call(name="folder", parameters={"path": "cifar", "title": "CIFAR-10 (JPEG)"})
    assert (found.dataset.limit, found.dataset.fold_size) == (1000, None)
    assert (found.budget, found.seed, found.hash) == (Budget(epochs=5), 3, "a" * 64)
    assert found.folder == "mine/kmeans/3-aaaaaaaa"
    (evaluation,) = found.evaluations
    assert evaluation.call == Call(name="linear-svm", parameters={"layers": "all"})
    assert (evaluation.code, evaluation.hash, evaluation.seconds) == (Code(version=4), HASH, 2.5)
    assert evaluation.headlines == [Headline("accuracy", {"layer": "last"})]
    assert evaluation.measurements[0].value == 50.0


def test_a_protocol_finds_its_evaluation_and_one_that_was_not_reached_none(tmp_path):
    layers, embedding = read(tmp_path).protocols
    found = read(tmp_path)
    assert (str(layers.call), layers.hash, layers.table) == ("linear-svm[layers=all]", HASH, None)
    assert found.evaluation(layers) is found.evaluations[0]
    assert str(embedding.call) == "embedding"
    assert found.evaluation(embedding) is None
    # The plain protocol of that name is another one.
    (plain,) = read(tmp_path, protocols=["linear-svm"]).protocols
    assert found.evaluation(plain) is None


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ({}, "unsupervised"),
        ({"supervised": True}, "supervised"),
        ({"control": True}, "control"),
        ({"supervised": True, "control": True}, "supervised"),
    ],
)
def test_flags_become_a_kind(tmp_path, method, kind):
    assert read(tmp_path, method=method).method.kind == kind


def test_flags_that_were_not_written_are_off(tmp_path):
    content = copy.deepcopy(OLD)
    del content["method"]["supervised"], content["method"]["control"], content["evaluations"][0]["headline_at"]
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(content))
    found = read_trial(path)
    assert found.method.kind == "unsupervised"
    assert found.evaluations[0].headlines == [Headline("accuracy")]


@pytest.mark.parametrize(
    ("provenance", "precision"),
    [
        ({"device": "cpu"}, "float32"),
        ({"device": "cuda"}, "bf16"),
        ({"device": "cuda:1"}, "bf16"),
        ({"device": "mps"}, "float32"),
        ({}, "float32"),
        (None, "float32"),
    ],
)
def test_fits_on_cuda_were_bfloat16(tmp_path, provenance, precision):
    content = {} if provenance is None else {"provenance": provenance}
    assert read(tmp_path, **content).precision == precision


@pytest.mark.parametrize(
    ("evaluated", "fitted", "precision"),
    [("cpu", "cuda", "bf16"), ("cuda", "cpu", "float32"), ("cuda", None, "bf16"), ("cpu", None, "float32")],
)
def test_the_precision_is_that_of_the_process_that_fitted(tmp_path, evaluated, fitted, precision):
    provenance = {"device": evaluated, "fit": fitted and {"device": fitted}}
    assert read(tmp_path, provenance=provenance).precision == precision


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("protocol of its own: linear-svm[layers=all], embedding", ["linear-svm", "embedding"]),
        ("protocol linear-svm[layers=all], embedding", [None, None]),
        ("budget of its own: 30 epochs", [None, None]),
    ],
)
def test_a_rows_own_protocols_are_in_the_tables_of_the_benchmarks(tmp_path, text, tables):
    found = read(tmp_path, deviations=[text]).protocols
    assert [one.table and str(one.table) for one in found] == tables
    assert [str(one.call) for one in found] == ["linear-svm[layers=all]", "embedding"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("dataset folder[path=cifar,title=CIFAR-10 (JPEG)]", "dataset"),
        ("protocol optimal-classifier, knn", "protocol"),
        ("budget 2 epochs", "budget"),
        ("limit 10000", "limit"),
        ("limit None", "limit"),
        ("width=16", "parameters"),
        ("lr=0.001", "parameters"),
        ("limit=3", "parameters"),
        ("budget=dataset a=b", "parameters"),
        ("protocol of its own: linear-svm[pooling=sum]", "own protocol"),
        ("budget of its own: 30 epochs", "own budget"),
        ("train-images-idx3-ubyte: not the official file (md5 0a1b2c3d)", "data"),
        ("test_batch.bin: not the official file (sha256 ff)", "data"),
        ("dataset.bin: not the official file (sha256 ff)", "data"),
        ("", "data"),
    ],
)
def test_texts_become_deviations(tmp_path, text, kind):
    (deviation,) = read(tmp_path, deviations=[text]).deviations
    assert (deviation.kind, deviation.text) == (kind, text)
    assert deviation.from_benchmark == (not kind.startswith("own "))


@pytest.mark.parametrize(
    ("name", "file", "figure"),
    [
        ("linear-svm", "figures/linear-svm-5f0c5f0c-grid.png", "grid"),
        ("embedding", "figures/embedding-5f0c5f0c-map.png", "map"),
        ("knn", "figures/knn-5f0c5f0c-by-class.png", "by-class"),
        # A protocol, or a figure, may have a name that looks like a hash.
        ("deadbeef", "figures/deadbeef-5f0c5f0c-grid.png", "grid"),
        ("knn", "figures/knn-5f0c5f0c-deadbeef.png", "deadbeef"),
        ("knn", "figures/knn-5f0c5f0c-a.b.png", "a.b"),
        ("knn", "figures/other.png", "other"),
    ],
)
def test_files_become_figures(tmp_path, name, file, figure):
    found = read(tmp_path, evaluation={"name": name, "figures": [file]})
    assert found.evaluations[0].figures == [Figure(figure, file)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("npz[path=a,b]", "npz"),
        ("folder[path=x,title=a: b]", "folder"),
        ("folder[path=x,path=y]", "folder"),
        ("folder[path=[x]", "folder"),
        ("folder[path=x]]", "folder"),
        ("timm-backbone[weights={]", "timm-backbone"),
    ],
)
def test_of_calls_that_cannot_be_read_the_name_is_left(tmp_path, text, name):
    dataset = {**OLD["dataset"], "call": text}
    found = read(tmp_path, dataset=dataset, method={"call": text}, protocols=[text], evaluation={"text": text})
    assert found.dataset.call.name == found.method.call.name == found.evaluations[0].call.name == name
    assert found.dataset.title == "CIFAR-10 (JPEG)"
    # The protocol still finds its evaluation.
    assert found.evaluation(found.protocols[0]) is found.evaluations[0]


def test_two_protocols_that_cannot_be_read_stay_two(tmp_path):
    first, second = read(tmp_path, protocols=["p[a=1", "p[a=2"]).protocols
    assert first.hash != second.hash


def of_schema_2(status: str, protocols: str, *evaluated: str, **changes: Any) -> dict[str, Any]:
    """Return the content of a trial of schema 2 with these evaluations of its protocols."""
    calls = {name: {"name": name, "parameters": {}} for name in protocols.split()}
    example = STEPS[1](copy.deepcopy(OLD))["evaluations"][0]
    return {
        **STEPS[1](copy.deepcopy(OLD)),
        "schema_version": 2,
        "status": status,
        "reason": "why",
        "traceback": "Traceback",
        "signal": "SIGKILL",
        "cost": {"fit_seconds": None},
        "protocols": [{"call": call, "hash": f"h-{name}", "table": None} for name, call in calls.items()],
        "evaluations": [{**example, "call": calls[name], "hash": f"h-{name}"} for name in evaluated],
        **changes,
    }


def from_schema_2(tmp_path: Path, *words: Any, **changes: Any) -> Trial:
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(of_schema_2(*words, **changes)))
    return read_trial(path)


def test_a_failure_after_the_fit_becomes_that_of_the_first_protocol_without_an_evaluation(tmp_path):
    found = from_schema_2(tmp_path, "timeout", "knn embedding robustness", "knn")
    assert (found.status, found.reason, found.traceback, found.signal) == ("done", "", "", None)
    done, failed = found.evaluations
    assert (done.hash, done.status, done.reason) == ("h-knn", "done", "")
    assert (failed.hash, str(failed.call), failed.status, failed.reason) == (
        "h-embedding",
        "embedding",
        "timeout",
        "why",
    )
    assert (failed.traceback, failed.signal, failed.headlines) == ("Traceback", "SIGKILL", [])
    assert found.failure() is failed
    assert found.outcome(found.protocols[2]) == ("not evaluated", "the trial ended in embedding: timeout")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "timeout"),
        ({"cost": {"fit_seconds": 1.5}}, "done"),
        ({"cost": None}, "timeout"),
        ({"method": {**STEPS[1](copy.deepcopy(OLD))["method"], "kind": "supervised"}}, "done"),
    ],
)
def test_a_failure_is_the_fits_unless_that_was_done_or_is_part_of_evaluations(tmp_path, changes, status):
    if changes.get("cost", {}) is None:
        content = of_schema_2("timeout", "knn")
        del content["cost"]
        (tmp_path / "trial.json").write_text(json.dumps(content))
        found = read_trial(tmp_path / "trial.json")
    else:
        found = from_schema_2(tmp_path, "timeout", "knn", **changes)
    assert found.status == status
    assert [one.status for one in found.evaluations] == ([] if status == "timeout" else ["timeout"])
    assert found.failure().reason == "why"


def test_a_trial_of_schema_2_that_is_done_stays_as_it_was(tmp_path):
    found = from_schema_2(tmp_path, "done", "knn embedding", "knn", reason="", traceback="", signal=None)
    assert [(one.hash, one.status) for one in found.evaluations] == [("h-knn", "done")]
    assert (found.status, found.failure(), found.changed_by_hand) == ("done", None, False)


def test_what_was_missing_was_skipped(tmp_path):
    content = of_schema_2("done", "knn", "knn")
    content["evaluations"][0]["missing"] = "knn needs two classes"
    (tmp_path / "trial.json").write_text(json.dumps(content))
    (found,) = read_trial(tmp_path / "trial.json").evaluations
    assert (found.status, found.reason, found.finished) == ("skipped", "knn needs two classes", True)


def test_what_was_migrated_is_written_as_todays_schema(tmp_path):
    found = read(tmp_path, deviations=["limit 1000"], method={"control": True})
    again = Store(tmp_path / "store").write(found, {}) / "trial.json"
    assert json.loads(again.read_text())["schema_version"] == SCHEMA
    assert to_json(read_trial(again)) == to_json(found)


def test_a_migration_leaves_what_it_is_given_alone():
    content = copy.deepcopy(OLD)
    migrate(content, 1)
    assert content == OLD


def test_there_is_a_step_from_every_schema():
    assert sorted(STEPS) == list(range(1, SCHEMA))


@pytest.mark.parametrize(
    "broken",
    [
        {"method": None},
        {"method": {"call": "ae"}},
        {"dataset": []},
        {"evaluations": [{}]},
        {"evaluations": None},
        {"deviations": [3]},
        {"protocols": [None]},
        {"provenance": "here"},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_what_schema_1_never_wrote_is_refused_in_one_line(tmp_path, broken):
    path = tmp_path / "trial.json"
    path.write_text(json.dumps({**OLD, **broken}))
    with pytest.raises(ValueError, match=r"^schema 1 cannot be read: [^\n]*$"):
        read_trial(path)
