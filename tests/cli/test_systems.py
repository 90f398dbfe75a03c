"""On Windows, what starts no trials works, and the rest says in one line that it does not.

There is no Windows here: a process gets its name and loses what only other systems have, which is what would fail.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from common import FAST, REPOSITORY

WINDOWS = """
import os, shutil, signal, sys
# Other packages find out where they are while they are imported.
import asyncio, concurrent.futures, getpass, multiprocessing, subprocess, tempfile
import click, filelock, jinja2, matplotlib.pyplot, msgspec, pandas, psutil, pydantic, rich.console, safetensors.torch
import scipy.stats, sklearn.svm, tabulate, threadpoolctl, torch, torchvision, xxhash, yaml

sys.platform = "win32"
for module in ("fcntl", "resource", "termios", "pwd", "grp"):
    sys.modules[module] = None
for owner, names in (
    (signal, "SIGHUP SIGALRM SIGKILL SIGUSR1 SIGCHLD setitimer alarm pthread_sigmask"),
    (os, "O_NONBLOCK O_DIRECTORY O_PATH getuid geteuid fork killpg setsid environb posix_fallocate sched_getaffinity"),
):
    for name in names.split():
        delattr(owner, name)

open_file, fsync, shutil._use_fd_functions = os.open, os.fsync, False


def open_(path, flags, *more, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)
    return open_file(path, flags, *more, **named)


def fsync_(descriptor):
    os.write(descriptor, b"")  # Windows flushes only what may be written
    fsync(descriptor)


os.open, os.fsync = open_, fsync_
"""
EACH = """
import contextlib, io, json, sys
from reprbench.cli.main import main

found = []
for words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["reprbench", *words.split()]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
        status = "a traceback"
        try:
            main()
        except SystemExit as end:
            status = end.code
        except Exception as error:
            err.write(repr(error))
    found.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(found))
"""

WORKS = {
    "--help": "Commands:",
    "run --help": "--methods",
    "list methods": "ameae",
    "list datasets": "digits",
    "list benchmarks -v": "budget: ",
    "data list": "digits",
    "report STORE --benchmark quick": "ameae",
    "report STORE --benchmark quick --format html -o page.html": "wrote page.html",
    "compare STORE STORE": "NEW is no worse",
    "show TRIAL --store STORE": "accuracy",
    "new benchmark mine": "wrote ",
    "check pca": "checks passed",
    "completion bash": "complete",
}
REFUSED = ["run --methods pca", "run --methods pca --plan", "list methods -v"]


def start(program: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", program, *words], cwd=cwd, capture_output=True, text=True, env=environment
    )


@pytest.mark.slow
def test_on_windows_all_works_but_trials_and_these_say_so_in_one_line(tmp_path):
    every = [*WORKS, *REFUSED]
    store = REPOSITORY / "results"
    trial = next(store.glob("quick/pca/*")).relative_to(store)
    words = [one.replace("STORE", str(store)).replace("TRIAL", str(trial)) for one in every]
    done = start(WINDOWS + EACH, json.dumps(words), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = dict(zip(every, json.loads(done.stdout), strict=True))
    for one, shown in WORKS.items():
        status, out, err = found[one]
        assert status == 0, (one, err)
        assert shown in out + err, one
    assert (tmp_path / "page.html").stat().st_size > 10_000
    for one in REFUSED:
        status, _, err = found[one]
        assert (one, status, err.count("\n")) == (one, 2, 1)
        assert err.startswith("Error: reprbench runs methods on Linux and macOS, not on Windows: ")
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "benchmarks"}


@pytest.mark.slow
def test_a_run_without_what_only_linux_has(tmp_path):
    # Elsewhere no process with torch is forked: each trial imports it itself.
    before = "import psutil, torch, sys, os\nsys.platform = 'darwin'\ndel os.O_PATH, os.posix_fallocate\n"
    program = before + "from reprbench.cli.main import main\nmain()\n"
    done = start(program, "run", "--methods", "raw-pixels", *FAST, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "raw-pixels ‡" in done.stdout
