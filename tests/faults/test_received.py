"""What a trial says is not to be trusted: texts, numbers, files, messages and output."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch
from jobs import job

from reprbench import Budget, Run
from reprbench.errors import Diverged, UserError
from reprbench.files import write_json
from reprbench.runner import execute
from reprbench.runner.execute import Reporter
from reprbench.runner.failure import failure_of
from reprbench.runner.job import TrialResult
from reprbench.runner.received import LineReader, Output, Progress, number, progress, read_part
from reprbench.texts import LOG_CHARACTERS, REASON, TRACEBACK, clean, described, one_line, reason, traceback_of
from reprbench.trial import to_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m \x1b]0;title\x07x", "red x"),
        ("a\x00b\x07c\x7f\x9b", "a�b�c��"),
        ("lone \udc80 \ud800", "lone � �"),
        ("left\u202eright\u2028x\u200b", "left�right�x�"),
        ("one\r\ntwo\rthree\tfour\n", "one\ntwo\nthree\tfour\n"),
        ("é 日本 🙂", "é 日本 🙂"),
    ],
)
def test_texts_are_cleaned(text, expected):
    assert clean(text, 1000) == expected
    assert expected.encode().decode() == expected


def test_texts_are_cut_in_the_middle_and_the_limit_holds():
    assert clean("abcdefgh", 5) == "ab…gh"
    for length in (9, 10, 11, 100, 10**6):
        assert len(clean("x" * length, 10)) == min(length, 10)
    assert one_line(" a\n\n b\t" + "c" * 10**6).startswith("a b ccc")
    assert len(one_line("c\n" * 10**6)) == REASON


class Failing(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class Leaving(Failing):
    def __str__(self):
        raise SystemExit(3)


class NoText(Failing):
    def __str__(self):
        return 5


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("two\nlines"), "two lines"),
        (Failing(), "(its text cannot be shown: __str__ raised RuntimeError)"),
        (Leaving(), "(its text cannot be shown: __str__ raised SystemExit)"),
        (NoText(), "(its text cannot be shown: __str__ raised TypeError)"),
        (KeyError("\udc80\x1b[2J"), r"'\udc80\x1b[2J'"),
        (ValueError("\udc80\x1b[2J"), "�"),
    ],
)
def test_every_exception_has_a_text(error, text):
    assert reason(error) == text
    assert described(error) == f"{type(error).__name__}: {text}"
    assert "test_received" in traceback_of(raised(error))


def test_a_text_of_55_megabytes_is_short_when_it_is_stored():
    error = raised(ValueError("x" * 55_000_000))
    status, why, traceback = failure_of(error)
    assert (status, len(why)) == ("failed", REASON)
    assert why.startswith("ValueError: xxx")
    assert len(traceback) == TRACEBACK
    assert traceback.startswith("Traceback")


def test_an_exception_without_a_text_is_named_by_its_type():
    assert described(ValueError()) == reason(ValueError()) == "ValueError"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (SystemExit(3), ("failed", "SystemExit: 3")),
        (KeyboardInterrupt(), ("failed", "KeyboardInterrupt")),
        (MemoryError(), ("out-of-memory", "MemoryError")),
        (torch.cuda.OutOfMemoryError("CUDA"), ("out-of-memory", "OutOfMemoryError: CUDA")),
        (UserError("no such\nlayer"), ("failed", "no such layer")),
    ],
)
def test_whatever_ends_a_trial_is_recorded(error, expected):
    assert failure_of(error)[:2] == expected


@pytest.mark.parametrize("value", [1, 1.5, True, np.float32(2), np.int64(3), torch.tensor(4.0), torch.tensor([5])])
def test_numbers_are_numbers(value):
    assert number(value) == float(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "warm",
        "1",
        b"1",
        float("nan"),
        float("inf"),
        10**400,
        [1],
        {},
        1j,
        torch.zeros(2),
        torch.tensor(torch.nan),
    ],
)
def test_what_is_no_finite_number_is_none(value):
    assert number(value) is None


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "result.json: "),
        (b"{", "result.json: "),
        (b"\xff\xfe", "result.json: "),
        (b'{"status": "done", "provenance": {"a": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"status": "great"}', "Invalid enum value 'great'"),
        (b'{"status": "done", "cost": {"peak_memory": NaN}}', "malformed"),
        (b'{"status": "done", "reason": 5}', "Expected `str`, got `int`"),
        (b'{"status": "done", "reason": "\\udc80"}', "surrogate"),
        (b'{"status": "done"}' + b" " * 100, "has more than 100 bytes"),
    ],
)
def test_a_result_that_is_none_is_refused_in_one_line(content, reason, tmp_path):
    (tmp_path / "result.json").write_bytes(content)
    limit = 100 if b"   " in content else 10**6
    with pytest.raises(ValueError, match=reason) as found:
        read_part(tmp_path / "result.json", TrialResult, limit)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 2 * REASON


@pytest.mark.parametrize("kind", ["fifo", "folder", "device"])
def test_only_regular_files_are_read(kind, tmp_path):
    path = tmp_path / "result.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="result.json is not a regular file"):
        read_part(path, TrialResult)


def test_a_result_is_read(tmp_path):
    (tmp_path / "result.json").write_bytes(b'{"status": "failed", "reason": "r", "unknown": 1}')
    assert read_part(tmp_path / "result.json", TrialResult) == TrialResult(status="failed", reason="r")
    with pytest.raises(FileNotFoundError):
        read_part(tmp_path / "missing.json", TrialResult)


# -- messages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    reader = LineReader(reading)
    yield reader, writing
    reader.close()
    os.close(writing)


def all_lines(reader: LineReader, thread: threading.Thread) -> list[bytes]:
    found = []
    while thread.is_alive():
        found += reader.read()
        time.sleep(0.001)
    return found + reader.read()


def write_all(descriptor: int, content: bytes) -> threading.Thread:
    def write() -> None:
        rest = content
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread


def test_lines_come_whole_however_they_are_cut(pipe):
    reader, writing = pipe
    assert reader.read() == []
    os.write(writing, b"on")
    assert reader.read() == []
    os.write(writing, b"e\ntwo\nth")
    assert reader.read() == [b"one", b"two"]
    os.write(writing, b"ree\n\n")
    assert reader.read() == [b"three", b""]


def test_a_line_of_10_megabytes_is_dropped_and_the_next_is_read(pipe):
    reader, writing = pipe
    thread = write_all(writing, b"x" * 10**7 + b"\nnext\n")
    assert all_lines(reader, thread) == [b"next"]
    assert len(reader._begun) == 0


def test_a_line_without_an_end_takes_no_memory(pipe):
    reader, writing = pipe
    thread = write_all(writing, b"x" * 10**7)
    assert all_lines(reader, thread) == []
    assert len(reader._begun) == 0


def test_junk_is_no_message():
    good = msgspec.json.encode(Progress("fit", 0.5, {"loss": 1.0}))
    junk = [
        b"", b"junk", b"\xff\x00", b"[1]", b"null", b"{}", b'{"what": "fit"}', b'{"what": 5, "share": 0.5}',
        b'{"what": "fit", "share": null}', b'{"what": "fit", "share": NaN}', b'{"what": "fit", "share": "half"}',
        b'{"what": "fit", "share": 0.5, "values": {"phase": "warm"}}', b"[" * 100_000,
        b'{"what": "fit", "share": 1e999}',
    ]  # fmt: skip
    assert progress([*junk, good, *junk]) == [Progress("fit", 0.5, {"loss": 1.0})]


def test_what_a_message_says_is_bounded_and_cleaned():
    values = {f"\x1b[31m{n}" + "x" * 1000: 1.0 for n in range(1000)}
    (found,) = progress([msgspec.json.encode(Progress("\x1b[2Jfit\n" + "x" * 1000, 7.0, values))])
    assert found.share == 1
    assert found.what.startswith("fit x")
    assert len(found.what) == 80
    assert len(found.values) == 20
    assert all(len(name) <= 40 and "\x1b" not in name for name in found.values)


def test_of_very_many_messages_the_last_are_read():
    lines = [msgspec.json.encode(Progress("fit", n / 10_000)) for n in range(10_000)]
    found = progress(lines)
    assert len(found) <= 100
    assert found[-1].share == 0.9999


@pytest.mark.parametrize(
    ("share", "values", "expected"),
    [
        (0.5, {"phase": "warm", "loss": 2}, Progress("fit", 0.5, {"loss": 2.0})),
        (0.5, {"loss": float("nan"), "other": None}, Progress("fit", 0.5)),
        (None, {}, Progress("fit", 0.0)),
        (float("nan"), {}, Progress("fit", 0.0)),
        ("half", {"tensor": torch.tensor(1.5)}, Progress("fit", 0.0, {"tensor": 1.5})),
        (10**400, {"x" * 1000: 1}, Progress("fit", 0.0, {"x" * 20 + "…" + "x" * 19: 1.0})),
    ],
)
def test_no_report_of_a_learner_ends_its_fit(share, values, expected, pipe):
    reader, writing = pipe
    Run(0, Budget(epochs=1), progress=Reporter(os.dup(writing))).progress(share, **values)
    assert progress(reader.read()) == [expected]


def test_a_result_that_could_not_be_written_is_named_as_that(pipe):
    reader, writing = pipe
    Reporter(os.dup(writing)).unwritten(OSError(28, "No space left on device", "result.json"))
    (found,) = progress(reader.read())
    reason = "OSError: [Errno 28] No space left on device: 'result.json'"
    assert found.problem == f"its result could not be written: {reason}"


@pytest.mark.parametrize("unprintable", ["\udc80", "\x1b[2J" + "x" * 1000])
def test_what_a_trial_ends_with_can_be_written(tmp_path, monkeypatch, unprintable):
    def work(job, folder, report, result):
        result.warnings = [unprintable]
        raise ValueError(unprintable)

    monkeypatch.setattr(execute, "_prepare_torch", lambda job: "cpu")
    monkeypatch.setattr(execute, "_work", work)
    result = execute.execute(job(SimpleNamespace(digest="d"), tmp_path), tmp_path, None)
    write_json(tmp_path / "result.json", to_json(result))
    assert read_part(tmp_path / "result.json", TrialResult) == result
    assert result.reason.startswith("ValueError: ")
    assert len(result.warnings[0]) <= REASON


def test_a_parent_that_does_not_read_keeps_no_trial_waiting(pipe):
    reader, writing = pipe
    report = Reporter(os.dup(writing))
    for n in range(5000):
        report(f"task {n}", 0.5, {"value": 1.0})
    found = [message.what for message in progress(reader.read()[:100])]
    assert found == [f"task {n}" for n in range(100)]


def test_a_parent_that_is_gone_costs_messages():
    reading, writing = os.pipe()
    os.close(reading)
    Reporter(writing)("fit", 0.5, {})


@pytest.mark.parametrize("value", ["warm", "1", None, [1], torch.zeros(2)])
def test_only_numbers_are_logged(value):
    run = Run(0, Budget(epochs=1))
    kind = type(value).__name__
    with pytest.raises(TypeError, match=f"run.log takes numbers; phase is of type {kind}"):
        run.log(1, loss=0.5, phase=value)
    with pytest.raises(TypeError, match=f"run.log takes numbers; step is of type {kind}"):
        run.log(value, loss=0.5)
    assert run.history == []


@pytest.mark.parametrize("step", [np.int64(3), torch.tensor(3), np.float32(3), torch.tensor(3.0)])
def test_a_step_may_be_a_number_of_numpy_or_torch_and_is_stored_as_a_plain_one(step):
    run = Run(0, Budget(epochs=1))
    run.log(step, loss=0.5)
    assert json.loads(json.dumps(run.history))[0]["step"] == 3


@pytest.mark.parametrize("step", [float("inf"), float("nan"), np.float64("nan")])
def test_a_step_that_is_not_finite_is_refused(step):
    run = Run(0, Budget(epochs=1))
    with pytest.raises(Diverged, match=r"step = (inf|nan)"):
        run.log(step, loss=0.5)
    assert run.history == []


# -- output -----------------------------------------------------------------------------------------------------------


def test_of_much_output_the_beginning_and_the_end_are_kept():
    reading, writing = os.pipe()
    output = Output(reading)
    block = b"\xff\x1b[31m" * 10_000
    os.write(writing, b"first line\n")
    for _ in range(500):
        write_all(writing, block).join()
    os.write(writing, b"\nlast line\n")
    os.close(writing)
    text = output.text()
    assert text.startswith("first line\n")
    assert text.endswith("\nlast line\n")
    assert len(text) <= TRACEBACK
    assert len(output._head) + len(output._tail) <= 2 * Output.KEPT


def test_the_log_says_how_much_of_the_output_is_left_out():
    reading, writing = os.pipe()
    output = Output(reading)
    write_all(writing, b"first\n" + b"x" * (2 * Output.KEPT + 100) + b"\nlast\n").join()
    os.close(writing)
    log = output.log()
    assert log.startswith("first\nxxx")
    assert log.endswith("xxx\nlast\n")
    assert len(log) <= LOG_CHARACTERS


def test_little_output_is_kept_as_it_is():
    reading, writing = os.pipe()
    output = Output(reading)
    os.write(writing, "Träceback\n".encode())
    os.close(writing)
    assert output.text() == "Träceback\n"


def test_output_of_a_process_that_lives_on_is_not_waited_for():
    reading, writing = os.pipe()
    output = Output(reading)
    os.write(writing, b"said")
    assert output.text() == "said"
    os.close(writing)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch):
    from reprbench import files

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*history.csv'"):
        files.write_text(tmp_path / "history.csv", "text")
