"""What runs on a CUDA device, how exactly and how fast; prints tables in Markdown. Needs a few minutes on one GPU.

python tests/gpu/smoke.py            all parts
python tests/gpu/smoke.py learners   only these: learners, speed, svm, runs
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA begins, as in a trial

import numpy as np
import torch
from reprbench.methods.ameae import AMEAE
from reprbench.methods.autoencoders import AE

sys.path.insert(0, str(Path(__file__).parent.parent / "methods"))
from fits import METHODS, blobs, encoded, fit, small

from reprbench.learner import Learner, make
from reprbench.probes.linear_svm import train_fold
from reprbench.run_context import Budget, Precision, Run, seeded
from reprbench.state import learner_state, load_learner_state, to_device

ENCODING_TOLERANCE = 1e-3
"""The largest difference between features of one state on CUDA and on the CPU, as a share of their largest value."""

PEAKS = {"NVIDIA H100 80GB HBM3": {"float32": 67e12, "bf16": 989e12}, "NVIDIA H200": {"float32": 67e12, "bf16": 989e12}}
"""FLOPs per second, dense, without TF32, by the vendor's data sheet."""


@dataclass(frozen=True)
class LearnerCheck:
    """What was found of one learner.

    Attributes
    ----------
    encoding : the largest difference between the features of one state on both devices, relative to their largest.
    repeatable : whether two fits on the GPU ended with the same bits.
    nondeterministic : the operations that torch warned about.
    seconds : of one fit on the GPU.
    """

    name: str
    encoding: float
    repeatable: bool
    nondeterministic: tuple[str, ...]
    seconds: float


def check_learner(cls: type[Learner], device: str = "cuda") -> LearnerCheck:
    """Fit a small learner twice on the device, and encode with its state there and on the CPU."""
    images = blobs(48, (3, 32, 32))
    started = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = fitted_on(cls, images, device)
        seconds = time.perf_counter() - started
        second = fitted_on(cls, images, device)
    states = [{name: value.cpu() for name, value in learner_state(one).items()} for one in (first, second)]
    repeatable = all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    there = encoded(first, images.batch(slice(0, 16), device))
    on_cpu = make(cls, small(cls), images.shape)
    load_learner_state(on_cpu, states[0])
    here = encoded(on_cpu, images.batch(slice(0, 16), "cpu"))
    texts = {str(one.message).split(" does not have")[0][:60] for one in caught if "deterministic" in str(one.message)}
    return LearnerCheck(cls.__name__, difference(there, here), repeatable, tuple(sorted(texts)), seconds)


def fitted_on(cls: type[Learner], images: object, device: str) -> Learner:
    with seeded(0, "weights"):
        learner = make(cls, small(cls), images.shape)  # type: ignore[attr-defined]
    run = Run(0, Budget(epochs=1), device)
    with seeded(0, "fit"):
        fit(learner, images, run)  # type: ignore[arg-type]
    to_device(learner, device)
    return learner


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Return the largest difference of any layer, as a share of the layer's largest value."""
    assert list(one) == list(other)
    shares = []
    for name, layer in one.items():
        a, b = layer.double().cpu(), other[name].double().cpu()
        shares.append(float((a - b).abs().max() / b.abs().max().clamp(min=1e-12)))
    return max(shares)


@dataclass(frozen=True)
class Speed:
    """How fast a learner trains: images per second, and floating-point operations per second as a share of the peak."""

    name: str
    side: int
    precision: Precision
    images_per_second: float
    flops_per_second: float
    share: float | None


def speed(cls: type[AE], side: int, precision: Precision, batch: int, device: str = "cuda", width: int = 64) -> Speed:
    """Time training steps on one batch that is on the device."""
    from torch.utils.flop_counter import FlopCounterMode

    shape = (3, side, side)
    with seeded(0, "weights"):
        learner = make(cls, {"width": width, "batch_size": batch}, shape)
    assert isinstance(learner, cls)
    to_device(learner, device)
    run = Run(0, Budget(epochs=1), device, precision=precision)
    x = torch.rand(batch, *shape, device=device).contiguous(memory_format=torch.channels_last)
    learner.prepare(run)
    optimizers = learner._optimizers
    with FlopCounterMode(display=False) as counter:
        learner.step(x, optimizers, run)
    flops = counter.get_total_flops()
    for _ in range(10):
        learner.step(x, optimizers, run)
    synchronize(device)
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < 2:
        for _ in range(10):
            learner.step(x, optimizers, run)
        synchronize(device)
        steps += 10
    seconds = time.perf_counter() - started
    peak = PEAKS.get(torch.cuda.get_device_name() if device.startswith("cuda") else "", {}).get(precision)
    rate = flops * steps / seconds
    return Speed(cls.__name__, side, precision, batch * steps / seconds, rate, rate / peak if peak else None)


def synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def svm_seconds(features: int, device: str, rows: int = 1000, folds: int = 10) -> tuple[float, list[float]]:
    """Return the seconds of ten folds of the linear SVM, eight costs and five inner folds, and the chosen costs."""
    numbers = np.random.default_rng(0)
    labels = np.arange(rows) % 10
    centers = numbers.normal(size=(10, features))
    chosen, started = [], time.perf_counter()
    for fold in range(folds):
        x = np.maximum(numbers.normal(size=(rows, features)) * 4 + centers[labels], 0).astype(np.float32)
        generator = np.random.default_rng(fold)
        costs = [10.0**power for power in range(-5, 3)]
        found = train_fold(x, labels, 10, costs, generator, device=device)
        chosen.append(found.choice.cost)
    synchronize(device)
    return time.perf_counter() - started, chosen


def run_seconds(jobs: int) -> tuple[float, list[str]]:
    """Return the seconds of one run of eight trials that share the GPU, and what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        methods = ",".join(f"{name}[width=16]" for name in ("ae", "dae", "sparse-ae", "ameae"))
        words = ["run", "--methods", methods, "--seeds", "0,1", "--epochs", "20", "--device", "cuda", "--store", "s"]
        shared = ["--jobs", str(jobs), "--jobs-per-device", str(jobs)]
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "reprbench.cli.main", *words, *shared], cwd=folder, capture_output=True, text=True
        )
        seconds = time.perf_counter() - started
        trials = [json.loads(path.read_text()) for path in Path(folder).glob("s/*/*/*/trial.json")]
        bad = [f"{one['label']}: {one['status']} {one['reason']}" for one in trials if one["status"] != "done"]
        devices = {str(one["provenance"].get("device")) for one in trials}
        if done.returncode or len(trials) != 8:
            bad.append(f"exit {done.returncode}, {len(trials)} of 8 trials: {done.stderr[-500:]}")
        return seconds, bad or sorted(devices)


def learner_lines() -> Iterator[str]:
    yield "| learner | features, CUDA against CPU | two fits | seconds | operations without a deterministic kernel |"
    yield "|---|---|---|---|---|"
    for cls in METHODS:
        try:
            one = check_learner(cls)
        except Exception as error:
            yield f"| {cls.__name__} | **failed**: {type(error).__name__}: {str(error)[:200]} | | | |"
            continue
        same = "same bits" if one.repeatable else "other bits"
        yield f"| {one.name} | {one.encoding:.1e} | {same} | {one.seconds:.1f} | {', '.join(one.nondeterministic)} |"


def speed_lines() -> Iterator[str]:
    yield "| learner | images | precision | images per second | TFLOP/s | share of the peak |"
    yield "|---|---|---|---|---|---|"
    for side, batch in ((32, 512), (96, 128)):
        for cls in (AE, AMEAE):
            for precision in ("float32", "bf16"):
                one = speed(cls, side, precision, batch)  # type: ignore[arg-type]
                share = "unknown" if one.share is None else f"{one.share:.1%}"
                rates = f"{one.images_per_second:,.0f} | {one.flops_per_second / 1e12:.1f}"
                yield f"| {one.name}, width 64 | {side}×{side} | {precision} | {rates} | {share} |"


def svm_lines() -> Iterator[str]:
    yield "| features | 10 folds on CUDA | on the CPU | same costs chosen |"
    yield "|---|---|---|---|"
    for features in (64, 800, 3008, 12032):
        svm_seconds(features, "cuda", folds=1)
        (there, chosen), (here, expected) = svm_seconds(features, "cuda"), svm_seconds(features, "cpu", folds=3)
        same = sum(a == b for a, b in zip(chosen, expected, strict=False))
        yield f"| {features} | {there:.1f} s | {here / 3 * 10:.1f} s (3 folds × 10/3) | {same} of 3 |"


def run_lines() -> Iterator[str]:
    yield "| 8 trials | seconds | devices, or what went wrong |"
    yield "|---|---|---|"
    for jobs in (1, 4):
        seconds, found = run_seconds(jobs)
        yield f"| --jobs {jobs} --jobs-per-device {jobs} | {seconds:.0f} | {'; '.join(found)} |"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "learners": learner_lines,
    "speed": speed_lines,
    "svm": svm_lines,
    "runs": run_lines,
}


def main(parts: Sequence[str]) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, {os.cpu_count()} cores", flush=True)
    for name in parts or PARTS:
        started = time.perf_counter()
        print(f"\n## {name}\n", flush=True)
        try:
            for line in PARTS[name]():
                print(line, flush=True)
        except Exception as error:
            print(f"**failed**: {type(error).__name__}: {error}", flush=True)
        print(f"\n({time.perf_counter() - started:.0f} s)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
