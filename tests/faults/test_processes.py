"""Trials' processes: they end when they should, with all that they started, and what they finished stands."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import common
import psutil
import pytest
from jobs import job

from reprbench.data import load_dataset
from reprbench.runner import process, working_folder
from reprbench.runner.child import Child
from reprbench.runner.launch import launcher
from reprbench.runner.process import TrialProcess
from reprbench.runner.working_folder import WorkingFolder, remove_abandoned
from reprbench.texts import TRACEBACK

NUMBERS = itertools.count()

HEAD = """
import json, os, signal, subprocess, sys, threading, time
lines = os.fdopen(int(sys.argv[-1]), "w", buffering=1)

def start(code, **options):
    process = subprocess.Popen([sys.executable, "-S", "-c", code], **options)
    print(process.pid, file=lines)

SLEEP = "import time; time.sleep(600)"
# Of a group and session of its own, with no parent, deaf to signals and without the environment.
DAEMON = "import os, signal, time; signal.signal(15, signal.SIG_IGN); os.fork() and os._exit(0); os.setsid(); " + \\
    "os.fork() and os._exit(0); os.write({}, b'%d\\\\n' % os.getpid()); time.sleep(600)"

def daemon():
    code = DAEMON.format(lines.fileno())
    subprocess.run([sys.executable, "-S", "-c", code], pass_fds=[lines.fileno()], env={})
"""


wait_for = partial(common.wait_for, seconds=60)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(params=["forked", "started"])
def kind(request, monkeypatch):
    """Let processes be forked from a server, or started, as where there is none."""
    if request.param == "started":
        monkeypatch.setattr(launcher, "_current", lambda environment: None)
    return request.param


@pytest.fixture
def name():
    """Return the name of a module that no other test has, whose compiled file could be taken for it."""
    return f"tiny_{next(NUMBERS)}"


@pytest.fixture
def tiny(modules, name):
    """Write a module whose process needs nothing of the harness, and return what starts it."""

    def write(code: str) -> Callable[..., Child]:
        (modules / f"{name}.py").write_text(HEAD + textwrap.dedent(code))
        return lambda *arguments, **options: Child(name, *arguments, **options)

    return write


def pids(child: Child, count: int) -> list[int]:
    found: list[bytes] = []

    def complete() -> bool:
        found.extend(child.lines())
        return len(found) == count

    wait_for(complete)
    return [int(line) for line in found]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("sys.exit(3)", 3),
        ("os._exit(255)", 255),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.killpg(0, signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)", -signal.SIGKILL),
    ],
)
@pytest.mark.usefixtures("kind")
def test_a_process_ends_as_it_ended_and_ends_no_other(tiny, code, status):
    child = tiny(code)()
    wait_for(lambda: child.poll() is not None)
    assert child.poll() == status
    child.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a process that asks for them")
@pytest.mark.parametrize("end", ["done", "ended", "stopped", "supervisor stopped"])
@pytest.mark.usefixtures("kind")
def test_whatever_a_process_leaves_behind_is_ended(tiny, end, monkeypatch):
    monkeypatch.setattr("reprbench.runner.child._END_SECONDS", 0.2 if end == "supervisor stopped" else 60)
    waits = "" if end == "done" else "time.sleep(600)"
    child = tiny(f"start(SLEEP); start(SLEEP, start_new_session=True); daemon()\n{waits}")()
    left = pids(child, 3)
    own = [one.pid for one in child._family()]
    if end == "stopped":
        for pid in own:
            os.kill(pid, signal.SIGSTOP)
    if end == "supervisor stopped":
        os.kill(psutil.Process(own[0]).ppid(), signal.SIGSTOP)
    if end == "done":
        wait_for(lambda: child.poll() is not None)
        assert child.poll() == 0
    else:
        assert set(left) < set(own)
        assert child.end() == -signal.SIGKILL
    assert not [pid for pid in {*left, *own} if alive(pid)]
    child.close()


DRIVER = """
import sys, time
from reprbench.runner.child import Child
from reprbench.runner.launch import launcher
child = Child(sys.argv[1])
print(launcher._server._process.pid, flush=True)
while True:
    for line in child.lines():
        print(line.decode(), flush=True)
    time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives orphans to a process that asks for them")
@pytest.mark.parametrize("what", ["sleeps", "is stopped", "holds the interpreter"])
def test_kill_9_of_the_parent_ends_everything(tiny, name, what):
    rest = {
        "sleeps": "time.sleep(600)",
        "is stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
        "holds the interpreter": "import ctypes; ctypes.PyDLL(None).sleep(600)",
    }[what]
    tiny(f"start(SLEEP, start_new_session=True); daemon(); print(os.getpid(), file=lines)\n{rest}")
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, name], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    server, *left = [int(driver.stdout.readline()) for _ in range(4)]
    supervisor = psutil.Process(left[2]).ppid()
    assert psutil.Process(supervisor).ppid() == server
    assert all(map(alive, left))
    driver.kill()
    driver.communicate()
    wait_for(lambda: not any(map(alive, [*left, supervisor, server])))


@pytest.mark.usefixtures("kind")
def test_200_megabytes_of_output_are_kept_in_short(tiny):
    child = tiny("""
        print("first", flush=True)
        block = b"\\xff" * 10**6
        for _ in range(200):
            os.write(2, block)
        print("last", flush=True)
    """)()
    wait_for(lambda: child.poll() is not None)
    output = child.output()
    assert output.startswith("first\n")
    assert output.endswith("last\n")
    assert len(output) <= TRACEBACK
    child.close()


def test_what_a_finished_process_leaves_may_end_by_itself(tiny, tmp_path):
    code = "import os, time; os.read(0, 1); open('cleaned', 'w').close()"
    start = tiny(
        f"subprocess.Popen([sys.executable, '-S', '-c', {code!r}], stdin=subprocess.PIPE, cwd={str(tmp_path)!r})"
    )
    child = start()
    wait_for(lambda: child.poll() is not None)
    assert (tmp_path / "cleaned").exists()
    child.close()


# -- results ----------------------------------------------------------------------------------------------------------


WRITE = """\
folder = sys.argv[1]
def write(text, name="result.json"):  # all at once, as the harness does
    with open(os.path.join(folder, "new"), "w") as file:
        file.write(text)
    os.replace(file.name, os.path.join(folder, name))
"""


@pytest.fixture
def trial(tiny, monkeypatch, tmp_path):
    """Start a trial whose process runs this code instead of the harness's."""
    dataset = load_dataset("digits", {}, data_dirs=[], cache_dir=Path()).limited(100)
    started: list[TrialProcess] = []

    def start(code: str, timeout: float | None = None, memory: int | None = None) -> TrialProcess:
        run = tiny(WRITE + textwrap.dedent(code))
        monkeypatch.setattr(process, "Child", lambda module, *words, environment: run(*words, environment=environment))
        started.append(TrialProcess(job(dataset, tmp_path), timeout, memory))
        return started[-1]

    yield start
    for one in started:
        one.close()
        assert not one.path.exists()


DONE = "write(json.dumps({'status': 'done'}))\n"
LINGERS = DONE + "threading.Thread(target=time.sleep, args=(600,)).start()"


@pytest.mark.parametrize("after", ["os._exit(1)", "os.kill(os.getpid(), signal.SIGSEGV)", "os.killpg(0, 9)"])
def test_a_result_that_is_written_stands(trial, after):
    running = trial(DONE + after)
    wait_for(running.ended)
    result, name = running.result()
    assert (result.status, name) == ("done", None)


def test_a_process_that_lingers_after_its_result_is_ended_without_a_timeout(trial, monkeypatch):
    monkeypatch.setattr(process, "LINGER_SECONDS", 0.1)
    running = trial(LINGERS, timeout=600)
    wait_for(running.ended)
    assert running.result()[0].status == "done"


def test_a_limit_does_not_replace_a_result(trial):
    running = trial(LINGERS)
    wait_for(lambda: (running.path / "result.json").exists())
    running.end("timeout", "too late")
    assert running.result()[0].status == "done"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit(4)", "the process exited with status 4 before it had a result"),
        ("os.abort()", "killed by SIGABRT"),
        ("write('junk')", "its result cannot be read: result.json: JSON is malformed"),
        ("os.mkfifo(os.path.join(folder, 'result.json'))", "its result cannot be read: result.json is not a regular"),
        ("os.mkdir(os.path.join(folder, 'result.json'))", "its result cannot be read: result.json is not a regular"),
        (
            "print(json.dumps({'what': '', 'share': 1, 'problem': 'it could not: No space left'}), file=lines)",
            "it could not: No space left",
        ),
    ],
)
def test_a_process_without_a_result_has_a_reason(trial, code, reason):
    running = trial(f"print('said \\x1b[31mred', flush=True)\n{code}")
    wait_for(running.ended)
    result, _ = running.result()
    assert result.status == "failed"
    assert result.reason.startswith(reason)
    assert result.traceback.startswith("said red\n")


def test_texts_and_provenance_of_a_result_are_bounded(trial):
    running = trial("""
        write(json.dumps({"status": "failed", "reason": "a\\x1b[2Jb\\n" + "x" * 10**6, "traceback": "t" * 10**6,
                          "warnings": ["w" * 10**4] * 1000}))
        write("junk", "provenance.json")
    """)
    wait_for(running.ended)
    result, _ = running.result()
    assert result.reason.startswith("ab xxx")
    assert len(result.reason) <= 500
    assert len(result.traceback) <= TRACEBACK
    assert len(result.warnings) <= 100
    assert result.provenance == {}


@pytest.mark.usefixtures("kind")
def test_limits_end_a_process_and_all_that_it_started(trial):
    running = trial("start(SLEEP)\ntime.sleep(600)", timeout=0.5)
    (left,) = pids(running._child, 1)
    wait_for(running.ended)
    assert running.result()[0].reason == "took longer than --timeout 0.5 s"
    assert not alive(left)
    running = trial(
        "start('x = bytearray(3 * 10**8); import time; time.sleep(600)')\ntime.sleep(600)", memory=2 * 10**8
    )
    (left,) = pids(running._child, 1)
    wait_for(running.ended)
    result, name = running.result()
    assert (result.status, name) == ("out-of-memory", "SIGKILL")
    assert result.cost.peak_memory > 2 * 10**8
    assert not alive(left)


def test_junk_in_the_pipe_and_links_among_the_figures_are_left_out(trial, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    running = trial(f"""
        lines.write("junk" * 10**6 + "\\n" + json.dumps({{"what": "fit", "share": 0.5}}) + "\\n")
        os.mkdir(os.path.join(folder, "figures"))
        os.symlink({str(tmp_path / "secret.png")!r}, os.path.join(folder, "figures", "a.png"))
        write("png", "figures/b.png")
    """)
    found: list[str] = []
    wait_for(lambda: found.extend(message.what for message in running.messages()) or found)
    assert found == ["fit"]
    wait_for(running.ended)
    assert list(running.files()) == ["figures/b.png"]


# -- folders ----------------------------------------------------------------------------------------------------------

OWNER = """
import os, sys
from reprbench.runner.working_folder import WorkingFolder
print(WorkingFolder().path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_folders_of_dead_runs_are_removed_and_those_of_the_living_are_not(temporary):
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    other = Path(owner.stdout.readline().strip())
    assert other.parent == temporary
    (other / "job.json").write_text("{}")
    own = WorkingFolder()
    kept = temporary / "reprbench-work-file"
    kept.write_text("a file, not a folder")
    remove_abandoned()
    assert (other / "job.json").exists() and own.path.exists()
    owner.kill()
    owner.communicate()
    remove_abandoned()
    assert not other.exists()
    assert own.path.exists() and kept.exists()
    own.close()
    assert not own.path.exists()


def test_folders_of_other_users_and_without_locks_are_left_alone(temporary, monkeypatch):
    (temporary / "reprbench-work-x").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    remove_abandoned()
    assert (temporary / "reprbench-work-x").exists()
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(temporary))

    def no_locks(descriptor, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(working_folder.fcntl, "flock", no_locks)
    folder = WorkingFolder()
    remove_abandoned()
    assert folder.path.exists()
    folder.close()


# -- workers of plugins -----------------------------------------------------------------------------------------------

SPAWNS = """
import multiprocessing

class Item:
    def __init__(self, value):
        self.value = value

    def __call__(self, queue):
        from helper import NAME
        queue.put((self.value, NAME, Item.__module__))

def work():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=Item(5), args=(queue,))
    worker.start()
    found = queue.get(timeout=60)
    worker.join()
    return found
"""


def test_workers_that_are_spawned_find_the_classes_of_plugin_files(tmp_path):
    (tmp_path / "my.plugin.py").write_text(SPAWNS)
    (tmp_path / "helper.py").write_text("NAME = 'the helper beside it'")
    code = f"""
        from pathlib import Path
        from reprbench.plugin_files import import_file

        if __name__ == "__main__":
            print(import_file(Path({str(tmp_path / "my.plugin.py")!r})).work())
    """
    (tmp_path / "main").mkdir()
    (tmp_path / "main" / "program.py").write_text(textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "main" / "program.py")], capture_output=True, text=True, timeout=120
    )
    assert "(5, 'the helper beside it', 'reprbench.plugin_files." in done.stdout, done.stderr
