"""Every kind of file in the cache with every kind of damage: results are those of an undisturbed run."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from damage import DAMAGES, Damage
from jobs import job, protocol_job
from msgspec.structs import replace
from PIL import Image

from reprbench import Learner, Measurement, Outcome, Protocol, UserError, train
from reprbench.cache import collected_warnings
from reprbench.data import load_dataset
from reprbench.features import View
from reprbench.protocols.base import Features
from reprbench.runner import execute
from reprbench.runner.evaluate import Evaluator
from reprbench.runner.fitting import Fits

FAR = np.arange(40)


class Running(Learner):
    """Learns the mean image, with noise; it reconstructs, and resumes."""

    stop_at: int = 0

    def build(self, shape):
        self.mean = torch.zeros(shape)

    def fit(self, images, run):
        self._run = run
        train(self, images, run, self.step, batch_size=10)

    def step(self, x, rows):
        if self.stop_at and self._run.images_seen >= self.stop_at:
            raise KeyboardInterrupt
        noise = torch.rand(self.mean.shape, generator=self._run.generator("noise"))
        self.mean = 0.9 * self.mean + 0.1 * (x.mean(0) + noise)
        return {"size": self.mean.abs().mean()}

    def encode(self, x):
        return {"centered": x - self.mean}

    def reconstruct(self, x):
        return self.mean.expand_as(x)

    def training_state(self):
        return {"mean": self.mean}

    def load_training_state(self, state):
        self.mean = state["mean"]


class Reads(Protocol):
    """Reads features in two views, the learner and its snapshots."""

    name = "reads"
    version = 1
    headlines = ("mean",)

    def evaluate(self, subject, seed):
        views = [View(), View(pooling="mean", grid=1)]
        found = [float(subject.features(Features(None, "test", FAR, view)).mean()) for view in views]
        found.append(float(subject.learner(None).mean.mean()))
        found += [float(images.mean()) for images in subject.snapshots(None).reconstructions]
        return Outcome([Measurement("mean", value, at={"number": n}) for n, value in enumerate(found)])


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits", {}, data_dirs=[], cache_dir=Path()).limited(60)


def trial(digits, cache: Path, seed: int = 0, **parameters: int) -> SimpleNamespace:
    """Fit and evaluate as a trial's process does."""
    asked = replace(job(digits, cache), seed=seed, hash=f"{seed:064}", parameters=parameters)
    fits = Fits(asked, Running, digits, lambda what, share, values: None, {})
    protocol, lines = Reads(), []
    with collected_warnings(lines):
        fits.ensure(None)
        evaluator = Evaluator(asked, Running, digits, [protocol], fits, cache, lambda what, share, values: None)
        values = [one.value for one in evaluator.evaluate(protocol_job(protocol), protocol).measurements]
    return SimpleNamespace(values=values, lines=lines, resumed=fits.resumed, seconds=fits.seconds_here)


@pytest.fixture(scope="module")
def undisturbed(digits, tmp_path_factory) -> dict[int, tuple[Path, list[float]]]:
    """The caches and values of two trials that nothing disturbed."""
    folders = [tmp_path_factory.mktemp("undisturbed") for _ in range(2)]
    return {seed: (folder, trial(digits, folder, seed).values) for seed, folder in enumerate(folders)}


def one_of(cache: Path, pattern: str) -> Path:
    return min(cache.glob(pattern))


def assert_said(lines: list[str], path: Path) -> None:
    (line,) = lines
    assert line.startswith(f"cache file {'features' if 'features' in path.parts else 'fits'}/")
    assert "was damaged (" in line
    assert line.endswith(f"it is made anew, and the damaged one kept as {path.name}.damaged")
    assert os.path.lexists(path.with_name(f"{path.name}.damaged"))


@pytest.mark.parametrize("kind", ["features/*/*.npy", "fits/*/*/state.safetensors", "fits/*/*/snapshots.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_of_a_trial_is_made_anew(kind, damage: Damage, digits, undisturbed, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(undisturbed[0][0], cache)
    path = one_of(cache, kind)
    damage(path, one_of(undisturbed[1][0], kind))
    found = trial(digits, cache)
    assert found.values == undisturbed[0][1]
    assert_said(found.lines, path)
    again = trial(digits, cache)
    assert (again.values, again.lines, again.seconds) == (undisturbed[0][1], [], 0), "it is whole now"
    damage(path, one_of(undisturbed[1][0], kind))
    assert trial(digits, cache).values == undisturbed[0][1], "also where one was set aside before"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_fit_with_a_damaged_checkpoint_starts_from_the_beginning(
    damage: Damage, digits, undisturbed, tmp_path, monkeypatch
):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr("reprbench.training.REPORT_SECONDS", 0.0)
    for seed in (0, 1):
        with pytest.raises(KeyboardInterrupt):
            trial(digits, tmp_path / "cache", seed, stop_at=30)
    own, other = sorted((tmp_path / "cache").glob("fits/*/*/checkpoint.safetensors"))
    shutil.copytree(tmp_path / "cache", tmp_path / "whole")
    resumed = trial(digits, tmp_path / "whole")
    assert (resumed.values, resumed.lines, resumed.resumed) == (undisturbed[0][1], [], True)
    damage(own, other)
    found = trial(digits, tmp_path / "cache")
    assert (found.values, found.resumed) == (undisturbed[0][1], False)
    assert_said(found.lines, own)
    assert not os.path.lexists(own), "the finished fit needs none"


@pytest.mark.parametrize("kind", ["features/*/*.npy", "fits/*/*/state.safetensors", "fits/*/*/snapshots.safetensors"])
def test_a_file_that_cannot_be_opened_is_made_anew(kind, digits, undisturbed, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    shutil.copytree(undisturbed[0][0], cache)
    path, system_open = one_of(cache, kind), os.open

    def refuse(name, *arguments, **named):  # as permissions would, which root ignores
        if str(name) == str(path) and not os.path.lexists(f"{path}.damaged"):
            raise PermissionError(13, "Permission denied", str(path))
        return system_open(name, *arguments, **named)

    monkeypatch.setattr(os, "open", refuse)
    found = trial(digits, cache)
    assert found.values == undisturbed[0][1]
    assert_said(found.lines, path)
    assert "(permission denied)" in found.lines[0]


def test_what_an_earlier_version_left_without_checksums_is_made_anew_silently(digits, undisturbed, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(undisturbed[0][0], cache)
    trailer = one_of(cache, "features/*/*.npy").read_bytes().splitlines(keepends=True)[-1]
    for path in [*cache.glob("features/*/*.npy"), *cache.glob("fits/*/*/*.safetensors")]:
        os.truncate(path, path.stat().st_size - len(trailer) - 1)
    found = trial(digits, cache)
    assert (found.values, found.lines) == (undisturbed[0][1], [])
    assert found.seconds > 0
    assert not list(cache.rglob("*.damaged"))


def test_a_trial_says_what_was_damaged(digits, undisturbed, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    shutil.copytree(undisturbed[0][0], cache)
    asked = replace(job(digits, cache), hash=f"{0:064}")
    os.truncate(one_of(cache, "fits/*/*/state.safetensors"), 500)

    def work(job, folder, report, result):
        Fits(job, Running, digits, report, {}).ensure(None)
        result.warnings = ["of the learner"]

    monkeypatch.setattr(execute, "_prepare_torch", lambda job: "cpu")
    monkeypatch.setattr(execute, "_work", work)
    result = execute.execute(asked, tmp_path, lambda what, share, values: None)
    assert result.status == "done", result.reason
    first, second = result.warnings
    assert first == "of the learner"
    assert "state.safetensors was damaged (it is truncated or overwritten)" in second


# -- a disk that is full ----------------------------------------------------------------------------------------------


@pytest.fixture
def largest_file() -> Callable[[int], None]:
    """Let writing fail when a file is larger, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("folder", "name"), [("fits", "snapshots.safetensors"), ("features", "npy")])
def test_a_full_disk_costs_the_trial_and_is_named(folder, name, digits, undisturbed, tmp_path, largest_file):
    cache = tmp_path / "cache"
    shutil.copytree(undisturbed[0][0], cache)
    shutil.rmtree(cache / folder)
    largest_file(300)
    with pytest.raises(UserError, match=rf"cache .*{name}: cannot be written \(file too large\); free it, or"):
        trial(digits, cache)
    largest_file(resource.RLIM_INFINITY)
    assert not list(cache.rglob(".*")), "nothing is left behind"
    assert trial(digits, cache).values == undisturbed[0][1]


# -- data ------------------------------------------------------------------------------------------------------------


def write_folder(folder: Path, seed: int) -> dict:
    random = np.random.default_rng(seed)
    for split in ("train", "test"):
        for number in range(6):
            path = folder / "pets" / split / f"class{number % 2}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(path)
    return {"dataset": "folder", "parameters": {"path": "pets", "image_size": 8}}


def write_cifar10(folder: Path, seed: int) -> dict:
    random = np.random.default_rng(seed)
    batches = folder / "cifar-10-batches-bin"
    batches.mkdir(parents=True)
    for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"):
        records = random.integers(0, 256, (4, 1 + 3072), dtype=np.uint8)
        records[:, 0] = np.arange(4) + seed
        records.tofile(batches / f"{name}.bin")
    return {"dataset": "cifar10", "parameters": {}}


def write_mnist(folder: Path, seed: int) -> dict:
    random = np.random.default_rng(seed)
    (folder / "mnist").mkdir(parents=True)
    for name, shape in (("train", (20, 9, 9)), ("t10k", (10, 9, 9))):
        images = random.integers(0, 256, shape, dtype=np.uint8)
        for kind, array in (
            ("images-idx3", images),
            ("labels-idx1", (np.arange(shape[0]) + seed).astype(np.uint8) % 10),
        ):
            content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            (folder / "mnist" / f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, mtime=0))
    return {"dataset": "mnist", "parameters": {}}


DATA = [
    (write_folder, "decoded/folder-*/test.npy"),
    (write_cifar10, "decoded/cifar10-*/pixels.npy"),
    (write_cifar10, "decoded/cifar10-*/labels.npy"),
    (write_mnist, "unzipped/*/train-images-idx3-ubyte"),
    (write_mnist, "unzipped/*/t10k-labels-idx1-ubyte"),
    (write_mnist, "digests.json"),
    (write_folder, "digests.json"),
]


def everything(dataset) -> list:
    arrays = [split.pixels(slice(None)) for split in (dataset.train, dataset.test, dataset.unlabeled)]
    arrays += [dataset.train_labels, dataset.test_labels]
    return [dataset.digest, *(array.tolist() for array in arrays)]


@pytest.mark.parametrize(("write", "kind"), DATA, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_copy_of_data_is_made_anew(write, kind, damage: Damage, tmp_path, caplog):
    def load(name: str = "own") -> list:
        dirs, cache = [tmp_path / name], tmp_path / f"{name} cache"
        return everything(load_dataset(**asked, data_dirs=dirs, cache_dir=cache))

    asked = write(tmp_path / "own", 0)
    write(tmp_path / "other", 1)
    undisturbed = load()
    load("other")
    path = one_of(tmp_path / "own cache", kind)
    damage(path, one_of(tmp_path / "other cache", kind))
    assert caplog.messages == []
    if kind == "digests.json" and damage is DAMAGES["of something else"]:
        assert load() == undisturbed, "its entries are bound to paths"
        return
    assert load() == undisturbed
    assert len(caplog.messages) == 1
    assert f"/{path.name} was damaged (" in caplog.messages[0]
    assert os.path.lexists(path.with_name(f"{path.name}.damaged"))
    assert load() == undisturbed
    assert len(caplog.messages) == 1, "it is whole now"


@pytest.mark.parametrize(("write", "kind"), DATA, ids=lambda value: getattr(value, "__name__", value))
def test_copies_of_data_by_an_earlier_version_are_made_anew_silently(write, kind, tmp_path, caplog):
    asked = {**write(tmp_path / "own", 0), "data_dirs": [tmp_path / "own"], "cache_dir": tmp_path / "cache"}
    undisturbed = everything(load_dataset(**asked))
    path = one_of(tmp_path / "cache", kind)
    content = path.read_bytes()
    trailer = content[content.rindex(b"\nreprbench: ") :]
    os.truncate(path, len(content) - len(trailer))
    assert everything(load_dataset(**asked)) == undisturbed
    assert caplog.messages == []
    assert path.read_bytes().endswith(trailer) or kind == "digests.json"


@pytest.mark.parametrize(("write", "kind"), DATA[:4], ids=lambda value: getattr(value, "__name__", value))
def test_a_full_disk_while_data_are_copied_is_one_line(write, kind, tmp_path, largest_file):
    asked = {**write(tmp_path / "own", 0), "data_dirs": [tmp_path / "own"], "cache_dir": tmp_path / "cache"}
    largest_file(1200)
    with pytest.raises(UserError, match=r"^cache .*: cannot be written \(file too large\); free it, or"):
        load_dataset(**asked)
    largest_file(resource.RLIM_INFINITY)
    load_dataset(**asked)


# -- the start of a run ----------------------------------------------------------------------------------------------


def test_a_cache_that_is_a_file_is_refused_at_the_start(here, tmp_path):
    (tmp_path / ".reprbench").write_text("in the way")
    done = here("run", "--methods", "raw-pixels")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: cache {tmp_path}/.reprbench: is a file; expected a folder; remove it\n"
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("value", ["x", "", "-1", "nan", "1,5"])
def test_seconds_between_checkpoints_that_are_no_number_are_refused_at_the_start(here, tmp_path, value):
    done = here("run", "--methods", "raw-pixels", REPRBENCH_CHECKPOINT_SECONDS=value)
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"REPRBENCH_CHECKPOINT_SECONDS={value!r}: expected a number of seconds from 0, like 10"
    assert done.stderr == f"Error: {expected}\n"
    assert not (tmp_path / ".reprbench").exists()
