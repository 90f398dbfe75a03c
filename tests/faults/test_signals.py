"""Signals that end a run, and streams that cannot be written."""

from __future__ import annotations

import errno
import io
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from common import FAST
from jobs import job, protocol_spec
from msgspec.structs import replace
from trials import evaluation, trial

from reprbench.api import running
from reprbench.api.progress import SilentListener, ending
from reprbench.api.running import PreparedRun
from reprbench.claims import Claims
from reprbench.cli import main as main_module
from reprbench.cli.streams import Forgiving, forgiving
from reprbench.errors import UserError
from reprbench.owner import myself
from reprbench.registry import Entry
from reprbench.runner import schedule, waiting
from reprbench.runner.describe import Question
from reprbench.runner.descriptions import describe
from reprbench.runner.executors import local
from reprbench.runner.executors.local import LocalExecutor
from reprbench.runner.executors.settings import ExecutorSettings
from reprbench.runner.job import TrialResult, read_job, write_job
from reprbench.runner.limits import Limits
from reprbench.runner.plan import Planned, TrialSpec
from reprbench.runner.received import Progress
from reprbench.runner.schedule import Folders, Schedule
from reprbench.spec import Budget, parse_call
from reprbench.store import Store
from reprbench.trial import Code, DataRecord, MethodRecord


@pytest.fixture(autouse=True)
def hang_up() -> None:
    """Have SIGHUP do what it usually does: a shell that starts the tests with `nohup` has it ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def planned(label: str, protocol: str = "knn") -> Planned:
    spec = TrialSpec(
        benchmark="mine",
        label=label,
        entry=Entry("ae", "file", "ae.py"),
        method=MethodRecord(call=parse_call("ae"), parameters={"label": label}, origin="here", code=Code(source="s")),
        identifying={"label": label},
        dataset=DataRecord(
            call=parse_call("digits"), title="Digits", digest="d", shape=(1, 8, 8), unlabeled=9, train=9, test=4,
            classes=2, folds=2,
        ),
        dataset_entry=Entry("digits", "entry point", "somewhere:digits", "dataset"),
        budget=Budget(epochs=1),
        seed=0,
        protocols=(protocol_spec(protocol),),
    )  # fmt: skip
    return Planned(spec, "run", "new", spec.protocols)


@dataclass
class FakeProcess:
    """Ends at once, as its label says."""

    label: str
    when_closed: Callable[[], None]
    outcome: TrialResult = field(default_factory=lambda: TrialResult(status="done"))
    closed: bool = False
    path: Path = Path("nothing is finished here")

    def __post_init__(self) -> None:
        if self.label == "no space":
            raise OSError(errno.ENOSPC, "No space left on device", "somewhere/job.json")
        if self.label == "refused":
            raise UserError("Slurm refused it: invalid partition")
        if self.label == "no start":
            raise ValueError("Out of range float values are not JSON compliant")

    def messages(self) -> list[Progress]:
        if self.label == "bad message":
            raise RuntimeError("no message")
        return [Progress("fit", 0.5)]

    def ended(self) -> bool:
        if self.label.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.label])
            return False
        return True

    def end(self, status, reason) -> None:
        self.outcome = TrialResult(status=status, reason=reason)

    def result(self):
        if self.label == "bad result":
            raise RuntimeError("no result")
        return self.outcome, None

    def files(self) -> dict[str, Path]:
        if self.label == "no history":
            return {"history.csv": Path("missing")}
        return {}

    def close(self) -> None:
        self.closed = True
        self.when_closed()


class Listening:
    def __init__(self, failing: bool = False) -> None:
        self.failing = failing

    def started(self, planned):
        if self.failing:
            raise RuntimeError("cannot show it")

    progressed = finished = waits = lambda self, planned, about: self.started(planned)
    warned = started


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run trials whose processes do what their labels say; return the schedule and the trials by label."""
    made: list[FakeProcess] = []

    def process(job, timeout, memory, closed):
        made.append(FakeProcess(job.parameters["label"], closed))
        return made[-1]

    monkeypatch.setattr(local, "TrialProcess", process)
    monkeypatch.setattr(schedule, "remove_abandoned", lambda: None)

    def start(*labels: str, failing: bool = False):
        places = Store(tmp_path / "results"), Folders([], tmp_path / "cache")
        found = Schedule(*places, LocalExecutor(Limits()), Listening(failing))
        trials = found.run([planned(label) for label in labels])
        assert all(one.closed for one in made)
        return found, {trial.label: trial for trial in trials}

    return start


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_interrupts_a_run_and_says_how_it_goes_on(run, name, tmp_path):
    before = signal.getsignal(signal.Signals[name])
    found, trials = run("good", name, "never started")
    assert found.interrupted
    assert {label: trial.status for label, trial in trials.items()} == {"good": "done", name: "interrupted"}
    assert trials[name].reason == "the run was interrupted; the same command runs it again"
    assert signal.getsignal(signal.Signals[name]) is before
    folder = tmp_path / "cache" / "fits" / trials[name].hash / "unlabeled"
    folder.mkdir(parents=True)
    (folder / "checkpoint.safetensors").touch()
    _, trials = run(name)
    assert trials[name].reason == "the run was interrupted; the same command goes on from the checkpoint"


def test_a_run_that_is_not_interrupted_says_so(run):
    assert not run("good")[0].interrupted


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with schedule._interruptible() as interrupted:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupted()
            os.kill(os.getpid(), signal.SIGTERM)
            assert interrupted()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("no space", "could not be started: no space left on device: somewhere/job.json; free space"),
        ("refused", "could not be started: Slurm refused it: invalid partition"),
        ("no start", "reprbench could not handle this trial: ValueError: Out of range float"),
        ("bad message", "reprbench could not handle this trial: RuntimeError: no message"),
        ("bad result", "reprbench could not handle this trial: RuntimeError: no result"),
        ("no history", "could not be written to"),
    ],
)
def test_what_goes_wrong_with_one_trial_costs_that_trial(run, label, reason):
    found, trials = run("first", label, "last")
    assert {label: trial.status for label, trial in trials.items()} == {
        "first": "done", label: "failed", "last": "done",
    }  # fmt: skip
    assert trials[label].reason.startswith(reason)
    assert not found.interrupted


def test_what_cannot_be_shown_costs_no_trial(run):
    assert [trial.status for trial in run("one", "two", failing=True)[1].values()] == ["done", "done"]


def test_waiting_for_another_run_that_cannot_be_shown_costs_no_trial(run, monkeypatch):
    others = [replace(myself(), pid=1)]
    monkeypatch.setattr(Claims, "take", lambda self, *paths: others.pop() if others else None)
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.0)
    assert run("one", failing=True)[1]["one"].status == "done"
    assert not others


def prepared(work, folder):
    """Return a run of this work that is ready to be executed on this machine."""
    return PreparedRun(work, Store(folder), Limits(), ExecutorSettings(executor="local"), "cpu", Folders([], folder))


def test_an_interrupted_run_exits_with_130_also_on_its_last_trial(monkeypatch, tmp_path, here):
    class Interrupted(Schedule):
        def run(self, work):
            self.interrupted = True
            return []

    monkeypatch.setattr(running, "Schedule", Interrupted)
    monkeypatch.setattr(running, "prepare_run", lambda options, warn: prepared([], tmp_path))
    done = here("run", "--methods", "pca")
    assert (done.returncode, done.stderr) == (130, "interrupted; run the same command again to continue\n")


def test_only_what_was_asked_for_decides_the_exit_status(monkeypatch, tmp_path):
    first, second = planned("first"), planned("second", "embedding")
    of_first, other = (one.spec.protocols[0].record for one in (first, second))
    # Once, the first trial was asked for the protocol of the second, which failed.
    failed = evaluation([], hash=other.hash, status="failed", reason="long ago")
    done = evaluation([1.0], hash=of_first.hash)
    found = trial("first", digest=first.spec.hash, protocols=[of_first, other], evaluations=[done, failed])

    class Finished(Schedule):
        def run(self, work):
            return [found]

    monkeypatch.setattr(running, "Schedule", Finished)
    run = prepared([first, second], tmp_path)
    assert not run.execute(SilentListener()).failed
    found.evaluations[0] = failed_too = evaluation([], hash=of_first.hash, status="failed", reason="now")
    assert found.failure(first.hashes) is failed_too
    assert run.execute(SilentListener()).failed


def test_a_long_reason_is_shown_in_short_while_the_run_goes_on():
    failed = trial(status="failed", reason="\x1b[2J" + "x" * 500)
    assert len(ending(planned("ae"), failed)) < 220
    assert "\x1b" not in ending(planned("ae"), failed)


# -- Ctrl-C outside of the schedule -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("where", ["import", "command"])
def test_ctrl_c_anywhere_is_one_line_and_130(here, monkeypatch, tmp_path, where, name):
    interrupt = f"import os, signal; os.kill(os.getpid(), signal.{name})"
    before = signal.getsignal(signal.Signals[name])
    head = "import click\n"
    body = f"@click.command()\ndef command():\n    {interrupt}\n"
    (tmp_path / "interrupting.py").write_text(head + (interrupt + "\n" if where == "import" else "") + body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(main_module.COMMANDS, "list", "interrupting")
    monkeypatch.delitem(sys.modules, "interrupting", raising=False)
    done = here("list")
    assert (done.returncode, done.stderr.strip(), done.stdout) == (130, "interrupted", "")
    assert signal.getsignal(signal.Signals[name]) is before


READS = """
import os, signal
from reprbench import register_dataset

@register_dataset("long")
def long():
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_while_data_are_read_is_one_line_and_130(here, tmp_path):
    (tmp_path / "long.py").write_text(READS)
    done = here("run", "--plugin", "long.py", "--dataset", "long", "--methods", "pca", "--plan")
    assert (done.returncode, done.stderr.strip(), done.stdout) == (130, "interrupted", "")


@pytest.mark.parametrize("form", ["table", "html"])
def test_ctrl_c_while_a_report_is_made_is_one_line_and_130_and_writes_nothing(here, monkeypatch, tmp_path, form):
    Store(tmp_path / "results").write(trial(), {})
    interrupt = lambda *_, **__: os.kill(os.getpid(), signal.SIGINT)  # noqa: E731
    monkeypatch.setattr("reprbench.report.grid.headline_decimals", interrupt)
    monkeypatch.setattr("reprbench.report.formats.html.cells.headline_decimals", interrupt)
    done = here("report", "--format", form, "-o", "report.txt")
    assert (done.returncode, done.stderr.strip(), done.stdout) == (130, "interrupted", "")
    assert not (tmp_path / "report.txt").exists()


SWALLOWS = """
import os, signal, sys, types
from reprbench.cli import main
import click
@click.command()
def command():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        print("swallowed", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("goes on", flush=True)
sys.modules["swallowing"] = types.SimpleNamespace(command=command)
main.COMMANDS["list"] = "swallowing"
sys.argv = ["reprbench", "list"]
main.main()
"""


def test_a_second_ctrl_c_ends_what_swallowed_the_first():
    done = subprocess.run([sys.executable, "-c", SWALLOWS], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "swallowed\n", "")


IMPORTS = """
import builtins
before = builtins.__import__
def interrupted(name, *rest):
    if name == "click":
        raise KeyboardInterrupt
    return before(name, *rest)
builtins.__import__ = interrupted
import reprbench.cli.main
"""


def test_ctrl_c_before_the_command_is_known_is_one_line_and_130():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


THROUGH_EXEC = """
import sys
from reprbench.cli.main import leave_interrupted
try:
    exec("raise KeyboardInterrupt")
except KeyboardInterrupt:
    {}
"""


@pytest.mark.parametrize(("leave", "status"), [("sys.exit(130)", -signal.SIGINT), ("leave_interrupted()", 130)])
def test_the_status_is_130_also_after_an_interruption_that_python_saw_in_exec(tmp_path, leave, status):
    (tmp_path / "interrupted.py").write_text(THROUGH_EXEC.format(leave))
    assert subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path).returncode == status


# -- streams ----------------------------------------------------------------------------------------------------------


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stream_that_fails_costs_what_is_written_there():
    stream = Forgiving(Full())
    assert stream.write("text") == 4
    assert stream.failure is None
    stream.flush()
    stream.flush()
    assert stream.failure.strerror == "No space left on device"
    assert stream.getvalue() == "text"


@pytest.mark.parametrize(("code", "lost"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.EPIPE, False)])
def test_what_standard_output_lost_is_known_unless_nobody_reads_it(monkeypatch, code, lost):
    class Failing(io.StringIO):
        def write(self, text):
            raise OSError(code, "failure")

    monkeypatch.setattr(sys, "stdout", Failing())
    monkeypatch.setattr(sys, "stderr", Failing())
    with forgiving() as failure:
        print("text")
        print("text", file=sys.stderr, flush=True)
        assert (failure() is not None) == lost
    assert isinstance(sys.stdout, Failing)


@pytest.mark.parametrize(
    ("streams", "status", "errors"),
    [
        (">/dev/full", 2, "Error: standard output: no space left on device; what is there is incomplete\n"),
        (">/dev/full 2>&1", 2, ""),
        ("2>/dev/full", 0, ""),
        (">&- 2>&- <&-", 0, ""),
        ("| true", 0, ""),
        ("2>&1 | head -1 >/dev/null", 0, ""),
    ],
)
def test_commands_with_streams_that_cannot_be_written(streams, status, errors, tmp_path):
    command = f"set -o pipefail; {sys.executable} -m reprbench.cli.main list benchmarks -v {streams}"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, errors)


def test_a_closed_stream_is_not_the_next_file_that_is_opened(tmp_path):
    code = "from reprbench.cli.streams import forgiving\n"
    code += "with forgiving(): print(open('f', 'w').fileno(), file=open('number', 'w'))"
    command = f"{sys.executable} -c {shlex.quote(code)} >&- 2>&-"
    subprocess.run(["/bin/bash", "-c", command], cwd=tmp_path)
    assert int((tmp_path / "number").read_text()) > 2


def test_a_run_whose_messages_and_table_nobody_can_read_is_a_run(tmp_path):
    words = ("run", "--methods", "raw-pixels", "--limit", "150", "--protocols", "knn")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "reprbench.cli.main", *words], cwd=tmp_path, stdout=full, stderr=full, timeout=300
        )
    assert done.returncode == 0
    assert len(list(tmp_path.glob("results/adhoc/raw-pixels/*/trial.json"))) == 1


EVERYTHING = """
import multiprocessing, subprocess, sys, threading
from torch.utils.data import DataLoader

class Rows(list):
    pass

@register("everything")
class Everything(Flat):
    def fit(self, images, run):
        run.progress(None, phase="warm", loss=float("nan"))
        rows = DataLoader(Rows(range(4)), num_workers=1, multiprocessing_context="spawn")
        assert [int(row) for row in rows] == [0, 1, 2, 3]
        super().fit(images, run)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        open("left", "w").write(str(child.pid))
        threading.Thread(target=time.sleep, args=(600,)).start()
        sys.stdout.close()
"""


def test_a_trial_that_leaves_workers_threads_and_children_is_done(cli, tmp_path, plugin):
    words = ("run", "--plugin", str(plugin("everything.py", EVERYTHING)), "--methods", "everything", *FAST)
    done = cli(*words)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(list(tmp_path.glob("results/adhoc/everything/*/trial.json"))) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "left").read_text()), 0)


def test_names_of_files_need_not_be_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"not \xff utf-8")
    folder.mkdir()
    asked = job(SimpleNamespace(digest="d"), folder / ".reprbench")
    asked.entry = Entry("mine", "file", str(folder / "mine.py"))
    write_job(folder / "job.json", asked)
    assert read_job(folder / "job.json") == asked
    assert asked.entry.origin == f"file {tmp_path}/not \\xff utf-8/mine.py"
    (folder / "mine.py").write_text("raise ValueError(__file__)")
    (found,) = describe([Question(asked.entry)])
    assert found.problem == f"ValueError: {tmp_path}/not � utf-8/mine.py"
