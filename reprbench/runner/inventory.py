"""Says which CUDA devices there are; run as ``python -m``, since whoever looks for them starts their driver."""

from __future__ import annotations

import ctypes
import os
import runpy
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from reprbench.errors import system_reason
from reprbench.texts import described, one_line

ASK_SECONDS = 120.0
"""How long a process may take to import torch and to start the driver."""


class Inventory(msgspec.Struct, frozen=True):
    """The CUDA devices of this machine that are visible.

    Attributes
    ----------
    names : of the devices cuda:0, cuda:1, …, such as "NVIDIA H100 80GB HBM3".
    problem : why there are none.
    failed : whether that is because something is wrong, such as a driver that is too old.
    """

    names: tuple[str, ...] = ()
    problem: str = ""
    failed: bool = False


def ask_inventory(seconds: float = ASK_SECONDS) -> Inventory:
    """Return what another process finds: this one imports no torch and starts no driver."""
    command = [sys.executable, "-P", "-m", "reprbench.runner.inventory"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Inventory(problem=f"looking for CUDA devices took longer than {seconds:g} s", failed=True)
    except OSError as error:
        return Inventory(
            problem=f"no process could be started to look for CUDA devices: {system_reason(error)}", failed=True
        )
    return _answer(done.stdout, done.returncode)


def _answer(output: bytes, status: int) -> Inventory:
    """Return the answer on the last line of what the process wrote."""
    try:
        found = msgspec.json.decode(output.splitlines()[-1], type=Inventory)
    except (IndexError, ValueError):
        return Inventory(problem=f"the process that looked for CUDA devices ended with status {status}", failed=True)
    return Inventory(tuple(map(one_line, found.names)), one_line(found.problem), found.failed)


def look() -> Inventory:
    """Return what this process finds; torch is only imported, which takes seconds, if there may be a device."""
    build = _build()
    if not build.get("cuda") and not build.get("hip"):
        return Inventory(problem=f"PyTorch {build.get('__version__')} is built without CUDA")
    if not build.get("hip") and _lacks_driver():
        return Inventory(problem="there is no CUDA driver on this machine")
    try:
        return _found()
    except Exception as error:
        return Inventory(problem=described(error), failed=True)


def _build() -> dict[str, Any]:
    """Return what torch's file on its build says; importing that file as a module would import torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return {"__version__": "(not installed)"}
    return runpy.run_path(str(Path(spec.origin).parent / "version.py"))


def _lacks_driver() -> bool:
    if sys.platform != "linux":
        return False
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return True
    return False


def _found() -> Inventory:
    import torch

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    if available:
        return Inventory(tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())))
    told = [str(one.message) for one in caught if "CUDA" in str(one.message)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" with CUDA_VISIBLE_DEVICES={visible}"
    return Inventory(problem=told[0] if told else f"no CUDA device is visible{hidden}", failed=bool(told))


def main() -> None:
    """Write what is found as one line of JSON."""
    sys.stdout.buffer.write(b"\n" + msgspec.json.encode(look()) + b"\n")


if __name__ == "__main__":
    main()
