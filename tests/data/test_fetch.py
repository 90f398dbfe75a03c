from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torchvision

from reprbench.data import fetch, load_dataset
from reprbench.data.catalog import BUILT_IN
from reprbench.errors import UserError


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def mirror(write_mnist: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A local server of small gzipped IDX files, which torchvision's MNIST takes for the official ones."""
    folder = tmp_path / "mirror"
    write_mnist(folder, zipped=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(folder.iterdir())]
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        yield folder
        server.shutdown()


def test_what_was_fetched_is_found(mirror: Path, tmp_path: Path) -> None:
    fetch("mnist", tmp_path / "data")
    dataset = load_dataset("mnist", {}, data_dirs=[tmp_path / "data"], cache_dir=tmp_path / "cache")
    expected = load_dataset("mnist", {}, data_dirs=[mirror], cache_dir=tmp_path / "cache")
    assert dataset.digest == expected.digest


def test_damaged_downloads_are_refused(mirror: Path, tmp_path: Path) -> None:
    with (mirror / "t10k-labels-idx1-ubyte.gz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(UserError, match="could not be fetched .* t10k-labels"):
        fetch("mnist", tmp_path / "data")


def test_no_network(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:1/"])
    with pytest.raises(UserError, match="check the network") as caught:
        fetch("mnist", tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_a_target_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be fetched to .*file"):
        fetch("mnist", tmp_path / "file")


@pytest.mark.parametrize("name", ["digits", "folder", "npz"])
def test_what_cannot_be_fetched_says_why(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"'{name}' cannot be fetched: it .* Can be fetched: mnist, fashion-mnist"):
        fetch(name, tmp_path)


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'stl10'"):
        fetch("stl-10", tmp_path)


def test_torchvision_has_every_class_of_the_table() -> None:
    classes = [origin.torchvision for origin in BUILT_IN.values() if origin.torchvision]
    assert len(classes) == 4
    assert all(hasattr(torchvision.datasets, name) for name in classes)
