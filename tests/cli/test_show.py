"""``reprbench show`` as a user types it."""

from __future__ import annotations

import json

import pytest
from trials import evaluation, method, swept, trial

from reprbench import load
from reprbench.measurement import Headline, Measurement
from reprbench.spec import Budget
from reprbench.store import Store
from reprbench.trial import Code, Cost, Deviation, Figure, to_json

TRIAL = trial(
    "mine",
    digest="5" * 64,
    method=method("kmeans[n_centroids=8]", parameters={"n_centroids": 8, "whiten": True}, code=Code(version=3)),
    budget=Budget(epochs=2, seconds=60),
    precision="bf16",
    protocols=["few-labels", "knn"],
    status="timeout",
    reason="took too long",
    deviations=[Deviation("limit", "limit 9")],
    warnings=["lr is large"],
    cost=Cost(parameters=1_560_000, fit_seconds=75.0, peak_memory=2**30),
    traceback="Traceback:\n  no \x1b[31mmore\n",
    evaluations=[
        evaluation(
            [],
            text="few-labels[labels=[1,10]]",
            hash="hash of few-labels",
            code=Code(source="abcdef0123456789"),
            headlines=[Headline("accuracy", {"labels": 10})],
            measurements=[Measurement("accuracy", 50.25, "%", "higher", {"fold": 0, "labels": 10})],
            warnings=["C at the edge"],
            figures=[Figure("curve", "figures/few-labels-1-curve.png")],
        )
    ],
    provenance={"ended": "2026-01-01"},
)


@pytest.fixture
def store(tmp_path):
    Store(tmp_path / "results").write(TRIAL, {})
    return tmp_path


def test_a_trial_of_another_store_is_found_by_its_path(here, store, tmp_path):
    (tmp_path / "results").rename(tmp_path / "others")
    folder = "others/mine/kmeans/0-55555555"
    for name in (folder, f"{folder}/", f"{folder}/trial.json", f"./{folder}", str(tmp_path / folder)):
        done = here("show", name)
        assert done.returncode in (0, None), done.stderr
        assert "mine  (kmeans[n_centroids=8], test, version 3)" in done.stdout
    done = here("show", "mine/kmeans/0-55555555")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: store results: no such folder")
    (tmp_path / folder / "trial.json").write_text("{")
    done = here("show", folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {folder}/trial.json: cannot be read: ")


@pytest.mark.parametrize(
    ("name", "found"), [("5" * 9, True), ("5" * 64, True), ("5" * 8 + "6", False), ("5" * 65, False)]
)
def test_a_hash_may_be_longer_than_in_the_folders_name(here, store, name, found):
    assert (here("show", name).returncode in (0, None)) == found


@pytest.mark.parametrize("name", ["mine/kmeans/0-55555555", "555", "results/mine/kmeans/0-55555555"])
def test_it_shows_everything_about_a_trial(here, store, name):
    done = here("show", name)
    assert done.returncode in (0, None), done.stderr
    for words in (
        "mine  (kmeans[n_centroids=8], test, version 3)",
        "status      timeout: took too long",
        "budget      2 epochs, 60 seconds; precision bf16; seed 0",
        "parameters  n_centroids=8, whiten=True",
        "1.56 M parameters",
        "fit 1 min 15 s",
        "peak 1024 MB",
        "note        limit 9",
        "note        lr is large",
        "few-labels[labels=[1,10]] code abcdef01, 1.0 s",
        "  accuracy (fold 0, labels 10): 50.25 %",
        "  warning: C at the edge",
        "  figure curve: results/mine/kmeans/0-55555555/figures/few-labels-1-curve.png",
        "knn: not evaluated",
        "ended: 2026-01-01",
        "Traceback:\n  no \\x1b[31mmore",
    ):
        assert words in done.stdout, words
    assert "few-labels: not evaluated" not in done.stdout


@pytest.mark.parametrize(
    ("cost", "shown"),
    [
        (Cost(), []),
        (Cost(parameters=0), ["size        0 parameters"]),
        (Cost(encode_flops=2000, peak_memory=0), ["size        2 k FLOPs per image", "cost        peak 0 MB"]),
        (Cost(peak_memory=2**30, peak_device_memory=2**20), ["cost        peak 1024 MB, peak 1 MB on the device"]),
        (Cost(images_seen=5, evaluation_seconds=1.0), ["cost        5 images seen, evaluation 1.0 s"]),
    ],
)
def test_unknown_costs_are_left_out(here, tmp_path, cost, shown):
    Store(tmp_path / "results").write(trial(cost=cost), {})
    lines = here("show", "aaaa").stdout.splitlines()
    assert [line for line in lines if line.startswith(("size", "cost"))] == shown


@pytest.mark.parametrize(("kind", "shown"), [("supervised", ", supervised)"), ("unsupervised", "code s)")])
def test_it_names_an_unusual_kind(here, tmp_path, kind, shown):
    Store(tmp_path / "results").write(trial(method=method(kind=kind)), {})
    assert shown in here("show", "aaaa").stdout.splitlines()[0]


def test_it_names_the_sweep_of_a_setting(here, tmp_path):
    one, _ = swept({"1.0": [(60, 90)], "2.0": [(80, 50)]}, seeds=(0,))
    Store(tmp_path / "results").write(one, {})
    line = "sweep       AE: lr=1.0, of 2 settings; chosen by inner accuracy, on seed 0, which is reported too\n"
    assert line in here("show", one.hash[:6]).stdout


def test_json_is_what_is_stored(here, store):
    assert json.loads(here("show", "555", "--format", "json").stdout) == json.loads(json.dumps(to_json(TRIAL)))


def test_a_missing_or_ambiguous_trial_is_a_mistake(here, store):
    Store(store / "results").write(trial(), {})
    for name in ("0000", ""):
        done = here("show", name)
        assert done.returncode == 2
        assert f"Error: trial {name!r}: not in the store; it has: " in done.stderr


@pytest.mark.parametrize("name", ["AE", "results", "results/mine", "results/mine/ae", "mine/ae", "mine"])
def test_labels_and_folders_with_one_trial_name_it(here, tmp_path, name):
    Store(tmp_path / "results").write(trial("AE"), {})
    done = here("show", name)
    assert done.returncode == 0, done.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if name.startswith("results"):
        assert here("show", f"../{name}", cwd=elsewhere).returncode == 0


@pytest.mark.parametrize("name", ["mine/ae", "results/mine/ae", "results/mine/ae/"])
def test_a_folder_of_superseded_trials_names_the_newest_everywhere(here, tmp_path, name):
    for digest, requested in (("a" * 64, "2026-01-01"), ("b" * 64, "2026-01-02")):
        Store(tmp_path / "results").write(trial(digest=digest, requested=requested), {})
    assert "b" * 64 in here("show", name, "--format", "json").stdout
    assert load("results").trial(name).record.hash == "b" * 64


# -- logs -------------------------------------------------------------------------------------------------------------


def with_log(folder, text, **changes):
    said = folder / "said.txt"
    said.write_text(text)
    Store(folder / "results").write(trial(**changes), {"log.txt": said})


def test_it_shows_the_log_alone(here, tmp_path):
    with_log(tmp_path, "one\ntwo \x1b[2J\x07\n", requested="2026-01-01")
    assert here("show", "aaaa", "--log").stdout == "== process started 2026-01-01 ==\none\ntwo �\n"


def test_a_trial_without_a_log_says_so(here, tmp_path):
    Store(tmp_path / "results").write(trial(), {})
    done = here("show", "aaaa", "--log")
    assert done.returncode == 2
    assert "results/mine/ae/0-aaaaaaaa: has no log" in done.stderr


def test_a_failure_is_followed_by_the_end_of_the_log(here, tmp_path):
    with_log(tmp_path, "".join(f"line {n}\n" for n in range(30)), status="failed", traceback="Traceback: x")
    lines = here("show", "aaaa").stdout.splitlines()
    place = lines.index("results/mine/ae/0-aaaaaaaa/log.txt ends with")
    assert lines[place - 2 : place] == ["Traceback: x", ""]
    assert lines[place + 1 :] == [f"  line {n}" for n in range(20, 30)]


@pytest.mark.parametrize("changes", [{}, {"status": "failed", "traceback": "a\nit broke"}])
def test_a_log_is_not_repeated(here, tmp_path, changes):
    with_log(tmp_path, "it broke\n", **changes)
    assert "ends with" not in here("show", "aaaa").stdout
