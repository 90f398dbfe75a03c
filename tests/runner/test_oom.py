from __future__ import annotations

import pytest

from reprbench.runner import oom


@pytest.mark.parametrize(
    ("own", "file", "content", "count"),
    [
        ("0::/slurm/job_1/step_0", "slurm/job_1/step_0/memory.events", "oom 3\noom_kill 2\n", 2),
        ("0::/", "memory.events", "oom_kill 1\n", 1),
        ("0::/not/seen/in/a/container", "memory.events", "oom_kill 4\n", 4),
        ("4:memory:/job\n0::/", "memory/job/memory.oom_control", "under_oom 0\noom_kill 5\n", 5),
        ("0::/", "memory.events", "low 0\n", 0),
        ("0::/", "other", "", 0),
    ],
)
def test_killed_processes_are_counted_in_both_versions_of_control_groups(
    tmp_path, monkeypatch, own, file, content, count
):
    (tmp_path / "own").write_text(own + "\n")
    (tmp_path / "root" / file).parent.mkdir(parents=True)
    (tmp_path / "root" / file).write_text(content)
    monkeypatch.setattr(oom, "OWN", tmp_path / "own")
    monkeypatch.setattr(oom, "ROOT", tmp_path / "root")
    assert oom.oom_kills() == count


def test_where_there_are_no_control_groups_nothing_was_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(oom, "OWN", tmp_path / "missing")
    monkeypatch.setattr(oom, "ROOT", tmp_path)
    assert oom.oom_kills() == 0
