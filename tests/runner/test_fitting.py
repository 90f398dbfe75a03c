"""What a learner says about its fit, besides its state: checked before it is kept with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from common import digits
from jobs import job

from reprbench import Learner, Run
from reprbench.runner.fitting import Fits


@pytest.fixture(scope="module")
def dataset():
    return digits(60)


def note(dataset, cache: Path, seen: object, warned: object, of_run: tuple[str, ...] = ()):
    """Return what is kept of the fit of a learner that counts and warns like this."""

    class Says(Learner):
        def fit(self, images, run: Run) -> None:
            run.images_seen = seen
            run.log(np.int64(1), loss=torch.tensor(0.5))
            run.warnings += of_run

        def encode(self, x):
            return {"pixels": x}

        def warnings(self, history):
            return warned

    fits = Fits(job(dataset, cache), Says, dataset, lambda what, share, values: None, {})
    fits.ensure(None)
    return fits.notes["unlabeled"]


@pytest.mark.parametrize("seen", [7, 7.0, np.int64(7), np.float32(7), torch.tensor(7)])
def test_a_count_of_numpy_or_torch_is_kept_as_a_plain_one(dataset, tmp_path, seen):
    found = note(dataset, tmp_path, seen, ["two\n\x1b[2Jlines"])
    assert (found["images_seen"], found["warnings"]) == (7, ["two lines"])
    assert json.loads(json.dumps(found["history"]))[0]["step"] == 1


def test_warnings_of_the_run_stand_before_those_of_the_learner(dataset, tmp_path):
    found = note(dataset, tmp_path, 7, ["of the learner"], ("of the\nrun",))
    assert found["warnings"] == ["of the run", "of the learner"]


@pytest.mark.parametrize("seen", [-1, float("nan"), 2.0**64, "7", None, torch.ones(2)])
def test_what_is_no_count_is_refused(dataset, tmp_path, seen):
    with pytest.raises(TypeError, match="run.images_seen must be the number of images"):
        note(dataset, tmp_path, seen, [])


@pytest.mark.parametrize("warned", ["a text", None, [1], {"a": "b"}, [b"bytes"]])
def test_what_is_no_list_of_warnings_is_refused(dataset, tmp_path, warned):
    with pytest.raises(TypeError, match=r"Says\.warnings must return a list of texts"):
        note(dataset, tmp_path, 7, warned)


def test_the_history_has_the_rows_of_the_fit_that_runs(dataset, tmp_path):
    seen = []

    class Logs(Learner):
        def fit(self, images, run: Run) -> None:
            run.log(1, loss=0.5)
            seen.append([(row["step"], row["loss"]) for row in fits.history()])
            run.log(2, loss=0.25)

        def encode(self, x):
            return {"pixels": x}

    fits = Fits(job(dataset, tmp_path), Logs, dataset, lambda what, share, values: None, {})
    fits.ensure(None)
    assert seen == [[(1, 0.5)]]
    assert [row["step"] for row in fits.history()] == [1, 2]
