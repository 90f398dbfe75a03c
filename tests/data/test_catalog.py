from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reprbench.data import dataset_names, descriptions, load_dataset, verify
from reprbench.data.catalog import CATALOG, _function
from reprbench.errors import UserError

ALL = ["digits", "mnist", "fashion-mnist", "cifar10", "stl10", "folder", "npz"]


def load_nothing(name: str, **parameters: Any) -> None:
    load_dataset(name, parameters, data_dirs=[Path("nowhere")], cache_dir=Path("no-cache"))


def test_names_and_descriptions() -> None:
    assert dataset_names() == ALL
    assert list(descriptions()) == ALL
    assert all("\n" not in line for line in descriptions().values())


def test_every_function_of_the_table_is_there() -> None:
    for entry in CATALOG.values():
        for target in filter(None, (entry.loader, entry.files)):
            assert callable(_function(target))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, reprbench.data\n"
        "reprbench.data.descriptions()\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown dataset 'mnits'. Did you mean 'mnist'\? Known: digits, mnist"):
        load_nothing("mnits")
    with pytest.raises(UserError, match="unknown dataset"):
        verify("mnits", {}, data_dirs=[], cache_dir=Path("no-cache"))


def test_all_wrong_parameters_are_named_at_once() -> None:
    with pytest.raises(UserError) as caught:
        load_nothing("folder", image_sise=32, image_size="big", gray="perhaps")
    message = str(caught.value)
    assert "unknown 'image_sise'. Did you mean 'image_size'?" in message
    assert "image_size: " in message
    assert "not 'big'" in message
    assert "gray: " in message
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("npz", {}, "dataset 'npz': path: Field required"),
        ("folder", {"image_size": 7}, "image_size: .*greater than or equal to 8, not 7"),
        ("mnist", {"path": "x"}, "dataset 'mnist': unknown 'path'. Known: none"),
        ("digits", {"n": 3}, "dataset 'digits': unknown 'n'. Known: none"),
    ],
)
def test_wrong_parameters(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_nothing(name, **parameters)


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "stl10"])
def test_missing_data_names_the_command(name: str) -> None:
    with pytest.raises(UserError, match=f"'{name}': not found; searched .*nowhere.* `reprbench data fetch {name} "):
        load_nothing(name)
    assert not Path("no-cache").exists()


def test_a_cache_that_is_a_file_is_a_users_mistake(write_mnist: Any, tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match=r"dataset 'mnist': cannot read or write .*cache"):
        load_dataset("mnist", {}, data_dirs=[tmp_path], cache_dir=tmp_path / "cache")


def test_verify_reads_every_file(write_mnist: Any, tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist", zipped=True)
    checks = verify("mnist", {}, data_dirs=[tmp_path], cache_dir=tmp_path / "cache")
    assert [check.path.name for check in checks] == [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    assert not any(check.ok for check in checks)
    assert all(check.official and check.official.startswith("md5:") for check in checks)


def test_verify_of_data_that_nobody_published(tmp_path: Path) -> None:
    assert verify("digits", {}, data_dirs=[], cache_dir=tmp_path) == []
    (tmp_path / "some.npz").write_bytes(b"content")
    (check,) = verify("npz", {"path": "some.npz"}, data_dirs=[tmp_path], cache_dir=tmp_path / "cache")
    assert (check.ok, check.official) == (True, None)
    assert check.found == "sha256:" + hashlib.sha256(b"content").hexdigest()
    for split in ("train", "test"):
        (tmp_path / split / "a").mkdir(parents=True)
        (tmp_path / split / "a" / "1.png").write_bytes(split.encode())
    checks = verify("folder", {}, data_dirs=[tmp_path], cache_dir=tmp_path / "cache")
    assert [check.path.name for check in checks] == ["train", "test"]
    assert checks[0].sha256 != checks[1].sha256


def test_real_mnist_is_the_official_one(real_data: list[Path], tmp_path: Path) -> None:
    try:
        checks = verify("mnist", {}, data_dirs=real_data, cache_dir=tmp_path)
    except UserError:
        pytest.skip("MNIST is not there")
    assert all(check.ok and check.official for check in checks)
