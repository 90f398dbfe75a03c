"""What a run does in the end to say that it has ended."""

from __future__ import annotations

import ast
import shlex
import sys
from pathlib import Path

import pytest

from reprbench.api.running import RunEnd
from reprbench.cli import notify
from reprbench.errors import UserError

WRITES = "import os, sys; open(sys.argv[1], 'w').write(str({k: v for k, v in os.environ.items() if 'BENCH_RUN' in k}))"


@pytest.mark.parametrize(
    ("failures", "interrupted", "status"),
    [((), False, "done"), (("a",), False, "failed"), (("a",), True, "interrupted")],
)
def test_the_command_finds_the_outcome_in_its_environment(tmp_path, failures, interrupted, status):
    path = tmp_path / "$(touch evil) told"
    words = notify.parse_command(shlex.join([sys.executable, "-c", WRITES, str(path)]))
    notify.notify(words, RunEnd(("a", "b"), failures, interrupted), Path("results"), 61.4)
    assert ast.literal_eval(path.read_text()) == {
        "REPRBENCH_RUN_STATUS": status,
        "REPRBENCH_RUN_TRIALS": "2",
        "REPRBENCH_RUN_FAILED": str(len(failures)),
        "REPRBENCH_RUN_SECONDS": "61",
        "REPRBENCH_RUN_STORE": str(Path("results").absolute()),
    }
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("code", "warning"),
    [("raise SystemExit(3)", "ended with status 3"), ("import time; time.sleep(60)", "was ended after 0.5 s")],
)
def test_what_goes_wrong_is_a_warning(monkeypatch, capsys, code, warning):
    monkeypatch.setattr(notify, "NOTIFY_SECONDS", 0.5 if "sleep" in code else 60)
    notify.notify([sys.executable, "-c", code], RunEnd((), (), False), Path(), 1.0)
    assert warning in capsys.readouterr().err


def test_a_program_that_cannot_be_run_any_more_is_a_warning(capsys):
    notify.notify(["/no/such/program"], RunEnd((), (), False), Path(), 1.0)
    assert "--notify: /no/such/program could not be run: no such file" in capsys.readouterr().err
    notify.notify([], RunEnd((), (), False), Path(), 1.0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["", "/no/such/program x", "echo 'x"])
def test_mistakes_are_found_before_the_run(here, text):
    with pytest.raises(UserError, match="--notify"):
        notify.parse_command(text)
    done = here("run", "--methods", "raw-pixels", "--notify", text)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: --notify")
