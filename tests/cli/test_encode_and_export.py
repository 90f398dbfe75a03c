"""``reprbench encode`` and ``export``: a trial's learner on new images, and as a folder."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import reprbench as rb


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store, a cache and two image files."""
    folder = tmp_path_factory.mktemp("learners")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rb.run("pca", protocols="knn", limit=150, quiet=True, device="cpu")
    for name, gray in (("a.png", 0), ("b.png", 255)):
        Image.fromarray(np.full((20, 30), gray, np.uint8)).save(folder / name)
    return folder


def test_features_of_files_are_written(folder, here):
    done = here("encode", "pca", "a.png", "b.png", "-o", "codes.npy", "--pooling", "mean", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "wrote codes.npy: 2 × 54 features of images of 1×8×8\n"
    assert not done.stdout
    pixels = np.stack([np.full((1, 8, 8), gray, np.uint8) for gray in (0, 255)])
    learner = rb.load(folder / "results", cache=folder / ".reprbench").trial("adhoc/pca").learner()
    np.testing.assert_array_equal(np.load(folder / "codes.npy"), rb.encode(learner, pixels, rb.View(pooling="mean")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("encode", "pca", "a.png", "-o", "c.npy", "--layers", "deep"), "Error: no layer 'deep'."),
        (("encode", "pcaa", "a.png", "-o", "c.npy"), "Error: trial 'pcaa': not in the store; it has: adhoc/pca/0-"),
        (("encode", "pca", "c.png", "-o", "c.npy"), "Error: c.png: not readable as an image"),
        (("encode", "pca", "a.png", "-o", "a.png"), "Error: -o a.png: expected a file that ends with .npy"),
        (("encode", "pca", "a.png", "-o", "codes"), "Error: -o codes: expected a file that ends with .npy"),
        (("encode", "pca", "-o", "c.npy"), "Error: Missing argument 'IMAGES...'."),
        (("encode", "pca", "a.png", "-o", "c.npy", "--store", "none"), "Error: store none: no such folder"),
        (("export", "pca", "."), "Error: .: is there already; name another folder"),
    ],
)
def test_mistakes_are_one_line(folder, here, words, message):
    done = here(*words, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
    assert not (folder / "c.npy").exists()


def test_an_exported_learner_is_loaded_with_equal_bits(folder, here):
    done = here("export", "pca", "exported", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "wrote exported\n")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), dtype=np.uint8)
    learner = rb.load(folder / "results", cache=folder / ".reprbench").trial("pca").learner()
    copied = rb.load_learner(folder / "exported")
    assert type(copied) is type(learner)
    np.testing.assert_array_equal(rb.encode(copied, pixels, rb.View()), rb.encode(learner, pixels, rb.View()))


def test_the_path_of_a_trial_needs_no_store(folder, here):
    (path,) = folder.glob("results/adhoc/pca/*")
    done = here("export", str(path), "copied", "--store", "none", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "wrote copied\n")
