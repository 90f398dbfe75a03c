from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from reprbench import claim_file, claims, owner
from reprbench.claims import Claims, owner_of
from reprbench.owner import Owner, myself

NOBODY = 2**30
"""A process id beyond what systems assign."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "x.claim"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def ours(path, said):
    with Claims(said.append) as held:
        # At first, it would remove what the dead have left.
        held.take(path)
        held.release(path)
        yield held


def write(path: Path, age: float = 0, **changes) -> Owner:
    """Write a claim of this process, with the changes; return its owner."""
    written = msgspec.structs.replace(myself(), **changes)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.encode(written))
    beaten(path, age)
    return written


def beaten(path: Path, age: float) -> None:
    at = time.time() - age
    os.utime(path, (at, at))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- taking and releasing ---------------------------------------------------------------------------------------------


def test_a_claim_says_who_holds_it_until_it_is_released(path):
    with Claims(print) as held, Claims(print) as others:
        assert held.take(path) is None
        content = json.loads(path.read_text())
        assert (content["pid"], content["host"]) == (os.getpid(), os.uname().nodename)
        assert others.take(path) == held.take(path) == owner_of(path)
        assert owner_of(path).here
        assert str(owner_of(path)).startswith(f"{os.uname().nodename} ({content['user']}, pid {os.getpid()}) since ")
        held.release(path)
        assert names(path.parent) == [".gitignore"]
        assert owner_of(path) is None
        assert others.take(path) is None
    assert names(path.parent) == [".gitignore"]
    assert (path.parent / ".gitignore").read_text() == "*\n"


def test_all_claims_are_taken_or_none(path, ours):
    first, last = path.with_name("a.claim"), path.with_name("b.claim")
    holder = write(path, pid=os.getppid(), started=started_of(os.getppid()))
    assert ours.take(first, path, last) == holder
    assert names(path.parent) == [".gitignore", "x.claim"]


def test_what_this_process_holds_already_is_not_released_by_a_vain_attempt(path, ours):
    other = path.with_name("other.claim")
    assert ours.take(path) is None
    assert ours.take(other, path).here
    assert path.exists()
    assert not other.exists()


def test_a_claim_that_somebody_else_has_taken_over_is_not_removed(path, ours, said):
    assert ours.take(path) is None
    other = write(path, machine="elsewhere", host="far")
    ours.release(path)
    assert owner_of(path) == other
    assert said == []


@pytest.mark.parametrize("there", [True, False], ids=["taken over", "removed"])
def test_a_lost_claim_is_reported_once(path, ours, said, there):
    assert ours.take(path) is None
    path.unlink()
    if there:
        write(path, age=30, machine="elsewhere", host="far")
        before = path.stat().st_mtime_ns
    for _ in range(3):
        ours.beat()
    (line,) = said
    assert ("taken over by far (" if there else "was removed;") in line
    assert not there or path.stat().st_mtime_ns == before


def test_a_thread_keeps_claims_alive(path, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT_SECONDS", 0.01)
    with Claims(print) as held:
        held.take(path)
        for _ in range(2):
            beaten(path, age=500)
            before = path.stat().st_mtime_ns
            end = time.monotonic() + 60
            while path.stat().st_mtime_ns == before:
                assert time.monotonic() < end
                time.sleep(0.01)


# -- stale claims -----------------------------------------------------------------------------------------------------


def started_of(pid: int) -> float:
    return owner._started(psutil.Process(pid))


@pytest.mark.parametrize("age", [0, 1000])
def test_on_the_same_machine_only_the_process_counts(path, ours, age):
    parent = os.getppid()
    living = write(path, age, pid=parent, started=started_of(parent))
    assert ours.take(path) == owner_of(path) == living
    write(path, age, pid=NOBODY)
    assert owner_of(path) is None
    assert ours.take(path) is None


def test_another_process_with_the_same_id_is_not_the_owner(path, ours):
    write(path, pid=os.getppid(), started=started_of(os.getppid()) - 10)
    assert owner_of(path) is None
    assert ours.take(path) is None


def test_a_process_that_is_dead_but_not_waited_for_holds_nothing(path, ours):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    write(path, pid=process.pid, started=started_of(process.pid))
    assert ours.take(path) is not None
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert ours.take(path) is None
    process.wait()


def test_a_process_that_cannot_be_looked_at_is_judged_by_its_heartbeat(path, ours, monkeypatch):
    def hidden(pid=None):
        raise psutil.NoSuchProcess(pid)

    write(path, 50, pid=os.getppid())
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "Process", hidden)
        assert owner_of(path) is not None
        beaten(path, 70)
        assert owner_of(path) is None


@pytest.mark.parametrize("age", [-70, -50, 0, 50, 70])
def test_from_another_machine_only_the_heartbeat_counts(path, ours, age):
    # The same id is alive here.
    other = write(path, age, machine="elsewhere")
    assert ours.take(path) == (other if abs(age) < 60 else None)


def test_the_clock_of_the_file_system_counts(path, ours, monkeypatch):
    other = write(path, machine="elsewhere")
    old = path.with_name("old.claim")
    write(old, 70, machine="elsewhere")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600)
    assert ours.take(path) == other
    assert ours.take(old) is None


DAMAGED = {
    "empty": b"",
    "junk": b"\x00\xff junk",
    "truncated": b'{"user": "a", "host"',
    "deep": b"[" * 9000,
    "long": b" " * 20_000,
    "no process": json.dumps({**msgspec.to_builtins(myself()), "pid": -1}).encode(),
    "control characters": json.dumps({**msgspec.to_builtins(myself()), "host": "\x1b[2J"}).encode(),
    "token is a path": json.dumps({**msgspec.to_builtins(myself()), "token": "../../x"}).encode(),
    "no time": json.dumps({**msgspec.to_builtins(myself()), "since": 1e300}).encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_claim_counts_as_one_from_another_machine(path, ours, content):
    write(path)
    path.write_bytes(content)
    assert str(ours.take(path)).startswith("an unknown machine since ")
    assert str(owner_of(path)) == str(ours.take(path))
    beaten(path, 70)
    assert owner_of(path) is None
    assert ours.take(path) is None
    assert owner_of(path).here


def test_a_pipe_in_place_of_a_claim_holds_nobody_up(path, ours):
    os.mkfifo(path)
    beaten(path, 70)
    assert ours.take(path) is None


def test_looking_writes_nothing(path):
    assert owner_of(path) is None
    assert not path.parent.exists()
    write(path, 70, machine="elsewhere")
    before = (path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns)
    assert owner_of(path) is None
    assert (path.stat().st_mtime_ns, path.parent.stat().st_mtime_ns) == before


def test_what_the_dead_have_left_is_removed(path):
    living = write(path, pid=os.getppid(), started=started_of(os.getppid()))
    write(path.with_name("dead.claim"), pid=NOBODY)
    write(path.with_name("x.aaaa.claim"), age=70, machine="elsewhere")
    for name, age in ((".new-old", 70), (".new-now", 0), ("other.lock", 1000)):
        path.with_name(name).write_text("")
        beaten(path.with_name(name), age)
    with Claims(print) as held:
        assert held.take(path) == living
        assert names(path.parent) == [".gitignore", ".new-now", "other.lock", "x.claim"]


# -- file systems -----------------------------------------------------------------------------------------------------


def test_without_hard_links_a_claim_is_created_exclusively(path, ours, monkeypatch):
    def no_links(source, target):
        raise PermissionError(errno.EPERM, "not supported")

    monkeypatch.setattr(os, "link", no_links)
    with Claims(print) as others:
        assert ours.take(path) is None
        assert others.take(path) == owner_of(path)
        ours.release(path)
        assert others.take(path) is None


@pytest.mark.parametrize("number", [errno.EEXIST, errno.EIO])
def test_a_link_whose_answer_is_lost_counts(path, ours, monkeypatch, number):
    link = os.link

    def answer_lost(source, target):
        link(source, target)
        raise OSError(number, "lost")

    monkeypatch.setattr(os, "link", answer_lost)
    assert ours.take(path) is None
    assert owner_of(path).here
    assert names(path.parent) == [".gitignore", "x.claim"]


def test_where_nothing_can_be_written_work_goes_on_without_claims(tmp_path, ours, said):
    (tmp_path / "file").write_text("")
    for name in ("a.claim", "b.claim"):
        assert ours.take(tmp_path / "file" / name, tmp_path / "locks" / name) is None
    (line,) = said
    assert "cannot be written (" in line
    assert names(tmp_path / "locks") == [".gitignore", "a.claim", "b.claim"]


def test_a_full_disk_costs_claims_and_nothing_else(path, ours, said, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    assert ours.take(path) is None
    monkeypatch.setattr(claim_file, "_write", full)
    assert ours.take(path.with_name("y.claim")) is None
    assert "no space left" in said[0]
    ours.release(path)
    assert names(path.parent) == [".gitignore"]


def test_a_reader_of_warnings_that_fails_ends_nothing(tmp_path):
    def gone(line):
        raise BrokenPipeError

    (tmp_path / "file").write_text("")
    with Claims(gone) as held:
        assert held.take(tmp_path / "file" / "a.claim") is None


# -- many processes ---------------------------------------------------------------------------------------------------


def race(path: Path, rounds: int, seed: int, links: bool) -> None:
    """Take the claim again and again; now and then leave it as the dead do. Exit with 1 if two hold it at once."""
    dice, read = random.Random(seed), claim_file.read  # noqa: S311 - no secret
    inside = path.with_name("inside")

    def slow(*arguments):
        found = read(*arguments)
        time.sleep(dice.random() * 0.002)
        return found

    def no_links(source, target):
        raise PermissionError(errno.EPERM, "not supported")

    claim_file.read = slow
    if not links:
        os.link = no_links
    held = Claims(print)
    while rounds:
        if held.take(path) is not None:
            continue
        rounds -= 1
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
        time.sleep(dice.random() * 0.001)
        inside.unlink()
        if dice.random() < 0.7:
            mine = held._held.pop(path)
            dead = path.with_name(f"dead-{mine.token}")
            dead.write_bytes(msgspec.json.encode(msgspec.structs.replace(mine, pid=NOBODY)))
            dead.replace(path)
        else:
            held.release(path)
    os._exit(0)


@pytest.mark.parametrize("links", [True, False])
def test_of_many_processes_one_holds_a_claim(path, links):
    path.parent.mkdir()
    context = multiprocessing.get_context("fork")
    racers = [context.Process(target=race, args=(path, 15, seed, links)) for seed in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0] * 8
    with Claims(print) as held:
        assert held.take(path) is None
    assert names(path.parent) == [".gitignore"]


def test_nothing_heavy_is_needed():
    program = "import sys, reprbench.claims; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
