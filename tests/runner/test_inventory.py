from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
import torch

from reprbench.runner import inventory
from reprbench.runner.inventory import Inventory, _answer, ask_inventory, look


def test_another_process_says_which_devices_there_are():
    found = ask_inventory()
    assert len(found.names) == torch.cuda.device_count()
    assert bool(found.problem) == (not found.names)
    assert not found.failed


@pytest.mark.parametrize(
    ("output", "status", "found"),
    [
        (b'noise\n{"names": ["A\\u001b[31m", "B"]}\n', 0, Inventory(("A", "B"))),
        (b'{"problem": "none\\nat all"}', 0, Inventory(problem="none at all")),
        (b"", -6, Inventory(problem="the process that looked for CUDA devices ended with status -6", failed=True)),
        (b"junk", 0, Inventory(problem="the process that looked for CUDA devices ended with status 0", failed=True)),
    ],
)
def test_its_answer_is_the_last_line(output, status, found):
    assert _answer(output, status) == found


@pytest.mark.parametrize(
    ("error", "words"),
    [(subprocess.TimeoutExpired("x", 9), "took longer than 9 s"), (OSError(11, "Try again"), "try again")],
)
def test_no_answer_is_a_failure(monkeypatch, error, words):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(inventory.subprocess, "run", fail)
    found = ask_inventory(9)
    assert words in found.problem
    assert found.failed


def test_without_cuda_torch_is_not_even_imported(monkeypatch):
    monkeypatch.setattr(inventory, "_found", lambda: pytest.fail("imported torch"))
    monkeypatch.setattr(inventory, "_build", lambda: {"__version__": "2.5+cpu", "cuda": None, "hip": None})
    assert look() == Inventory(problem="PyTorch 2.5+cpu is built without CUDA")
    monkeypatch.setattr(inventory, "_build", lambda: {"__version__": "2.5", "cuda": "12.4"})
    monkeypatch.setattr(inventory, "_lacks_driver", lambda: True)
    assert look() == Inventory(problem="there is no CUDA driver on this machine")


def test_the_build_is_what_torch_says():
    build = inventory._build()
    assert (build["__version__"], build["cuda"]) == (torch.__version__, torch.version.cuda)


@pytest.fixture
def cuda(monkeypatch):
    """A torch with a driver, and with as many devices as its list says."""
    names: list[str] = []
    monkeypatch.setattr(inventory, "_build", lambda: {"cuda": "12.4"})
    monkeypatch.setattr(inventory, "_lacks_driver", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", names.__getitem__)
    return names


def test_devices_are_named(cuda):
    cuda += ["NVIDIA H100 80GB HBM3", "NVIDIA H200"]
    assert look() == Inventory(("NVIDIA H100 80GB HBM3", "NVIDIA H200"))


def test_hidden_devices_are_no_failure(cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert look() == Inventory(problem="no CUDA device is visible with CUDA_VISIBLE_DEVICES=")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert look() == Inventory(problem="no CUDA device is visible")


def test_a_driver_that_does_not_work_is_a_failure(cuda, monkeypatch):
    def warned():
        warnings.warn("CUDA initialization: the driver is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warned)
    assert look() == Inventory(problem="CUDA initialization: the driver is too old", failed=True)

    def broken():
        raise RuntimeError("no CUDA\nat all")

    monkeypatch.setattr(torch.cuda, "is_available", broken)
    assert look() == Inventory(problem="RuntimeError: no CUDA at all", failed=True)


def test_asking_imports_no_torch_here():
    code = (
        "import sys; from reprbench.runner.devices import choose_devices; choose_devices('auto'); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
