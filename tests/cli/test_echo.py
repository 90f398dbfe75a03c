from __future__ import annotations

import io
import re
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from common import REPOSITORY, status_here
from rich.console import Console
from rich.progress import BarColumn
from rich.progress import Progress as Display
from trials import evaluation, trial

from reprbench.api import progress
from reprbench.cli.echo import echo, ring, warn
from reprbench.runner.received import Progress
from reprbench.store import Store

EVIL = "\x1b[31m[bold]:smile: \u202e::error::x ##[error]y"


def test_everything_is_printed_through_one_function():
    """Only `echo` itself, the bell, and annotations, which GitHub must read as such, use click's."""
    for path in sorted((REPOSITORY / "reprbench" / "cli").glob("*.py")):
        found = re.findall(r"click\.s?echo\(|(?<![.\w])print\(", path.read_text(encoding="utf-8"))
        assert len(found) == {"echo.py": 2, "github.py": 1, "main.py": 1}.get(path.name, 0), path.name


def test_lines_stay_lines_and_nothing_else_is_obeyed(capsys):
    echo("a\x1b[2J\nb\u202e", err=True)
    warn("a\nb")
    assert capsys.readouterr().err == "a\\x1b[2J\nb\\u202e\nWarning: a b\n"


def test_on_github_nothing_printed_is_a_command(capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    echo("::add-mask::1\n  ::stop-commands::x\n##[error]a\na::b #[x]")
    assert capsys.readouterr().out == ": :add-mask::1\n  : :stop-commands::x\n## [error]a\na::b #[x]\n"


@pytest.mark.parametrize("encoding", ["latin-1", "cp437", "ascii"])
def test_a_terminal_that_lacks_characters_shows_others(tmp_path, monkeypatch, encoding):
    Store(tmp_path / "results").write(trial("λ 日本", evaluations=[evaluation([1.0, 2.0])]), {})
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", output)
    status = status_here("report")
    output.flush()
    assert status == 0
    assert b"1.5" in output.buffer.getvalue()


def planned(label: str):
    """Return what a listener needs of a planned trial."""
    spec = type("Spec", (), {"label": label, "seed": 0})
    return type("Planned", (), {"spec": spec, "reason": "new", "hashes": set(), "runs": True})


def left(seconds=None):
    """Return what says how long the rest of a run takes, if that is known."""
    return SimpleNamespace(started=lambda one: None, finished=lambda one, trial: None, seconds=lambda: seconds)


def test_a_live_display_shows_names_and_values_literally():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=200, color_system=None, legacy_windows=False)
    with Display(*progress.columns(), console=console, transient=True) as display:
        listener = progress.LiveListener(display, 1, Path("results"), left())
        one = planned(EVIL)
        listener.started(one)
        listener.progressed(one, Progress("fit [red]", 0.5, {"[blink]\x07": 1.0}))
        display.refresh()
        listener.finished(one, trial(EVIL, status="failed", reason=f"{EVIL}\n"))
    shown = output.getvalue()
    assert r"\x1b[31m[bold]:smile: \u202e::error::x ##[error]y (seed 0)" in shown
    assert r"fit [red] 50% ([blink]\x07 1)" in shown
    assert f"failed: {EVIL}".replace("\x1b", r"\x1b").replace("\u202e", r"\u202e") in shown
    assert not {"\x07", "\u202e", "😄"} & set(shown)
    assert isinstance(progress.columns()[1], BarColumn)


def test_plain_lines_are_lines(capsys):
    one = planned(EVIL)
    listener = progress.PlainListener(1, Path("results"), partial(echo, err=True), left())
    listener.started(one)
    listener.finished(one, trial(EVIL, status="failed", reason="a\nb\x1b"))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("\\x1b")[0] for line in lines] == ["", "[1/1] "]
    assert lines[1].endswith(r"failed: a b\x1b")


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (59, ""), (61, "about 1 min"), (9000, "about 2.5 h")])
def test_both_displays_say_how_long_the_run_takes(seconds, text):
    said = []
    listener = progress.PlainListener(2, Path("results"), said.append, left(seconds))
    listener.started(planned("ae"))
    listener.finished(planned("ae"), trial(provenance={"ended": "now"}))
    assert said[-1].endswith(f"; in all, {text} left" if text else ")")
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    with Display(*progress.columns(), console=console, transient=True) as display:
        listener = progress.LiveListener(display, 2, Path("results"), left(seconds))
        listener.started(planned("ae"))
        (whole, own) = display.tasks
        assert whole.fields["text"] == (f"{text} left" if text else "")
        column = progress.columns()[-1]
        assert (str(column.render(whole)), bool(str(column.render(own)))) == ("", True)


def test_the_end_of_a_log_stands_below_a_failure(tmp_path):
    said = []
    failed = trial(status="failed", reason="it broke")
    (tmp_path / "said.txt").write_text("1\n2\n\x1b[2J3\n\n" + 1000 * "4" + "\n")
    Store(tmp_path / "results").write(failed, {"log.txt": tmp_path / "said.txt"})
    progress.PlainListener(1, tmp_path / "results", said.append, left()).finished(planned("ae"), failed)
    assert said[1:] == ["    2", "    3", f"    {200 * '4'}…"]


def test_errors_are_cut(here, tmp_path):
    done = here("report", "x" * 10_000)
    assert done.returncode == 2
    assert len(done.stderr) < 5_000


@pytest.mark.parametrize(("terminal", "rung"), [(True, "\a"), (False, "")])
def test_the_bell_rings_in_a_terminal(monkeypatch, terminal, rung):
    said = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: terminal))
    monkeypatch.setattr("click.echo", lambda text, **options: said.append(text))
    ring()
    assert "".join(said) == rung
