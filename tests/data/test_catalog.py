from __future__ import annotations

import hashlib
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reprbench.data import load_dataset, verify
from reprbench.data.catalog import BUILT_IN
from reprbench.errors import UserError
from reprbench.registry import discover


def load_nothing(name: str, **parameters: Any) -> None:
    load_dataset(name, parameters, data_dirs=[Path("nowhere")], cache_dir=Path("no-cache"))


def test_the_files_of_every_built_in_dataset_are_known() -> None:
    assert set(BUILT_IN) == set(discover(folder=None).datasets)
    for origin in BUILT_IN.values():
        assert bool(origin.torchvision) != (origin.unfetchable != "no download is known for it")
        if origin.files:
            module, _, name = origin.files.partition(":")
            assert callable(getattr(importlib.import_module(module), name))


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, reprbench.data\n"
        "from reprbench.registry import discover\n"
        "assert all(entry.load() and entry.summary() for entry in discover(folder=None).datasets.values())\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown dataset 'mnits'. Did you mean 'mnist'\? `reprbench list datasets`"):
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
        ("npz", {}, "dataset 'npz': path: must be given"),
        ("folder", {"image_size": 7}, "image_size: .*greater than or equal to 8, not 7"),
        ("mnist", {"path": "x"}, "dataset 'mnist': unknown 'path'. Known: development"),
        ("digits", {"n": 3}, "dataset 'digits': unknown 'n'. Known: development"),
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
    with pytest.raises(UserError, match=r"cache .*digests.json: cannot be written \(not a directory\)"):
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


# -- datasets of plugins ----------------------------------------------------------------------------------------------

PLUGIN = """
from typing import Literal

import numpy as np

from reprbench import DataRequest, File, ImageArrays, ImageFolder, UserError, register_dataset


@register_dataset("stripes")
def stripes(size: int = 8, kind: Literal["rows", "columns"] = "rows", title: str | None = None):
    '''Stripes: 2 classes.'''
    labels = np.arange(40) % 2
    images = np.zeros((40, size, size), np.uint8)
    images[labels == 1, ::2] = 255
    images = images if kind == "rows" else images.transpose(0, 2, 1)
    return ImageArrays(x_train=images[:30], y_train=labels[:30], x_test=images[30:], y_test=labels[30:], title=title)


@register_dataset("saved")
def saved(request: DataRequest, weight: float = 1):
    with np.load(request.find("saved.npz")) as arrays:
        return ImageArrays(**arrays)


@register_dataset("photos")
def photos(request, size: int = 8):
    return ImageFolder("photos", image_size=size, gray=True, title="Photos")


@register_dataset("from-file")
def from_file(path: File):
    with np.load(path) as arrays:
        return ImageArrays(**arrays)


@register_dataset("default-file")
def default_file(path: File = "some.npz"):
    return from_file(path)


@register_dataset("odd")
def odd(what):
    if what == "list":
        return [1]
    if what == "user":
        raise UserError("dataset 'odd': buy more birds")
    if what == "os":
        open("/nowhere/at/all")
    if what == "exit":
        raise SystemExit(0)
    if what == "memory":
        raise MemoryError
    raise ValueError("two\\nlines")


@register_dataset("mistyped")
def mistyped(size: "Nowhere" = 3): ...
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Any:
    """Load a dataset of a plugin file, with ``tmp_path/data`` as the folder of data."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    registry = discover([tmp_path / "plugin.py"], None)

    def load(name: str, **parameters: Any) -> Any:
        entry = registry.find("dataset", name)
        return load_dataset(entry, parameters, data_dirs=[tmp_path / "data"], cache_dir=tmp_path / "cache")

    return load


def save_arrays(path: Path) -> dict[str, np.ndarray]:
    path.parent.mkdir(exist_ok=True)
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    labels = np.arange(40) % 3
    arrays = {"x_train": images[:30], "y_train": labels[:30], "x_test": images[30:], "y_test": labels[30:]}
    np.savez(path, **arrays)
    return arrays


def test_arrays_of_a_plugin_are_a_dataset(plugin: Any) -> None:
    rows, columns = plugin("stripes"), plugin("stripes", kind="columns", size=9)
    assert (str(rows.call), str(columns.call)) == ("stripes", "stripes[kind=columns,size=9]")
    assert (rows.title, columns.title) == (str(rows.call), str(columns.call))
    assert (rows.train.shape, columns.train.shape) == ((1, 8, 8), (1, 9, 9))
    assert columns.test.pixels(slice(1, 2))[0, 0, 0].tolist() == [255, 0] * 4 + [255]
    assert plugin("stripes", title="Stripes").name == "stripes"
    assert plugin("stripes", title="Stripes").title == "Stripes"


def test_the_content_identifies_the_data_not_the_code(plugin: Any, tmp_path: Path) -> None:
    arrays = save_arrays(tmp_path / "data" / "saved.npz")
    first = plugin("saved")
    assert plugin("saved", weight=2.0).digest == first.digest
    npz = load_dataset("npz", {"path": "saved.npz"}, data_dirs=[tmp_path / "data"], cache_dir=tmp_path / "cache")
    assert np.array_equal(npz.train.pixels(slice(None)), first.train.pixels(slice(None)))
    np.savez(tmp_path / "data" / "saved.npz", **{**arrays, "x_test": arrays["x_test"] ^ 1})
    assert plugin("saved").digest != first.digest


def test_the_request_finds_files_below_the_folders_of_data(plugin: Any, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"dataset 'saved': 'saved.npz' not found; searched .*data/saved.npz.*--data-dir"
    ):
        plugin("saved")
    save_arrays(tmp_path / "data" / "saved.npz")
    assert len(plugin("saved").train) == 30


def test_a_folder_of_images_is_read_as_the_dataset_folder_is(plugin: Any, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for number, name in enumerate(("one", "two")):
            path = tmp_path / "data" / "photos" / split / name / "1.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (12, 10), (50 * number, 100, 20)).save(path)
    photos = plugin("photos", size=9)
    read = {"path": "photos", "image_size": 9, "gray": True}
    folder = load_dataset("folder", read, data_dirs=[tmp_path / "data"], cache_dir=tmp_path / "cache")
    assert (str(photos.call), photos.title, photos.classes) == ("photos[size=9]", "Photos", ("one", "two"))
    assert photos.train.shape == (1, 9, 9)
    assert np.array_equal(photos.train.pixels(slice(None)), folder.train.pixels(slice(None)))


def test_a_file_is_named_as_it_was_given(plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_arrays(tmp_path / "some.npz")
    monkeypatch.chdir(tmp_path)
    relative, absolute = plugin("from-file", path="some.npz"), plugin("from-file", path=str(tmp_path / "some.npz"))
    assert str(relative.call) == "from-file[path=some.npz]"
    assert relative.digest == absolute.digest
    assert str(plugin("default-file").call) == str(plugin("default-file", path="some.npz").call) == "default-file"
    with pytest.raises(UserError, match="dataset 'from-file': path: no such file: 'other.npz'"):
        plugin("from-file", path="other.npz")


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("stripes", {"sise": 9}, "dataset 'stripes': unknown 'sise'. Did you mean 'size'?"),
        ("stripes", {"size": "big"}, "dataset 'stripes': size: .* not 'big'"),
        ("saved", {"request": 1}, "dataset 'saved': unknown 'request'. Known: weight"),
        ("odd", {}, "dataset 'odd': what: must be given"),
        ("odd", {"what": "list"}, "dataset 'odd': its function returned list; expected ImageArrays or ImageFolder"),
        ("odd", {"what": "user"}, "^dataset 'odd': buy more birds$"),
        ("odd", {"what": "os"}, "dataset 'odd': cannot read or write /nowhere/at/all: no such file"),
        ("odd", {"what": "exit"}, "^dataset 'odd': SystemExit: 0$"),
        ("odd", {"what": 3}, "^dataset 'odd': ValueError: two lines$"),
        ("stripes", {"size": 4}, r"dataset 'stripes\[size=4\]': images have 1 channels and 4×4 pixels"),
        ("mistyped", {}, "dataset 'mistyped': NameError: name 'Nowhere' is not defined"),
    ],
)
def test_what_goes_wrong_in_a_plugin_is_one_line(plugin: Any, name: str, parameters: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        plugin(name, **parameters)
    assert "\n" not in str(caught.value)


def test_a_lack_of_memory_stays_a_memory_error(plugin: Any) -> None:
    with pytest.raises(MemoryError):
        plugin("odd", what="memory")


def test_a_plugin_that_cannot_be_imported_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text("import nowhere_at_all\n" + PLUGIN)
    entry = discover([tmp_path / "plugin.py"], None).find("dataset", "stripes")
    with pytest.raises(UserError, match="plugin.py: ModuleNotFoundError: .*nowhere_at_all"):
        load_dataset(entry, {}, data_dirs=[], cache_dir=tmp_path)
