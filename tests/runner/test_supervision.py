"""What the harness hears from a supervisor."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from reprbench.runner.supervision import Supervision


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """Open so many files that the next descriptor is above those that `select` takes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for descriptor in opened:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_supervisor_is_heard_however_many_trials_run(many_open_files):
    supervision = Supervision()
    assert supervision.other_end.fileno() > 1023
    supervision.other_end.sendall(b"12\n")
    assert (supervision.pid(5), supervision.code(), supervision.ended) == (12, None, False)
    supervision.other_end.sendall(b"-9\n")
    supervision.other_end.close()
    assert (supervision.code(5), supervision.pid(0)) == (-9, 12)
    supervision.close()
