from __future__ import annotations

import numpy as np
import pytest
from reprbench.methods import computed
from reprbench.methods.computed import ComputedFeatures
from reprbench.methods.controls import RawPixels

import reprbench as rb
from reprbench.errors import UserError
from reprbench.learner import make
from reprbench.registry import discover
from reprbench.runner.describe import Question, answer

LIMIT = 150
PROTOCOLS = ["robustness", "reconstruction", "transfer[to=[digits]]", "knn"]


@pytest.fixture(scope="module")
def digits():
    return rb.dataset("digits", limit=LIMIT)


@pytest.fixture
def files(digits, tmp_path):
    """The pixels as features: the rows of `raw-pixels`, of which the harness must then find the same numbers."""
    paths = {split: tmp_path / f"{split}.npy" for split in ("train", "test")}
    for split, path in paths.items():
        images = getattr(digits, split)
        np.save(path, images.pixels(slice(None)).reshape(len(images), -1) / np.float32(255))
    return paths


def run(tmp_path, methods, protocols, **more):
    return rb.run(dataset="digits", methods=methods, protocols=protocols, limit=LIMIT, store=tmp_path / "s", **more)


def test_a_row_of_features_has_the_numbers_of_what_computed_them(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    methods = ["raw-pixels", "features[train=train.npy,test=test.npy]"]
    found = run(tmp_path, methods, ["knn", "linear-svm[costs=[0.1]]"], epochs=1)
    other, one = (trial.record for trial in found.trials())
    assert (one.status, other.status) == ("done", "done")
    values = [[(m.metric, m.value) for e in trial.evaluations for m in e.measurements] for trial in (one, other)]
    assert values[0] == values[1] != []
    assert other.method.kind == "pretrained"
    assert other.cost.images_seen == 0
    assert all(len(other.identity["parameters"][split]["file"]) == 64 for split in ("train", "test"))


def test_protocols_that_encode_images_leave_the_row_empty_and_say_why(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run(tmp_path, "features[train=train.npy,test=test.npy]", PROTOCOLS, epochs=1)
    trial = found.trials()[0].record
    *others, knn = trial.evaluations
    assert trial.status == knn.status == "done"
    for one, name in zip(others, ("robustness", "reconstruction", "transfer"), strict=True):
        assert one.status == "skipped"
        assert one.reason.startswith(f"{name} encodes images itself; features has features of the dataset's images")


def test_protocols_that_read_features_of_test_images_measure_what_they_can(files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    protocols = ["geometry[images=20,views=2,grid=8]", "code-stats", "similarity[images=100,grid=8]"]
    methods = ["raw-pixels", "features[train=train.npy,test=test.npy]"]
    found = run(tmp_path, methods, protocols, epochs=1)
    own, other = (trial.record for trial in found.trials())
    assert [one.status for one in own.evaluations] == ["done"] * 3
    values = [{e.call.name: {m.metric: m.value for m in e.measurements} for e in t.evaluations} for t in (own, other)]
    geometry = values[0]["geometry"]
    assert geometry == {metric: values[1]["geometry"][metric] for metric in geometry}
    assert values[1]["geometry"].keys() - geometry.keys() == {"alignment", "LiDAR"}
    assert {one.metric for one in own.evaluations[0].headlines} == geometry.keys() != set()
    (warning,) = [text for text in own.evaluations[0].warnings if "LiDAR" in text]
    assert warning == (
        "alignment and LiDAR are not measured, which need transformed images: features has features of the dataset's "
        "images, and encodes no others"
    )
    assert values[0]["similarity"] == {"CKA": pytest.approx(1, abs=1e-6)}
    # What reports compare between methods.
    own_gram, other_gram = own.evaluations[2].grams[0], other.evaluations[2].grams[0]
    assert own_gram.images == other_gram.images


def test_another_count_ends_the_planning_with_both_numbers(files, tmp_path, here):
    np.save(files["test"], np.zeros((7, 3)))
    np.save(files["train"], np.zeros((LIMIT, 3)))
    given = f"features[train={files['train']},test={files['test']}]"
    done = here("run", "--dataset", "digits", "--limit", str(LIMIT), "--methods", given)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "there are features of 7 images for the test split, which has 150" in line
    learner = make(ComputedFeatures, files, (1, 8, 8))
    with pytest.raises(UserError, match="7 images for the test split, which has 150"):
        rb.evaluate(learner, "knn", rb.dataset("digits", limit=LIMIT))


def test_they_are_evaluated_in_python(files, digits):
    learner = make(ComputedFeatures, files, (1, 8, 8))
    values = [[m.value for m in rb.evaluate(one, "knn", digits)] for one in (learner, RawPixels())]
    assert values[0] == values[1]
    assert {m.metric for m in rb.evaluate(learner, "code-stats", digits)} >= {"RankMe", "units"}
    assert {m.metric for m in rb.evaluate(learner, "geometry", digits)} == {"RankMe", "uniformity", "alpha"}
    for protocol in ("robustness", "transfer[to=[digits]]"):
        with pytest.raises(UserError, match="encodes no others"):
            rb.evaluate(learner, protocol, digits)


def test_maps_are_pooled_by_the_protocol(digits, tmp_path):
    files = {}
    for split in ("train", "test"):
        files[split] = tmp_path / f"{split}.npy"
        np.save(files[split], np.zeros((LIMIT, 5, 3, 3), dtype=np.float16))
    learner = make(ComputedFeatures, files, (1, 8, 8))
    assert learner.counts() == {"train": LIMIT, "test": LIMIT}
    maps = learner.features_of("test", np.array([3, 1]))
    assert maps["features"].shape == (2, 5, 3, 3)


def test_rows_are_found_in_the_order_that_is_asked_for(tmp_path):
    files = {"train": tmp_path / "a.npy", "test": tmp_path / "b.npy"}
    np.save(files["train"], np.asfortranarray(np.arange(20).reshape(10, 2)))
    np.save(files["test"], -np.arange(6.0).reshape(3, 2))
    learner = make(ComputedFeatures, files, (1, 8, 8))
    assert learner.features_of("train", np.array([9, 0, 4]))["features"].tolist() == [[18, 19], [0, 1], [8, 9]]
    assert learner.features_of("test", np.array([2]))["features"].tolist() == [[-4, -5]]


@pytest.mark.parametrize(("value", "dtype"), [(np.nan, np.float32), (-np.inf, np.float16), (1e39, np.float64)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_features_that_are_not_finite_are_named(files, value, dtype, order, monkeypatch):
    monkeypatch.setattr(computed, "BLOCK", 4 * 64)
    array = np.load(files["test"]).astype(dtype, order=order)
    array[[5, 7], 2] = value
    np.save(files["test"], array)
    with pytest.raises(UserError, match="test.npy: the features of image 5 are not all finite in float32"):
        make(ComputedFeatures, files, (1, 8, 8))
    array[[5, 7], 2] = np.finfo(np.float16).max
    np.save(files["test"], array)
    make(ComputedFeatures, files, (1, 8, 8))


def test_maps_that_are_not_finite_are_named(files):
    maps = np.zeros((LIMIT, 5, 3, 3))
    maps[9, 4, 2, 2] = np.nan
    np.save(files["train"], maps)
    with pytest.raises(UserError, match="train.npy: the features of image 9"):
        make(ComputedFeatures, files, (1, 8, 8))


def test_features_that_are_not_finite_end_the_planning(files, here):
    np.save(files["test"], np.full((LIMIT, 64), np.inf))
    given = f"features[train={files['train']},test={files['test']}]"
    done = here("run", "--dataset", "digits", "--limit", str(LIMIT), "--methods", given)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "test.npy: the features of image 0 are not all finite in float32" in line


def test_a_file_is_read_for_them_once(files, monkeypatch):
    make(ComputedFeatures, files, (1, 8, 8))
    monkeypatch.setattr(np, "isfinite", None)
    make(ComputedFeatures, files, (1, 8, 8))


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 2), dtype=complex), "expected numbers of shape"),
        (np.zeros((4, 2), dtype=bool), "not bool of"),
        (np.array([["a"]]), "not <U1 of"),
        (np.zeros(4), r"not float64 of \(4,\)"),
        (np.zeros((4, 2, 2)), "of shape"),
        (np.zeros((4, 0)), "of shape"),
        (np.array([[{}]], dtype=object), "not an array of numbers as .npy"),
        (None, "not an array of numbers as .npy"),
    ],
)
def test_a_file_without_features(tmp_path, files, array, said):
    path = tmp_path / "wrong.npy"
    path.write_text("text") if array is None else np.save(path, array, allow_pickle=True)
    with pytest.raises(UserError, match=f"wrong.npy: .*{said}"):
        make(ComputedFeatures, {**files, "train": path}, (1, 8, 8))


def test_splits_of_different_features(files, tmp_path):
    np.save(tmp_path / "other.npy", np.zeros((LIMIT, 3)))
    with pytest.raises(UserError, match=r"features of shape \(3,\) for each image, and .* of \(64,\)"):
        make(ComputedFeatures, {**files, "train": tmp_path / "other.npy"}, (1, 8, 8))


def test_there_is_nothing_to_check(files, here):
    done = here("check", f"features[train={files['train']},test={files['test']}]")
    assert (done.returncode, done.stderr.strip()) == (
        2,
        "Error: method features encodes no images, which is what would be checked",
    )


def test_files_that_are_not_named_must_be_given():
    found = answer(Question(discover(folder=None).methods["features"]))
    assert found.mistakes == [f"method features: {split}: must be given (file)" for split in ("train", "test")]
