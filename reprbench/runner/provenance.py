"""The provenance of a number: versions, code, machine, device, flags; and how much memory the process used."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import reprbench

PACKAGES = (
    "reprbench", "torch", "torchvision", "numpy", "scipy", "scikit-learn", "pillow", "safetensors", "pydantic",
    "torchmetrics",
)  # fmt: skip
"""The distributions whose versions every trial records, in addition to those that its plugins import."""


def provenance(device: str, packages: Iterable[str] = ()) -> dict[str, Any]:
    """Return what is known about the code and the machine of this process; imports torch."""
    import torch

    found: dict[str, Any] = {
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in dict.fromkeys([*PACKAGES, *packages])},
        },
        "code": git_state(Path(reprbench.__file__).parent),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None,
        },
        "threads": torch.get_num_threads(),
        "device": device,
        "determinism": {
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        },
    }
    if device.startswith("cuda"):
        found["device_name"] = torch.cuda.get_device_name(device)
        found["versions"]["cuda"] = torch.version.cuda
    return found


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit of the checkout that holds `folder` and whether it has changes; both None outside git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "--", "."))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        match = None
    return match.group(1).strip() if match else platform.processor()


def peak_memory(device: str) -> tuple[int | None, int | None]:
    """Return the peak memory of this process in bytes, and what it allocated at most on a CUDA device."""
    import torch

    on_device = int(torch.cuda.max_memory_allocated(device)) if device.startswith("cuda") else None
    return _peak_resident(), on_device


def _peak_resident() -> int | None:
    # VmHWM is this process's own; ru_maxrss would start from what the parent used when it started this one.
    try:
        match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
        return int(match.group(1)) * 1024 if match else None
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
