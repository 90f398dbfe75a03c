"""On a GPU: `pytest -m gpu`; skipped without one. `smoke.py` prints the same, with speeds, as tables."""

from __future__ import annotations

import pytest
import torch
from smoke import ENCODING_TOLERANCE, METHODS, check_learner, run_seconds, svm_seconds

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.usefixtures("deterministic"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("cls", METHODS, ids=lambda cls: cls.__name__)
def test_learners_encode_as_on_the_cpu_and_say_so_if_fits_differ(cls):
    found = check_learner(cls)
    assert found.encoding < ENCODING_TOLERANCE
    assert found.repeatable or found.nondeterministic


def test_the_svm_chooses_the_same_costs_on_both_devices():
    assert svm_seconds(64, "cuda", folds=2)[1] == svm_seconds(64, "cpu", folds=2)[1]


def test_trials_share_a_device():
    _, found = run_seconds(4)
    assert found in (["cuda"], ["cuda:0"])
