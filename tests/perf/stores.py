"""Makes large stores: trials that read like real ones, with made-up numbers. ``python tests/perf/stores.py FOLDER``."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reprbench.benchmark import Reference
from reprbench.measurement import Headline, Measurement
from reprbench.spec import Budget, Call
from reprbench.trial import Code, Cost, DataRecord, Deviation, Evaluation, MethodRecord, ProtocolRecord, Trial
from reprbench.trial_file import trial_text

BENCHMARKS, METHODS, SEEDS = 5, 100, 20
TRIALS = BENCHMARKS * METHODS * SEEDS
FOLDS = 10
VERSIONS = {"python": "3.11.7", "reprbench": "0.1.0", "torch": "2.14.1", "torchvision": "0.29.1", "numpy": "2.4.6",
            "scipy": "1.17.1", "scikit-learn": "1.9.1", "pillow": "13.0.0", "safetensors": "0.8.0",
            "pydantic": "2.14.3"}  # fmt: skip
PROTOCOL = {"layers": "last", "pooling": "max", "grid": 2, "folds": "dataset", "inner_folds": 5,
            "costs": [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]}  # fmt: skip


def write_store(root: Path, noise: int = 0, worse: float = 0.0) -> int:
    """Write a store of `TRIALS` trials, as large as real ones; return its size in bytes.

    Parameters
    ----------
    noise : the seed of what differs between two runs of the same trial.
    worse : by how many points of accuracy the first method of the first benchmark is worse.
    """
    size = 0
    for trial in trials(noise, worse):
        folder = root / trial.folder
        folder.mkdir(parents=True)
        # What `Store.write` does, without waiting for the disk ten thousand times.
        size += (folder / "trial.json").write_text(trial_text(trial), encoding="utf-8")
    return size


def trials(noise: int = 0, worse: float = 0.0) -> Iterator[Trial]:
    """Yield the trials of `write_store`."""
    generator = np.random.default_rng(noise)
    skill = np.random.default_rng(7).normal(0, 5, (BENCHMARKS, METHODS, SEEDS, 1))
    accuracies = 60 + skill + np.random.default_rng(8).normal(0, 1, (BENCHMARKS, METHODS, SEEDS, FOLDS))
    accuracies += generator.normal(0, 0.3, accuracies.shape)
    accuracies[0, 0] -= worse
    for (benchmark, method, seed), values in zip(
        np.ndindex(BENCHMARKS, METHODS, SEEDS), accuracies.reshape(TRIALS, FOLDS), strict=True
    ):
        yield _trial(f"bench-{benchmark}", f"method-{method:02}", seed, values.round(2).tolist(), noise)


def _trial(benchmark: str, method: str, seed: int, accuracies: list[float], noise: int) -> Trial:
    digest = hashlib.sha256(f"{benchmark}/{method}/{seed}/{noise}".encode()).hexdigest()
    parameters: dict[str, Any] = {"width": 64, "lr": 1e-4, "batch_size": 64, "n_hidden": 100, "beta1": 0.5}
    protocol = ProtocolRecord(Call(name="linear-svm"), 64 * "e")
    return Trial(
        benchmark=benchmark,
        label=method,
        method=MethodRecord(
            call=Call(name=method, parameters={"width": 64}),
            parameters=parameters,
            origin=f"entry point reprbench.methods.{method}:Method",
            code=Code(version=1),
            kind="control" if method == "method-01" else "unsupervised",
        ),
        dataset=DataRecord(
            call=Call(name="stl10"), title="STL-10", digest=(benchmark + 64 * "d")[:64], shape=(3, 96, 96),
            unlabeled=100_000, train=5_000, test=8_000, classes=10, folds=FOLDS,
        ),
        budget=Budget(epochs=20),
        seed=seed,
        identity={"method": method, "source": 64 * "a", "parameters": parameters, "dataset": "stl10", "data": 64 * "d",
                  "preprocessing": "float32(x / 255)", "budget": {"epochs": 20}, "seed": seed},
        hash=digest,
        status="done",
        protocols=[protocol],
        deviations=[Deviation("limit", "limit 5000")] if seed == 1 else [],
        reference=Reference(value=58.1, spread=0.6, citation=f"A paper of {method}, Table 1") if seed == 0 else None,
        evaluations=[
            Evaluation(
                call=protocol.call,
                code=Code(version=1),
                parameters=PROTOCOL,
                hash=protocol.hash,
                headlines=[Headline("accuracy")],
                seconds=14.9,
                measurements=_measurements(accuracies),
            )
        ],
        cost=Cost(
            parameters=50_960, encode_flops=100_352, images_seen=100_000, fit_seconds=1.34, evaluation_seconds=14.9,
            peak_memory=989_757_440,
        ),
        provenance={
            "versions": VERSIONS,
            "code": {"commit": 40 * "c", "dirty": False},
            "machine": {"system": "Linux-6.18-x86_64-with-glibc2.36", "processor": "Intel(R) Xeon(R) Processor",
                        "cores": 2, "memory": 25_276_502_016},
            "threads": 2,
            "device": "cpu",
            "determinism": {"deterministic_algorithms": True, "cudnn_benchmark": False},
            "started": "2026-11-23T09:54:16+00:00",
            "ended": "2026-11-23T09:54:36+00:00",
            "resumed": False,
        },
    )  # fmt: skip


def _measurements(accuracies: list[float]) -> list[Measurement]:
    found: list[Measurement] = []
    for fold, value in enumerate(accuracies):
        at = {"fold": fold}
        found += [
            Measurement(metric="accuracy", value=value, unit="%", better="higher", at=at),
            Measurement(metric="C", value=0.01, unit="", better="neither", at=at),
            Measurement(metric="inner accuracy", value=value + 1.5, unit="%", better="higher", at=at),
        ]
    return [*found, Measurement(metric="feature dimension", value=1024.0, unit="", better="neither", at={})]


if __name__ == "__main__":
    print(f"{write_store(Path(sys.argv[1])) / 2**20:.0f} MB in {TRIALS} trials")
