"""Every user error: exit status 2, one clear message, no traceback, nothing written."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

GOOD = '@register("same")\nclass A(Flat): ...\n'


def assert_refused(done, *words: str) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], ["nothing to run", "reprbench run --methods ameae,dae,sparse-ae"]),
        (["run", "--methods", "dea"], ["unknown method 'dea'", "'dae'"]),
        (["run", "--methods", "dea,amea"], ["'dae'", "'ameae'"]),
        (["run", "--methods", "ae", "--dataset", "digit"], ["unknown dataset 'digit'", "'digits'"]),
        (["run", "--methods", "ae", "--dataset", "digits,mnist"], ["one dataset"]),
        (["run", "--methods", "ae", "--dataset", "digits[size=3]"], ["size"]),
        (["run", "--methods", "ae[widht=8,lr=fast]"], ["'widht'", "'width'", "lr", "'fast'"]),
        (["run", "--methods", "ae", "--set", "widht=8"], ["'widht'", "'width'"]),
        (["run", "--methods", "ae", "--set", "dae.width=8"], ["'dae'"]),
        (["run", "--methods", "ae", "--set", "width"], ["key=value"]),
        (["run", "--methods", "ae["], ["ae["]),
        (
            ["run", "--methods", "kmeans[receptive_field=9],epls,stacked-dae[widths=[5]]"],
            ["kmeans: patches of 9×9 do not fit", "set receptive_field to at most 8", "epls:", "3 corruptions for 1"],
        ),
        (["run", "--methods", "ae", "--protocols", "linear-svm[gird=1]"], ["'gird'", "'grid'"]),
        (["run", "--methods", "ae", "--seeds", "1,x"], ["--seeds"]),
        (["run", "--methods", "ae", "--memory", "much"], ["--memory", "4GB"]),
        (["run", "--methods", "ae", "--epochs", "0"], ["--epochs"]),
        (["run", "--methods", "ae", "--device", "gpu"], ["--device 'gpu'", "cuda"]),
        (["run", "--methods", "ae", "--device", "cpu,cuda:0"], ["--device 'cpu,cuda:0'", "cuda:0,cuda:2"]),
        (["run", "--methods", "ae", "--device", "cuda:0,cuda:00"], ["--device", "cuda:0,cuda:2"]),
        (["run", "--methods", "ae", "--device", "cuda:0,cuda:1,cuda:0"], ["cuda:0 is named twice", "jobs-per-device"]),
        (["run", "--methods", "ae", "--device", "cuda:999", "--plan"], ["--device cuda:999: ", "there"]),
        (["run", "--benchmark", "quikc"], ["unknown benchmark", "'quick'"]),
        (["run", "--benchmark", "no.yaml"], ["no.yaml", "no such file"]),
        (["run", "--methods", "ae", "--plugin", "no.py"], ["no.py", "no such file"]),
        (
            ["run", "--methods", "ae", "--dataset", "mnist", "--data-dir", "no"],
            ["reprbench data fetch mnist", "ubyte", "no"],
        ),
        (["report"], ["results", "no such folder"]),
        (["show", "x"], ["store results: no such folder"]),
        (["reprot"], ["unknown command", "'report'"]),
        (["data", "fetch", "mnits"], ["'mnist'"]),
        (["data", "verify", "stl10", "--data-dir", "no"], ["stl10"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0] in ("run", "report", "show", "reprot", "data") else "",
)
def test_a_mistake_is_one_clear_message(here, tmp_path, words, said):
    assert_refused(here(*words, REPRBENCH_DATA=""), *said)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("content", [b"", b"a: [", b"\xff\xfe\x00", b"title: only"])
def test_a_benchmark_that_cannot_be_read(here, tmp_path, content):
    (tmp_path / "mine.yaml").write_bytes(content)
    assert_refused(here("run", "--benchmark", "mine.yaml"), "mine.yaml")


def test_two_plugins_with_the_same_name(here, plugin):
    one, two = plugin("one.py", GOOD), plugin("two.py", GOOD + "x = 1\n")
    assert_refused(here("run", "--methods", "same", "--plugin", str(one), "--plugin", str(two)), str(one), str(two))


def test_a_store_that_is_a_file(here, tmp_path):
    (tmp_path / "file").write_text("")
    assert_refused(here("run", "--methods", "ae", "--store", "file"), "file", "is a file")
    assert_refused(here("report", "file"), "is a file")


def test_a_store_without_permission(here, tmp_path):
    # Nobody can make a folder below a file, not even root.
    (tmp_path / "file").write_text("")
    assert_refused(here("run", "--methods", "raw-pixels", "--store", "file/below"), "file/below", "cannot be written")


def test_an_empty_store(cli, here, tmp_path):
    (tmp_path / "results").mkdir()
    # Once as a process of its own, whose status the shell sees.
    for run in (cli, here):
        assert_refused(run("report"), "no trials")


def test_a_truncated_idx_file(here, tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    images = struct.pack(">IIII", 2051, 100, 28, 28) + bytes(100 * 784 - 1)
    labels = struct.pack(">II", 2049, 100) + bytes(100)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    done = here("run", "--methods", "ae", "--dataset", "mnist", "--data-dir", str(tmp_path))
    assert_refused(done, "images-idx3-ubyte")


def test_images_of_the_wrong_size(here, tmp_path):
    small = np.zeros((20, 5, 5), dtype=np.uint8)
    labels = np.arange(20) % 2
    np.savez(tmp_path / "small.npz", x_train=small, y_train=labels, x_test=small, y_test=labels)
    assert_refused(here("run", "--methods", "ae", "--dataset", "npz[path=small.npz]", "--data-dir", str(tmp_path)), "8")
