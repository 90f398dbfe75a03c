"""From a store to trials, their learners, and features."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from learners_of_cells import Centered
from PIL import Image
from trials import method, trial

import reprbench as rb
from reprbench import Images, UserError, View
from reprbench.api.stores import LoadedStore
from reprbench.api.trials import StoredTrial
from reprbench.history_file import write_history
from reprbench.registry import discover
from reprbench.runner.describe import code_of

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)


def test_a_learner_is_what_the_trial_evaluated(made):
    learner = made.loaded.trial("adhoc/centered").learner()
    data = rb.dataset("digits", limit=150)
    torch.testing.assert_close(learner.mean, data.train.batch(slice(None)).mean(0))
    stored = made.loaded.trial("centered[factor=2.0]").record.evaluations[0].measurements
    assert [(one.value, one.at) for one in rb.evaluate(learner, "knn", data)] == [(one.value, one.at) for one in stored]


def test_what_a_fit_logged_is_a_table(made, tmp_path):
    assert made.loaded.trial("raw-pixels").history().empty
    one = StoredTrial(trial(), tmp_path, tmp_path)
    one.folder.mkdir(parents=True)
    write_history(one.folder / "history.csv", [{"step": 1, "loss": 1 / 3}, {"step": 2, "noise": 0.5}])
    found = one.history()
    assert list(found.columns) == ["step", "loss", "noise"]
    assert found.loss.tolist()[:1] == [1 / 3]
    assert found.isna().to_numpy().sum() == 2


def test_arrays_tensors_and_images_are_encoded_alike(made):
    one = made.loaded.trial("adhoc/centered")
    expected = 2 * (torch.from_numpy(PIXELS) / 255 - one.learner().mean).flatten(1) + 0.5
    floats = PIXELS / 255
    assert floats.dtype == np.float64
    given = [PIXELS, torch.from_numpy(PIXELS), Images(PIXELS), floats.astype(np.float32), floats, torch.tensor(floats)]
    for images in given:
        np.testing.assert_allclose(one.encode(images, View()), expected.numpy(), rtol=1e-5)
    assert one.encode(PIXELS)["pixels"].shape == (4, 64)


def test_files_are_cropped_resized_and_made_gray(made, tmp_path):
    wide = np.zeros((16, 40, 3), np.uint8)
    wide[:, 12:28] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(np.full((8, 8), 255, np.uint8)).save(tmp_path / "white.png")
    found = made.loaded.trial("raw-pixels").encode([tmp_path / "wide.png", str(tmp_path / "white.png")], View())
    np.testing.assert_array_equal(found, np.ones((2, 64), np.float32))
    assert made.loaded.trial("raw-pixels").encode(tmp_path / "white.png", View()).shape == (1, 64)
    assert made.loaded.trial("raw-pixels").encode(tmp_path.glob("*.png"), View()).shape == (2, 64)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 8, 8), np.uint8), r"expected an array \(N, 1, 8, 8\).* not one of shape \(2, 3, 8, 8\)"),
        ([1, 2], "not list"),
        ([], "there are none to encode"),
        ((one for one in []), "there are none to encode"),
        (PIXELS[:0], "there are none to encode"),
        (3, "not int"),
        ("missing.png", "missing.png: not readable as an image"),
    ],
)
def test_images_that_do_not_fit_are_named(made, images, message):
    with pytest.raises(UserError, match=message):
        made.loaded.trial("raw-pixels").encode(images)


def test_a_fit_that_is_gone_is_named_with_the_command_that_makes_it(made, tmp_path):
    shutil.copytree(made.cache / "plugins", tmp_path / "cache" / "plugins")
    store = rb.load(made.store, cache=tmp_path / "cache")
    with pytest.raises(UserError, match=r"no longer in the cache .* --methods 'centered\[factor=2.0\]' .*--plugin"):
        store.trial("adhoc/centered").learner()
    with pytest.raises(UserError, match="--methods raw-pixels --seeds 0 --protocols knn --epochs 1 --limit 150"):
        store.trial("raw-pixels").learner()


@pytest.mark.parametrize(
    ("where", "label", "protocols", "expected"),
    [
        ("adhoc", "pca", ["linear-svm"], ""),
        ("adhoc", "pca", ["linear-svm[grid=1]", "knn"], " --protocols 'linear-svm[grid=1],knn'"),
        ("quick", "PCA", ["linear-svm"], ""),
        ("quick", "PCA", ["linear-svm", "knn"], " --protocols linear-svm,knn"),
        ("elsewhere", "pca", ["linear-svm"], " --protocols linear-svm"),
    ],
)
def test_the_command_names_protocols_that_are_not_the_default(tmp_path, where, label, protocols, expected):
    entry = discover(folder=None).methods["pca"]
    pca = method("pca", code=code_of(entry.load(), entry))
    record = trial(label, benchmark=where, method=pca, protocols=protocols)
    with pytest.raises(UserError, match="makes it again") as refused:
        StoredTrial(record, tmp_path, tmp_path).learner()
    assert f"--methods pca --seeds 0{expected} --" in str(refused.value)


def test_a_failed_trial_has_no_fit(made):
    with pytest.raises(UserError, match="no longer in the cache"):
        made.loaded.trial("broken").learner()


def test_other_code_is_not_given_the_state(made, tmp_path):
    (tmp_path / "other.py").write_text(
        "from reprbench import Learner, register\n@register('centered')\nclass Centered(Learner):\n"
        "    factor: float = 1.0\n    def fit(self, images, run): ...\n    def encode(self, x): return {'x': x}\n"
    )
    store = rb.load(made.store, cache=tmp_path, plugins=[tmp_path / "other.py"])
    with pytest.raises(UserError, match=r"ran centered with code \w+, and .*other.py has code \w+; name the file"):
        store.trial("adhoc/centered").learner()
    with pytest.raises(UserError, match="no method 'centered' is known"):
        rb.load(made.store, cache=tmp_path).trial("adhoc/centered").learner()


def test_a_supervised_trial_gives_the_learner_of_each_fold(tmp_path):
    places = {"store": tmp_path / "results", "cache": tmp_path / "cache"}
    (tmp_path / "means.py").write_text(
        "import torch\nfrom reprbench import SupervisedLearner, register\n@register('means')\n"
        "class Means(SupervisedLearner):\n    def fit_labeled(self, images, labels, run):\n"
        "        self.mean = images.batch(slice(None)).mean(0)\n        run.images_seen += len(images)\n"
        "    def encode(self, x): return {'x': x - self.mean}\n"
    )
    plugins = [tmp_path / "means.py"]
    rb.run("means", epochs=1, protocols="knn", limit=150, quiet=True, plugins=plugins, device="cpu", **places)
    one = rb.load(places["store"], cache=places["cache"], plugins=plugins).trial("means")
    data = rb.dataset("digits", limit=150)
    for fold in (0, 9):
        torch.testing.assert_close(
            one.learner(fold=fold).mean, data.train.take(data.folds[fold]).batch(slice(None)).mean(0)
        )
    with pytest.raises(UserError, match="has the folds 0 to 9"):
        one.learner(fold=10)
    with pytest.raises(UserError, match="is supervised, and must be fitted to each fold"):
        rb.evaluate(one.learner(), "knn", data)


# -- names of trials --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    found = LoadedStore(tmp_path)
    found.write(trial("ae", digest="a1" * 32, requested="2026"), {})
    found.write(trial("ae", digest="a2" * 32, requested="2027"), {})
    found.write(trial("ae wide", digest="b1" * 32), {})
    found.write(trial("ae wide", digest="b2" * 32, seed=1), {})
    return found


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ae", "mine/ae/0-a2a2a2a2"),
        ("mine/ae/0-a1a1a1a1", "mine/ae/0-a1a1a1a1"),
        ("mine/ae/1", "mine/ae/1-b2b2b2b2"),
        ("b1b1", "mine/ae/0-b1b1b1b1"),
        ("mine/ae/0-a", "mine/ae/0-a2a2a2a2"),
    ],
)
def test_a_name_means_the_newest_trial_of_a_row(store, name, folder):
    assert store.trial(name).record.folder == folder
    assert store.trial(name + "/" * ("/" in name)).folder == store.root / folder


def test_a_path_leads_into_any_store(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = LoadedStore(tmp_path / "other")
    for name in ("mine/ae/0-a1a1a1a1", f"{tmp_path}/mine/ae/0-a1a1a1a1/trial.json", tmp_path / "mine/ae/0-a1a1a1a1"):
        assert other.trial(name).record.hash == "a1" * 32
        assert other.trial(name).folder == tmp_path / "mine/ae/0-a1a1a1a1"
    (tmp_path / "mine/ae/0-a1a1a1a1/trial.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        other.trial("mine/ae/0-a1a1a1a1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ae wide", r"2 trials have that name; say which one: mine/ae/0-b1b1b1b1 \(ae wide, seed 0\); mine/ae/1-"),
        ("mine", "3 trials have that name"),
        ("other", r"not in the store; it has: mine/ae/0-a2a2a2a2 \(ae, seed 0\)"),
        ("", "not in the store"),
        (None, "trial None: expected a name, such as 'quick/ae'"),
        (3, "trial 3: expected a name"),
    ],
)
def test_other_names_list_what_there_is(store, name, message):
    with pytest.raises(UserError, match=message):
        store.trial(name)


# -- datasets and protocols at hand -----------------------------------------------------------------------------------


def test_a_dataset_takes_parameters_and_a_limit():
    found = rb.dataset("digits", limit={"test": 100}, development=300)
    assert len(found.test) == 100
    with pytest.raises(UserError, match="unknown dataset 'digit'. Did you mean 'digits'"):
        rb.dataset("digit")
    with pytest.raises(UserError, match="limit"):
        rb.dataset("digits", limit=0)


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ("interpolation", "interpolation needs a learner that .*, which Centered does not"),
        ("knnn", "unknown protocol 'knnn'. Did you mean 'knn'"),
        ("knn[neighbours=3]", "protocol knn: unknown 'neighbours'"),
    ],
)
def test_protocols_that_cannot_be_run_are_named(protocol, message):
    with pytest.raises(UserError, match=message):
        rb.evaluate(Centered(), protocol, rb.dataset("digits", limit=100))


def test_a_dataset_is_also_a_call(made):
    learner, data = made.loaded.trial("raw-pixels").learner(), rb.dataset("digits[development=300]")
    found = rb.evaluate(learner, "knn[folds=none]", "digits[development=300]")
    assert found == rb.evaluate(learner, "knn[folds=none]", data)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learner": Centered}, "the class Centered is given: expected a fitted learner, such as trial.learner"),
        ({"learner": Centered()}, "Centered has no attribute 'mean': expected a fitted learner"),
        ({"learner": None}, "None is given: expected a fitted learner"),
        ({"protocol": 3}, "protocol: 3: expected a name or a call"),
        ({"dataset": 3}, "dataset: 3: expected a name or a call"),
        ({"dataset": "digit"}, "unknown dataset 'digit'"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(given, message):
    with pytest.raises(UserError, match=message):
        rb.evaluate(**{"learner": Centered(), "protocol": "knn", "dataset": "digits", **given})


def test_a_trial_is_no_learner_and_a_reason_is_said_once(made):
    with pytest.raises(UserError, match="<trial adhoc/centered.* is given: expected a fitted learner"):
        rb.evaluate(made.loaded.trial("adhoc/centered"), "knn", "digits")

    class Copying(Centered):
        mean = 0.0

        def encode(self, x):
            return {"pixels": x}

        def reconstruct(self, x):
            return x

    with pytest.raises(UserError, match="^convergence: the fit"):
        rb.evaluate(Copying(), "convergence", "digits")


def test_a_protocol_extracts_each_feature_once():
    class Counting(Centered):
        def encode(self, x):
            seen.append(len(x))
            return super().encode(x)

    seen: list[int] = []
    learner, data = Counting(), rb.dataset("digits", limit=150)
    learner.mean = torch.zeros(1, 8, 8)
    rb.evaluate(learner, "knn", data)
    assert sum(seen) <= len(data.train) + len(data.test)
