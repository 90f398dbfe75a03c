"""Faults of writing and reading a store: several writers, crashes between any two file operations, files of others."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from msgspec.structs import replace
from trials import evaluation, method, protocol, trial

from reprbench import store_writer
from reprbench.errors import UserError
from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.row import CHANGED_BY_HAND
from reprbench.report.table import make_tables
from reprbench.store import Store
from reprbench.trial import Figure, Trial
from reprbench.trial_file import NewerSchema, read_trial

FOLDER = "mine/ae/0-aaaaaaaa"


def of_protocol(name: str, number: int, **changes) -> Trial:
    """Return the record of a run of one protocol that draws a figure."""
    found = evaluation(
        [float(number)], name, ended=f"{number:06}", figures=[Figure("map", f"figures/{name}-{number}.png")]
    )
    return trial(
        evaluations=[found], protocols=[name], provenance={"ended": f"{number:06}"}, requested=f"{number:06}", **changes
    )


def files(folder: Path, one: Trial) -> dict[str, Path]:
    """Write the history and the figures that belong to a record."""
    folder.mkdir(exist_ok=True)
    names = [figure.file for found in one.evaluations for figure in found.figures]
    for name in [*names, "history.csv"]:
        (folder / Path(name).name).write_text(f"{name} of {one.requested}")
    return {name: folder / Path(name).name for name in [*names, "history.csv"]}


def whole(root: Path) -> Trial:
    """Return the only trial of a store in which everything is as it should be."""
    (found,), problems = Store(root).read()
    assert problems == []
    assert not found.changed_by_hand
    for each in found.evaluations:
        assert all((root / found.folder / figure.file).is_file() for figure in each.figures)
    return found


def there(root: Path) -> set[str]:
    """Return the names of all files and folders below the trial's method."""
    return {path.relative_to(root / "mine/ae").as_posix() for path in (root / "mine/ae").rglob("*")}


# -- several writers --------------------------------------------------------------------------------------------------


def test_writers_of_different_protocols_at_the_same_time_all_keep_theirs(tmp_path):
    root, names = tmp_path / "results", [f"p{number}" for number in range(12)]

    def write(number: int) -> None:
        one = of_protocol(names[number], number + 1)
        Store(root).write(one, files(tmp_path / names[number], one))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(12)))
    found = whole(root)
    assert {str(each.call) for each in found.evaluations} == set(names)
    assert {str(each.call) for each in found.protocols} == set(names)
    assert len(there(root)) == 16


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from trials import evaluation, trial
from reprbench.store import Store
for number in range(8):
    name = f"{sys.argv[3]}{number}"
    one = trial(evaluations=[evaluation([1.0], name, ended=str(number))], protocols=[name], requested=str(number))
    Store(Path(sys.argv[2])).write(one, {})
assert "torch" not in sys.modules
"""


def test_processes_that_write_at_the_same_time_all_keep_theirs(tmp_path):
    command = [sys.executable, "-c", WRITER, str(Path(__file__).parents[1]), str(tmp_path)]
    running = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert len(whole(tmp_path).evaluations) == 16


def test_a_reader_sees_a_whole_trial_at_every_moment(tmp_path):
    first = of_protocol("knn", 1)
    Store(tmp_path / "results").write(first, files(tmp_path / "files", first))
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            found, problems = Store(tmp_path / "results").read()
            seen.append((len(found), problems, [one.changed_by_hand for one in found]))

    with ThreadPoolExecutor(2) as pool:
        reading = [pool.submit(read) for _ in range(2)]
        for number in range(2, 30):
            one = of_protocol("knn", number)
            Store(tmp_path / "results").write(one, files(tmp_path / "files", one))
        stop.set()
        for one in reading:
            one.result()
    assert len(seen) > 10
    assert all(what == (1, [], [False]) for what in seen)


def test_a_store_that_stays_locked_costs_the_write_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(store_writer, "LOCK_SECONDS", 0.1)
    Store(tmp_path).write(trial(), {})
    with FileLock(tmp_path / ".locks/writer.lock"), pytest.raises(OSError) as error:
        Store(tmp_path).write(trial(status="failed"), {})
    assert str(error.value.strerror).startswith("another process has kept ")
    assert whole(tmp_path).status == "done"


@pytest.mark.parametrize(
    "error", [NotImplementedError("no flock here"), OSError(errno.ENOLCK, "no locks"), OSError(errno.EOPNOTSUPP, "no")]
)
def test_a_file_system_without_locks_gets_a_lock_of_another_kind(tmp_path, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    Store(tmp_path).write(trial(), {})
    assert whole(tmp_path) == trial()


def test_locks_are_ignored_by_git_and_no_part_of_the_store(tmp_path):
    Store(tmp_path).write(trial(), {})
    assert (tmp_path / ".locks/.gitignore").read_text() == "*\n"
    assert Store(tmp_path).find(".locks") == []
    assert len(Store(tmp_path).read()[0]) == 1


def test_a_store_that_cannot_be_written_is_read(tmp_path):
    Store(tmp_path).write(trial(), {})
    shutil.rmtree(tmp_path / ".locks")
    folders = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        assert whole(tmp_path) == trial()
    finally:
        for path in folders:
            path.chmod(0o755)
    assert not (tmp_path / ".locks").exists()


# -- crashes ----------------------------------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


OPERATIONS: list[tuple[object, str]] = [
    (os, "fsync"), (os, "replace"), (shutil, "copyfile"), (shutil, "rmtree"), (Path, "replace"), (Path, "rename"),
    (Path, "mkdir"), (Path, "unlink"), (Path, "rmdir"), (Path, "write_text"), (Path, "chmod"),
]  # fmt: skip


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> list[str]:
    """Let every file operation from that number on fail, as if the process had ended; return what was called."""
    called: list[str] = []

    def counted(name: str, real: Callable) -> Callable:
        def call(*words, **named):
            called.append(name)
            if len(called) > number:
                raise Crash
            return real(*words, **named)

        return call

    for holder, name in OPERATIONS:
        monkeypatch.setattr(holder, name, counted(name, getattr(holder, name)))
    return called


@pytest.mark.parametrize("first", [False, True], ids=["over an older one", "the first"])
def test_a_crash_between_any_two_operations_leaves_the_older_or_the_newer_trial(tmp_path, monkeypatch, first):
    older, newer = of_protocol("knn", 1), of_protocol("knn", 2)
    ways = set()
    for number in range(200):
        root = tmp_path / f"results-{number}"
        if not first:
            Store(root).write(older, files(tmp_path / "files", older))
        given = files(tmp_path / "files", newer)
        with monkeypatch.context() as patch:
            called = crash_at(patch, number)
            with contextlib.suppress(Crash):
                Store(root).write(newer, given)
        if first and not Store(root).read()[0]:
            assert Store(root).read() == ([], [])
        else:
            ways.add(whole(root).requested)
        Store(root).write(newer, given)
        assert whole(root).requested == "000002"
        assert there(root) == {"0-aaaaaaaa", *(f"0-aaaaaaaa/{name}" for name in ["trial.json", "figures", *given])}
        if len(called) <= number:
            break
    assert number > 10
    assert ways == ({"000002"} if first else {"000001", "000002"})


def test_what_a_former_version_left_between_its_renames_is_read_and_put_back(tmp_path):
    Store(tmp_path).write(of_protocol("knn", 1), files(tmp_path.parent / "files", of_protocol("knn", 1)))
    (tmp_path / FOLDER).rename(tmp_path / "mine/ae/.old-0-aaaaaaaa")
    (tmp_path / "mine/ae/.new-x1").mkdir()
    assert whole_old(tmp_path).requested == "000001"
    one = of_protocol("embedding", 2)
    Store(tmp_path).write(one, files(tmp_path.parent / "files", one))
    assert [str(each.call) for each in whole(tmp_path).evaluations] == ["knn", "embedding"]
    assert {name for name in there(tmp_path) if name.startswith(".")} == set()


def whole_old(root: Path) -> Trial:
    (found,), problems = Store(root).read()
    assert problems == []
    return found


def test_a_reader_that_listed_a_folder_before_it_got_its_name_back_finds_it(tmp_path, monkeypatch):
    Store(tmp_path).write(trial(), {})
    listed = f"{tmp_path}/mine/ae/.old-0-aaaaaaaa/trial.json"
    monkeypatch.setattr(Store, "_trial_files", lambda self: iter([listed]))
    assert Store(tmp_path).read() == ([trial()], [])


# -- what comes with a record -----------------------------------------------------------------------------------------


def test_the_files_of_a_run_that_failed_replace_no_finished_ones(tmp_path):
    root, done = tmp_path / "results", of_protocol("knn", 1)
    Store(root).write(done, files(tmp_path / "files", done))
    stopped = replace(of_protocol("knn", 2), status="interrupted", evaluations=[])
    Store(root).write(stopped, files(tmp_path / "files", stopped))
    assert (root / FOLDER / "history.csv").read_text() == "history.csv of 000001"
    assert (root / FOLDER / "figures/knn-1.png").is_file()
    newer = of_protocol("knn", 3)
    Store(root).write(newer, files(tmp_path / "files", newer))
    assert (root / FOLDER / "history.csv").read_text() == "history.csv of 000003"
    assert [path.name for path in (root / FOLDER / "figures").iterdir()] == ["knn-3.png"]


def test_files_that_the_record_does_not_name_are_not_stored(tmp_path):
    one = of_protocol("knn", 1)
    given = files(tmp_path / "files", one)
    given["figures/other.png"] = given["../../evil.png"] = given["history.csv"]
    Store(tmp_path / "results").write(one, given)
    assert not (tmp_path / "results/mine/evil.png").exists()
    assert [path.name for path in (tmp_path / "results" / FOLDER / "figures").iterdir()] == ["knn-1.png"]


def test_a_figure_that_is_too_large_is_not_stored(tmp_path):
    one = of_protocol("knn", 1)
    given = files(tmp_path / "files", one)
    os.truncate(given["figures/knn-1.png"], 16 * 2**20 + 1)
    Store(tmp_path / "results").write(one, given)
    assert not list((tmp_path / "results" / FOLDER).glob("figures/*"))
    assert (tmp_path / "results" / FOLDER / "history.csv").exists()


@pytest.mark.parametrize("content", ["{", "", "[]"])
def test_what_cannot_be_read_is_kept_beside_the_new_record(tmp_path, content):
    folder = Store(tmp_path).write(trial(), {})
    (folder / "trial.json").write_text(content)
    Store(tmp_path).write(trial(), {})
    assert whole(tmp_path) == trial()
    assert (folder / "trial.json.damaged").read_text() == content


def test_a_trial_of_a_newer_version_is_not_overwritten(tmp_path):
    folder = Store(tmp_path).write(trial(), {})
    (folder / "trial.json").write_text('{"schema_version": 99}')
    with pytest.raises(OSError) as error:
        Store(tmp_path).write(trial(), {})
    assert "written by a newer reprbench (schema 99" in str(error.value.strerror)
    with pytest.raises(NewerSchema):
        read_trial(folder / "trial.json")


def test_links_are_not_written_through(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.png").write_text("precious")
    one = of_protocol("knn", 1)
    given = files(tmp_path / "files", one)
    folder = Store(tmp_path / "results").write(one, given)
    shutil.rmtree(folder / "figures")
    (folder / "figures").symlink_to(outside, target_is_directory=True)
    Store(tmp_path / "results").write(replace(one, requested="2"), given)
    assert [path.name for path in outside.iterdir()] == ["mine.png"]
    assert (folder / "figures/knn-1.png").is_file()
    shutil.move(folder, outside / "moved")
    folder.symlink_to(outside / "moved", target_is_directory=True)
    with pytest.raises(OSError) as error:
        Store(tmp_path / "results").write(one, given)
    assert "is a link" in str(error.value.strerror)


# -- what stores of others contain ------------------------------------------------------------------------------------


def rewritten(folder: Path, change: Callable[[dict], None]) -> Path:
    """Change a stored trial's content and return its path."""
    path = folder / "trial.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


FIGURES = [
    "../../../../secret.png", "/etc/secret.png", "figures/../secret.png", "figures/a/../../b.png", "figures\\a.png",
    "figures/..\\a.png", "secret.png", "figures/a.svg", "figures/a\x00.png", "figures/.png", "figures/\n.png", "",
]  # fmt: skip


@pytest.mark.parametrize("file", FIGURES)
def test_a_figure_that_is_not_in_the_folder_of_figures_makes_the_trial_invalid(tmp_path, file):
    folder = Store(tmp_path).write(of_protocol("knn", 1), {})
    rewritten(folder, lambda content: content["evaluations"][0]["figures"][0].update(file=file))
    found, (problem,) = Store(tmp_path).read()
    assert found == []
    assert "is not the file of a figure; expected figures/<name>.png" in problem
    assert "\n" not in problem
    with pytest.raises(ValueError, match="not the file of a figure"):
        Figure("a", file)


@pytest.mark.parametrize("name", ["../evil", "/x", "", ".", "..", "a/b", "a\\b", "a\nb", "-x", "x" * 65])
@pytest.mark.parametrize("place", ["benchmark", "method"])
def test_a_name_that_cannot_be_a_folders_makes_the_trial_invalid(tmp_path, name, place):
    folder = Store(tmp_path).write(trial(), {})

    def change(content: dict) -> None:
        (content if place == "benchmark" else content["method"]["call"])[
            "benchmark" if place == "benchmark" else "name"
        ] = name

    rewritten(folder, change)
    found, (problem,) = Store(tmp_path).read()
    assert found == []
    assert f"{place}: " in problem and "is not a valid name" in problem and "\n" not in problem
    with pytest.raises((ValueError, UserError)):
        changes = {"benchmark": name} if place == "benchmark" else {"method": method(name)}
        trial(**changes)


@pytest.mark.parametrize("digest", ["../../x", "", "a/b", "ä" * 8])
def test_a_hash_that_cannot_be_a_folders_makes_the_trial_invalid(tmp_path, digest):
    folder = Store(tmp_path).write(trial(), {})
    rewritten(folder, lambda content: content.update(hash=digest))
    found, (problem,) = Store(tmp_path).read()
    assert found == []
    assert "is not a hash" in problem


@pytest.mark.parametrize("what", ["pipe", "folder", "device", "loop"])
def test_what_is_not_a_regular_file_is_named_and_not_waited_for(tmp_path, what):
    Store(tmp_path).write(trial(), {})
    odd = tmp_path / "mine/ae/1-bbbbbbbb/trial.json"
    odd.parent.mkdir()
    if what == "pipe":
        os.mkfifo(odd)
    elif what == "folder":
        odd.mkdir()
    else:
        odd.symlink_to("/dev/zero" if what == "device" else odd)
    found, (problem,) = Store(tmp_path).read()
    assert len(found) == 1
    assert problem.startswith(f"{odd}: skipped: ")


# -- changed by hand --------------------------------------------------------------------------------------------------


def edit(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


CHECKSUM = b'  "checksum": "xxh3-128:'


def test_the_file_begins_with_the_checksum_of_the_rest(tmp_path):
    import xxhash

    path = Store(tmp_path).write(trial(), {}) / "trial.json"
    first, second, rest = path.read_bytes().split(b"\n", 2)
    assert first == b"{"
    assert second == CHECKSUM + xxhash.xxh3_128_hexdigest(rest).encode() + b'",'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"value": 1.0', b'"value": 99.0'),
        (b'  "label": "ae"', b'  "label":  "ae"'),
        (CHECKSUM, CHECKSUM.replace(b"xxh3-128", b"md5")),
        (CHECKSUM, CHECKSUM.lstrip()),
    ],
)
def test_what_was_edited_is_changed_by_hand_and_stays_so(tmp_path, old, new):
    path = Store(tmp_path).write(trial(evaluations=[evaluation([1.0])]), {}) / "trial.json"
    edit(path, old, new)
    assert read_trial(path).changed_by_hand
    # Recording something else about it does not make it right again.
    Store(tmp_path).write(replace(read_trial(path), requested="2026"), {})
    assert read_trial(path).changed_by_hand


def test_a_checksum_that_was_removed_counts_as_an_edit(tmp_path):
    path = rewritten(Store(tmp_path).write(trial(), {}), lambda content: content.pop("checksum"))
    assert read_trial(path).changed_by_hand


def test_ends_of_lines_that_git_changed_are_no_edit(tmp_path):
    path = Store(tmp_path).write(trial(), {}) / "trial.json"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_trial(path) == trial()


def test_every_report_and_show_say_that_a_trial_was_changed(tmp_path, here):
    root = tmp_path / "results"
    path = Store(root).write(trial(evaluations=[evaluation([1.0, 2.0])]), {}) / "trial.json"
    edit(path, b'"value": 2.0', b'"value": 3.0')
    tables = make_tables(Store(root).read()[0])
    for form, shown in FORMATS.items():
        assert "changed by hand" in shown(tables), form
    assert CHANGED_BY_HAND in as_html(tables, [root], root)
    assert "changed by hand" in here("show", "aaaa").stdout


# -- compare as a gate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sides", [("base",), ("new",), ("base", "new")])
@pytest.mark.parametrize("how", ["truncated", "edited"])
@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_no_damaged_or_edited_trial_passes_as_a_gate(tmp_path, here, monkeypatch, sides, how, form):
    for side in ("base", "new"):
        path = Store(tmp_path / side).write(trial(evaluations=[evaluation([1.0, 2.0])]), {}) / "trial.json"
        if side in sides and how == "truncated":
            path.write_bytes(path.read_bytes()[:300])
        elif side in sides:
            edit(path, b'"value": 2.0', b'"value": 3.0')
    summary = tmp_path / "summary.md"
    done = here("compare", "base", "new", "--format", form, "--github", GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode == 1
    for side in sides:
        name = f"{side}/{FOLDER}/trial.json"
        assert name in done.stdout.replace("\\", "") and name in summary.read_text().replace("\\", "")
        assert f"::error title=reprbench%3A not to be relied upon::{name}" in done.stderr
    if form == "json":
        assert len(json.loads(done.stdout)["unreliable"]) == len(sides)


def test_a_stored_record_of_a_protocol_is_found_by_its_hash():
    one = of_protocol("knn", 1)
    assert one.results(protocol("knn")) is one.evaluations[0]
    assert one.results(protocol("other")) is None
    assert one.outcome(protocol("other")) == ("not evaluated", "the trial has no result of this protocol")
