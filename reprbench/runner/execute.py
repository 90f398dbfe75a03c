"""The process of one trial: fit, encode, evaluate, answer. Started by the schedule as ``python -m``."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from reprbench.errors import Diverged, UserError
from reprbench.files import write_json
from reprbench.runner.job import HISTORY, JOB, PROVENANCE, RESULT, Job, Result

if TYPE_CHECKING:
    from reprbench.data.dataset import Dataset
    from reprbench.features import Matrix, View
    from reprbench.images import Rows
    from reprbench.learner import Learner
    from reprbench.protocols.base import Protocol
    from reprbench.runner.fitting import Fits
    from reprbench.store import Evaluation


def execute(job: Job, folder: Path, report: Reporter) -> Result:
    """Run one trial here; whatever goes wrong inside it becomes the result's status and reason."""
    from reprbench.runner.provenance import peak_memory, provenance

    result = Result(status="failed")
    try:
        job = job.model_copy(update={"device": _prepare_torch(job)})
        result.provenance = provenance(job.device)
        # Written at once: a process that is killed has no other way to tell.
        write_json(folder / PROVENANCE, result.provenance)
        _work(job, folder, report, result)
        result.status = "done"
    except Diverged as error:
        result.status, result.reason = "diverged", str(error)
    except Exception as error:  # a method's failure is recorded, not raised: the other trials go on
        result.status = "out-of-memory" if _is_memory_error(error) else "failed"
        result.reason = f"{type(error).__name__}: {' '.join(str(error).split())}".removeprefix("UserError: ")
        result.traceback = traceback.format_exc()
    result.cost.peak_memory, result.cost.peak_device_memory = peak_memory(job.device)
    return result


def _work(job: Job, folder: Path, report: Reporter, result: Result) -> None:
    from reprbench.data.catalog import load_dataset
    from reprbench.protocols.base import make_protocols
    from reprbench.registry import Entry
    from reprbench.run import write_history
    from reprbench.runner.fitting import Fits

    dataset = load_dataset(
        job.dataset.name, job.dataset.parameters, data_dirs=job.data_dirs, cache_dir=job.cache
    ).limited(job.limit)
    if dataset.digest != job.data_digest:
        raise UserError(f"the files of {dataset.title} changed after the run was planned; run it again")
    cls = Entry(**job.entry).load()
    protocols = make_protocols(job.protocols)
    fits = Fits(job, cls, dataset, report, result.provenance)
    try:
        if not cls.supervised:
            fits.ensure(None)
        for protocol in protocols:
            result.evaluations.append(_evaluate(protocol, job, cls, dataset, fits, report))
    finally:
        write_history(folder / HISTORY, fits.history())
        result.resumed = fits.resumed
    if fits.provenance() != result.provenance:
        result.provenance = {**result.provenance, "fit": fits.provenance()}
    result.warnings = list(dict.fromkeys(w for note in fits.notes.values() for w in note["warnings"]))
    _count(fits, dataset, job.device, result)


def _evaluate(
    protocol: Protocol, job: Job, cls: type[Learner], dataset: Dataset, fits: Fits, report: Reporter
) -> Evaluation:
    from reprbench.features import FeatureCache
    from reprbench.protocols.base import Subject
    from reprbench.runner.plan import digest
    from reprbench.store import Evaluation

    cache = FeatureCache(job.cache / "features")

    def features(trained: Rows | None, split: Literal["train", "test"], rows: Rows, view: View) -> Matrix:
        # Also where the features are cached: the trial tells what its fits cost.
        if fits.key(trained) not in fits.notes:
            fits.ensure(trained)
        key = {"fit": job.hash, "rows": fits.key(trained), "data": dataset.digest, "split": split}
        return cache.matrix(
            key,
            lambda: fits.learner(trained),
            getattr(dataset, split),
            rows,
            view,
            job.device,
            lambda share: report(f"encode {split}", share, {}),
        )

    evaluation = Evaluation(
        name=protocol.name,
        version=protocol.version,
        parameters=protocol.model_dump(mode="json"),
        text=str(protocol),
        headline=protocol.headline,
        hash=digest(protocol.identity()),
        seconds=0.0,
        measurements=[],
    )
    lacking = [need.__name__ for need in protocol.needs if not issubclass(cls, need)]
    if lacking:
        evaluation.missing = f"{protocol.name} needs a learner that {' and '.join(lacking).lower()}"
        return evaluation
    before, fitting = time.monotonic(), fits.seconds_here
    subject = Subject(dataset, cls.supervised, fits.learner, features, lambda what, share: report(what, share, {}))
    outcome = protocol.evaluate(subject, job.seed)
    # The fits of a supervised learner happen inside; they are counted as fitting.
    evaluation.seconds = time.monotonic() - before - (fits.seconds_here - fitting)
    evaluation.measurements = [measurement.as_dict() for measurement in outcome.measurements]
    evaluation.warnings = outcome.warnings
    return evaluation


def _count(fits: Fits, dataset: Dataset, device: str, result: Result) -> None:
    """Fill in what the fitted learner consists of and what it cost."""
    from reprbench.state import encode_flops, parameter_count

    if not fits.notes:
        return
    learner = fits.last()
    result.cost.parameters = parameter_count(learner)
    result.cost.encode_flops = encode_flops(learner, dataset.train.batch(slice(0, 1), device))
    result.cost.images_seen = int(fits.total("images_seen"))
    result.cost.fit_seconds = fits.total("seconds")
    result.cost.evaluation_seconds = sum(evaluation.seconds for evaluation in result.evaluations)


def _prepare_torch(job: Job) -> str:
    """Set threads and determinism; return the device that the job's means here."""
    import torch

    torch.set_num_threads(job.threads)
    # Determinism where the device offers it; what it does not offer is a warning of torch's, not an error.
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    if job.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(torch.device(job.device))


def _is_memory_error(error: BaseException) -> bool:
    import torch

    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)


class Reporter:
    """Sends the trial's progress to the parent, as lines of JSON, at most a few a second."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "w", buffering=1)
        self._last = ("", 0.0)

    def __call__(self, what: str, share: float, values: Mapping[str, float]) -> None:
        """Report what is being done, its share, and the latest values."""
        now = time.monotonic()
        if what == self._last[0] and now - self._last[1] < 0.2 and share < 1:
            return
        self._last = (what, now)
        self._file.write(json.dumps({"what": what, "share": share, "values": dict(values)}) + "\n")


def _die_with_parent() -> None:
    """End this process when the parent's end of standard input closes, however the parent ended."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Execute the job in the folder named first, reporting to the file descriptor named second."""
    # Ctrl-C reaches the whole group; the parent decides what it means for this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    folder, descriptor = Path(sys.argv[1]), int(sys.argv[2])
    job = Job.model_validate_json((folder / JOB).read_text(encoding="utf-8"))
    result = execute(job, folder, Reporter(descriptor))
    write_json(folder / RESULT, result.model_dump(mode="json"))


if __name__ == "__main__":
    main()
