"""While a run is planned, the code of plugins is imported and built: each class costs at most its own row."""

from __future__ import annotations

from pathlib import Path

import msgspec
import psutil
import pytest

from reprbench.registry import Entry, discover
from reprbench.runner import descriptions
from reprbench.runner.describe import Answer, Description, Question, _line, answer
from reprbench.runner.descriptions import _collect, describe
from reprbench.texts import REASON


class FakeChild:
    """Says these lines, one batch a look, and then has this exit status."""

    def __init__(self, *batches: list[bytes], ended: int | None = None, memory: int = 0) -> None:
        self._batches, self._ended, self._memory = list(batches), ended, memory
        self.killed = False

    def poll(self) -> int | None:
        return None if self._batches else self._ended

    def lines(self) -> list[bytes]:
        return self._batches.pop(0) if self._batches else []

    def memory(self) -> int:
        return self._memory

    def output(self) -> str:
        return "what it said"

    def end(self) -> int:
        self.killed = True
        return -9


def line(number: int, **fields) -> bytes:
    return msgspec.json.encode(Answer(number, Description(**fields)))


def problems(child: FakeChild, count: int, seconds: float = 60, memory: int | None = None) -> list[str]:
    return [found.problem for found in _collect(child, count, seconds, memory)]


def test_answers_are_collected_as_they_come():
    child = FakeChild([line(0)], [], [line(1, problem="p"), line(2)], ended=0)
    assert problems(child, 3) == ["", "p", ""]


@pytest.mark.parametrize(
    "junk",
    [
        b"junk", b"", b"\xff", b"[" * 10**5, b"null", b'{"number": 1}', b'junk{"number": 1, "description": {}}',
        line(7), line(0), b'{"number": 1, "description": {"kind": "great"}}',
    ],
)  # fmt: skip
def test_junk_among_the_answers_costs_the_class_that_is_being_asked(junk):
    found = problems(FakeChild([line(0)], [junk, line(1), line(2)]), 3)
    assert found[0] == ""
    assert found[1].startswith("its description cannot be read: ")
    assert "\n" not in found[1]
    assert len(found) == 2, "another process is asked about the rest"


def test_more_answers_than_questions_are_not_read():
    assert problems(FakeChild([line(0), line(1), b"junk"]), 2) == ["", ""]


@pytest.mark.parametrize(
    ("child", "limits", "problem"),
    [
        (FakeChild([line(0)], ended=3), {}, "importing it ended the process with status 3"),
        (FakeChild([line(0)], ended=-9), {}, "importing it ended the process by SIGKILL"),
        (FakeChild([line(0)]), {"seconds": 0.1}, "importing and building it took longer than 0.1 s"),
        (
            FakeChild([line(0)], memory=2**31),
            {"memory": 2**30},
            "importing and building it used more memory than --memory allows (1024 MB)",
        ),
    ],
)
def test_what_ends_or_exceeds_its_process_costs_the_class_that_is_being_asked(child, limits, problem):
    assert problems(child, 3, **limits) == ["", problem]
    assert child.killed


def test_every_class_has_the_whole_time():
    seconds = iter(range(0, 1000, 40))
    child = FakeChild(*([[line(n)] for n in range(5)]))
    original = descriptions.time.monotonic
    try:
        descriptions.time.monotonic = lambda: next(seconds)
        assert problems(child, 5, seconds=60) == [""] * 5
    finally:
        descriptions.time.monotonic = original


def test_what_an_answer_says_is_bounded_and_cleaned():
    long = "\x1b[31m" + "x\n" * 10**5
    told = line(0, problem=long, traceback=long, mistakes=[long], summary=long, types={"width": long})
    (found,) = _collect(FakeChild([told]), 1, 60, None)
    texts = [found.problem, found.mistakes[0], found.summary, found.types["width"]]
    assert all(len(text) <= REASON and "\x1b" not in text and "\n" not in text for text in texts)
    assert len(found.traceback) <= 20_000


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('x' * 55_000_000)", "ValueError: xxx"),
        ("raise ValueError('\\x1b[2J\\n\\udc80')", "ValueError: �"),
        ("class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E", "E: (its text cannot be shown"),
        ("class A(B): ...", "NameError: name 'B' is not defined"),
        ("def f(:", "SyntaxError"),
    ],
)
def test_whatever_an_import_raises_is_its_problem(code, problem, tmp_path):
    (tmp_path / "mine.py").write_text(code)
    found = answer(Question(Entry("mine", "file", str(tmp_path / "mine.py"))))
    assert found.problem.startswith(problem)
    assert len(found.problem) <= REASON
    msgspec.json.encode(found)


def test_a_description_that_cannot_be_written_is_a_problem():
    for value in ("\udc80", object(), {(1, 2): 3}):
        found = msgspec.json.decode(_line(4, Description(defaults={"width": value})), type=Answer)
        assert found.number == 4
        assert found.description.problem


PLUGIN = """
import os, subprocess, sys, time
from reprbench import Learner, register

{code}

@register("{name}")
class A(Learner):
    width: int = 1
    def build(self, shape):
        {build}
    def fit(self, images, run): ...
    def encode(self, x): ...
"""
NOISE = """
os.write(1, b"\\xff\\xfe" * 5_000_000)
os.write(2, b"\\xff\\xfe")
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], start_new_session=True)
open("left", "w").write(str(child.pid))
sys.stderr.close()
sys.stdout.close()
"""


def test_each_plugin_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    codes = {
        "noisy": (NOISE, "pass"),
        "hangs": ("", "time.sleep(600)"),
        "junk": ("os.write(int(sys.argv[-1]), b'junk\\n')", "time.sleep(600)"),
        "good": ("", "pass"),
    }
    for name, (code, build) in codes.items():
        (tmp_path / f"{name}.py").write_text(PLUGIN.format(name=name, code=code, build=build))
    registry = discover([tmp_path / f"{name}.py" for name in codes], folder=Path("none"))
    asked = [Question(registry.find("method", name), {}, {}, (1, 8, 8)) for name in codes]
    found = dict(zip(codes, describe(asked, seconds=30), strict=True))
    late = "importing and building it took longer than 30 s"
    assert {name: one.problem.partition(": ")[0] for name, one in found.items()} == {
        "noisy": "", "hangs": late, "junk": "its description cannot be read", "good": "",
    }  # fmt: skip
    assert found["noisy"].types == found["good"].types == {"width": "int"}
    assert not psutil.pid_exists(int((tmp_path / "left").read_text()))
