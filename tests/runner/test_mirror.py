"""What comes back from other machines."""

from __future__ import annotations

import json

from reprbench.runner.executors.mirror import Mirror
from reprbench.runner.job import Ended, TrialResult
from reprbench.trial import to_json


def test_the_log_comes_with_the_end(tmp_path):
    there = Mirror(tmp_path)
    there.put({"log.txt": b"of a machine that died"})
    assert there.files() == {}
    ended = json.dumps(to_json(Ended(TrialResult(status="done"), None))).encode()
    there.put({"log.txt": b"said", "ended.json": ended})
    assert there.files() == {"log.txt": tmp_path / "log.txt"}
