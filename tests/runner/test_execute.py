"""The code of a trial's process, run in the test's process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from common import digits
from jobs import evaluator, job, protocol_job
from msgspec.structs import replace

from reprbench.capabilities import Reconstructs
from reprbench.errors import Diverged, UserError
from reprbench.features import View
from reprbench.learner import Learner, SupervisedLearner
from reprbench.protocols.base import Features, Measurement, Outcome, Protocol
from reprbench.registry import discover
from reprbench.runner import execute
from reprbench.runner.describe import Question
from reprbench.runner.descriptions import describe
from reprbench.runner.execute import _prepare_torch
from reprbench.runner.fitting import Fits
from reprbench.runner.job import ProtocolJob
from reprbench.runner.plan import digest, protocol_hash
from reprbench.spec import parse_call
from reprbench.trial import to_json


class Watching(Learner):
    """Remembers what it is given."""

    seen: ClassVar[list] = []

    def fit(self, images, run):
        self.seen.append(images)

    def encode(self, x):
        return {"pixels": x.flatten(1)}


class WatchingLabels(SupervisedLearner):
    seen: ClassVar[list] = []

    def fit_labeled(self, images, labels, run):
        self.seen.append((images, labels))

    def encode(self, x):
        return {"pixels": x.flatten(1)}


class TrainMean(Protocol):
    """Takes features of every fold, as protocols do."""

    name = "train-mean"
    version = 1
    headlines = ("mean",)

    def evaluate(self, subject, seed):
        outcome = Outcome()
        for number, rows in enumerate(subject.dataset.folds):
            matrix = subject.features(Features(rows if subject.supervised else None, "train", rows, View()))
            outcome.measurements.append(Measurement("mean", float(matrix.mean()), at={"fold": number}))
        return outcome


class Picky(TrainMean):
    name = "picky"
    needs = (Reconstructs,)


@pytest.fixture
def dataset():
    return digits(200)


def evaluate(protocol: Protocol, cls: type[Learner], dataset, tmp_path: Path):
    made, fits = evaluator(cls, dataset, tmp_path, [protocol])
    return made.evaluate(protocol_job(protocol), protocol), fits


def same_images(one, two) -> bool:
    everything = slice(0, max(len(one), len(two)))
    return np.array_equal(one.pixels(everything), two.pixels(everything))


def test_an_unsupervised_learner_is_fitted_once_on_the_unlabeled_images(dataset, tmp_path):
    Watching.seen.clear()
    evaluation, fits = evaluate(TrainMean(), Watching, dataset, tmp_path)
    assert len(Watching.seen) == 1
    assert same_images(Watching.seen[0], dataset.unlabeled)
    assert len(evaluation.measurements) == 10
    evaluate(TrainMean(), Watching, dataset, tmp_path)
    assert len(Watching.seen) == 1, "the second time it comes from the cache"
    assert len(fits.notes) == 1


def test_a_supervised_learner_is_fitted_once_per_fold_with_that_folds_labels_alone(dataset, tmp_path):
    WatchingLabels.seen.clear()
    evaluate(TrainMean(), WatchingLabels, dataset, tmp_path)
    assert len(WatchingLabels.seen) == 10
    again, fits = evaluate(TrainMean(), WatchingLabels, dataset, tmp_path)
    assert len(WatchingLabels.seen) == 10, "the second time they come from the cache"
    assert len(fits.notes) == 10, "and the trial still knows what they cost"
    assert fits.seconds_here == 0
    assert again.seconds > 0
    for (images, labels), rows in zip(WatchingLabels.seen, dataset.folds, strict=True):
        assert same_images(images, dataset.train.take(rows))
        assert np.array_equal(labels, dataset.train_labels[rows])


def test_a_learner_without_a_capability_gets_a_row_that_says_why(dataset, tmp_path):
    evaluation, _ = evaluate(Picky(), Watching, dataset, tmp_path)
    assert evaluation.reason == "picky needs a learner that reconstructs"
    assert evaluation.measurements == []


def yields(what):
    """A protocol that finds this."""

    class Yields(Protocol):
        name = "yields"
        version = 1
        headlines = ("mean",)

        def evaluate(self, subject, seed):
            return Outcome([Measurement("mean", 1.0), what])

    return Yields()


def test_a_measurement_that_is_not_finite_ends_the_trial(dataset, tmp_path):
    with pytest.raises(Diverged, match="spread is inf"):
        evaluate(yields(Measurement("spread", float("inf"))), Watching, dataset, tmp_path)


def test_a_headline_that_was_never_measured_is_a_hole_with_its_reason(dataset, tmp_path):
    evaluation, _ = evaluate(yields(Measurement("mean", 2.0)), Watching, dataset, tmp_path)
    assert evaluation.status == "done"

    class Forgets(TrainMean):
        headlines = ("median", "mode")

    evaluation, _ = evaluate(Forgets(), Watching, dataset, tmp_path)
    assert evaluation.reason == "train-mean measured no 'median' and no 'mode', which its headlines name"
    assert evaluation.measurements


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("no\nluck"), "failed", "ValueError: no luck"),
        (UserError("no such layer"), "failed", "no such layer"),
        (Diverged("loss = nan"), "diverged", "loss = nan"),
        (MemoryError("all gone"), "out-of-memory", "MemoryError: all gone"),
        (SystemExit(3), "failed", "SystemExit: 3"),
    ],
)
def test_a_failure_of_one_protocol_is_recorded_in_its_evaluation(dataset, tmp_path, error, status, reason):
    class Raises(TrainMean):
        def evaluate(self, subject, seed):
            raise error

    made, _ = evaluator(Watching, dataset, tmp_path, [])
    found = made.attempt(protocol_job(Raises()), Raises())
    assert (found.status, found.reason, found.finished) == (status, reason, False)
    assert bool(found.traceback) == (status != "diverged")
    assert found.ended
    fine = made.attempt(protocol_job(TrainMean()), TrainMean())
    assert (fine.status, len(fine.measurements)) == ("done", 10)


def test_a_protocol_that_returns_no_outcome_says_so(dataset, tmp_path):
    class Silent(TrainMean):
        def evaluate(self, subject, seed):
            return None

    with pytest.raises(UserError, match="train-mean returned NoneType; expected an Outcome"):
        evaluate(Silent(), Watching, dataset, tmp_path)


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        (Measurement("spread", 1.0, better="Higher"), r"'Higher' - at `\$.measurements\[1\].better`"),
        (Measurement("spread", "1.0"), "got `str`"),
        (Measurement("spread", 1.0, at={"level": float("nan")}), "not JSON compliant"),
        (Measurement("spread", 1.0, at={"level": object()}), "neither a text nor a number"),
        (Measurement("spread", 1.0, at={"fold": (1, 2)}), "got `array`"),
    ],
)
def test_what_cannot_be_stored_is_reported_where_it_is_made(what, reason, dataset, tmp_path):
    with pytest.raises(UserError, match=f"what yields.* cannot be stored: .*{reason}"):
        evaluate(yields(what), Watching, dataset, tmp_path)


def test_numbers_of_numpy_become_plain_ones(dataset, tmp_path):
    what = Measurement("spread", np.float32(0.5), at={"level": np.int64(3)})
    evaluation, _ = evaluate(yields(what), Watching, dataset, tmp_path)
    assert evaluation.measurements[1] == Measurement("spread", 0.5, at={"level": 3})
    assert type(evaluation.measurements[1].value) is float


def test_a_trial_computes_in_float32_with_all_its_digits(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda wanted, warn_only: None)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    _prepare_torch(SimpleNamespace(threads=1, device="cpu"))
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("device", "used"), [("cpu", []), ("cuda:2", ["started", "cuda:2"])])
def test_a_trials_device_is_the_one_that_cuda_means(monkeypatch, device, used):
    calls = []
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda wanted, warn_only: None)
    monkeypatch.setattr(torch.cuda, "init", lambda: calls.append("started"))
    monkeypatch.setattr(torch.cuda, "set_device", calls.append)
    _prepare_torch(SimpleNamespace(threads=1, device=device))
    assert calls == used


PROTOCOL = """
from reprbench import Outcome, Protocol, register_protocol

@register_protocol("mine")
class Mine(Protocol):
    headlines = ("mean",)
    size: int = 1
    def evaluate(self, subject, seed):
        return Outcome()
"""


def test_a_protocol_that_changed_after_planning_is_a_mistake(dataset, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PROTOCOL)
    registry = discover([path])
    method, entry = registry.find("method", "raw-pixels"), registry.find("protocol", "mine")
    found = describe([Question(method), Question(entry, {"size": 2})])
    identity = {"code": to_json(found[0].code), "parameters": found[0].identifying, "seed": 0}
    own = ProtocolJob(
        entry=entry,
        call=parse_call("mine[size=2]"),
        code=found[1].code,
        parameters=found[1].parameters,
        hash=protocol_hash("mine", found[1].code, found[1].identifying),
    )
    planned = replace(
        job(dataset, tmp_path), entry=method, parameters=found[0].parameters, identity=identity,
        hash=digest(identity), protocols=[own],
    )  # fmt: skip
    learner, protocol = method.load(), entry.load().model_validate(own.parameters)
    execute._check_unchanged(planned, learner, [protocol])
    path.write_text(PROTOCOL + "# a remark\n")
    execute._check_unchanged(planned, learner, [protocol])
    path.write_text(PROTOCOL + "EXTRA = 1\n")
    with pytest.raises(UserError, match=r"of protocol mine\[size=2\] changed after the run was planned; run it again"):
        execute._check_unchanged(planned, learner, [protocol])
    with pytest.raises(UserError, match=r"of method raw-pixels and protocol mine\[size=2\] changed"):
        execute._check_unchanged(replace(planned, hash="0" * 64), learner, [protocol])


def test_provenance_says_how_many_trials_run_at_once(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "_work", lambda *_: None)
    asked = replace(job(dataset, tmp_path), trials_at_once=3)
    for found, expected in ((asked, 3), (job(dataset, tmp_path), 1)):
        result = execute.execute(found, tmp_path, lambda what, share, values: None)
        assert result.provenance["trials_at_once"] == expected


def test_a_trial_knows_the_steps_of_its_fits_only_if_they_were_counted(dataset, tmp_path):
    report = lambda what, share, values: None  # noqa: E731
    for count, expected in ((0, None), (3, 3)):

        class Counting(Watching):
            def fit(self, images, run):
                for _ in range(count):  # noqa: B023  (called in this turn of the loop)
                    with run.work.step():
                        torch.ones(2, 3) @ torch.ones(3, 5)

        fits = Fits(job(dataset, tmp_path / str(count)), Counting, dataset, report, {})
        fits.ensure(None)
        result = execute.TrialResult(status="done")
        execute._note(fits, tmp_path, result)
        assert (result.cost.steps, result.cost.fit_flops) == (expected, 180 if expected else None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UserError("no such\nlayer"), "no such layer"),
        (ValueError("UserError: quoted"), "ValueError: UserError: quoted"),
    ],
)
def test_only_the_mistakes_of_users_are_shown_without_their_type(error, reason, dataset, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(execute, "_prepare_torch", lambda job: "cpu")
    monkeypatch.setattr(execute, "_work", fail)
    result = execute.execute(job(dataset, tmp_path), tmp_path, lambda what, share, values: None)
    assert (result.status, result.reason) == ("failed", reason)


def test_the_history_is_written_while_a_fit_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "HISTORY_SECONDS", 0)
    told = []
    fits = SimpleNamespace(history=lambda: [{"step": 1, "loss": 0.5}])
    progress = execute._writing_history(fits, tmp_path, lambda *what: told.append(what))
    progress("fit", 0.5, {"loss": 0.5})
    assert told == [("fit", 0.5, {"loss": 0.5})]
    assert (tmp_path / "history.csv").read_text() == "step,loss\n1,0.5\n"
    # A history that cannot be written now costs nothing: it is written in the end.
    execute._writing_history(fits, tmp_path / "history.csv", lambda *what: None)("fit", 0.5, {})
    monkeypatch.setattr(execute, "HISTORY_SECONDS", 1000)
    progress = execute._writing_history(fits, tmp_path / "later", lambda *what: None)
    progress("fit", 0.5, {})
    assert not (tmp_path / "later").exists()
