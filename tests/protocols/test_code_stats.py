from __future__ import annotations

import numpy as np
import pytest
import torch
from made_protocols import make_protocols

from reprbench.features import View
from reprbench.images import Images
from reprbench.protocols.base import Subject
from reprbench.protocols.code_stats import CodeStats
from reprbench.spec import parse_call


class TwoLayers:
    """A map of three channels, the second of which is dead, then the mean of all pixels and its square."""

    encode_batch_size = 4

    def encode(self, x):
        mean = x.mean((1, 2, 3))
        return {"maps": torch.cat([x, torch.ones_like(x), -x], 1), "code": torch.stack([mean, mean**2], 1)}


class Data:
    name = "toy"
    test = Images(np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8))
    folds = (np.array([2, 5]), np.array([1, 3]))


def evaluated(supervised):
    (protocol,) = make_protocols([parse_call("code-stats")])
    asked, learners = [], []

    def features(wanted):
        asked.append(wanted)
        return wanted.view.matrix(TwoLayers().encode(Data.test.batch(wanted.rows))).numpy()

    def learner(trained):
        learners.append(trained)
        return TwoLayers()

    return protocol.evaluate(Subject(Data(), supervised, learner, features), 0), asked, learners


@pytest.mark.parametrize("supervised", [False, True])
def test_what_is_read_is_what_is_requested(supervised):
    _, asked, learners = evaluated(supervised)
    (named,) = CodeStats().reads(Data(), supervised)
    (used,) = asked
    assert (used.split, used.view) == (named.split, named.view) == ("test", View(layers="all", pooling="mean", grid=1))
    assert used.rows.tolist() == named.rows.tolist() == list(range(20))
    expected = [2, 5] if supervised else None
    for trained in (used.trained, named.trained, *learners):
        assert (None if trained is None else trained.tolist()) == expected


def test_every_layer_is_measured_at_its_name_and_depth_and_the_last_is_the_headline():
    outcome, _, _ = evaluated(False)
    found = {(m.metric, m.at["layer"], m.at["depth"]): m.value for m in outcome.measurements}
    assert found["units", "maps", 1] == 3
    assert found["units", "code", 2] == 2
    assert found["dead units", "maps", 1] == pytest.approx(100 / 3)
    assert found["dead units", "code", 2] == 0
    # The first and the last channel are one another's negative; that of ones, which never differs, is a direction, too.
    singular = np.linalg.svd(TwoLayers().encode(Data.test.batch(slice(None)))["maps"].mean((2, 3)).double().numpy())[1]
    shares = singular / singular.sum() + 1e-7
    assert found["RankMe", "maps", 1] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    assert outcome.headlines[0].at == {"layer": "code"}
    assert {curve.metric for curve in outcome.curves} == {
        "RankMe",
        "dead units",
        "lifetime sparsity",
        "population sparsity",
    }
    assert list(outcome.figures) == ["layers"]
    assert not outcome.warnings
