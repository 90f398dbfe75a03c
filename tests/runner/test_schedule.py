from __future__ import annotations

import os

import pytest

from reprbench.runner.limits import Limits


@pytest.mark.parametrize(
    ("allowed", "jobs", "expected"),
    [("8", 1, 8), ("8", 3, 2), ("1", 2, 1), ("", 1, os.cpu_count()), ("4,2", 1, os.cpu_count())],
)
def test_a_trial_takes_its_share_of_the_threads_that_are_allowed(monkeypatch, allowed, jobs, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    assert Limits(jobs=jobs).threads_each == expected
    assert Limits(jobs=jobs, threads=5).threads_each == 5
