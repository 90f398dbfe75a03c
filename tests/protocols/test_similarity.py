"""Similarity: CKA between the layers of a learner, on images that are the same for all, and what is kept of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from common import digits
from jobs import evaluator, protocol_job
from made_protocols import make_protocols

from reprbench.arrays import as_array
from reprbench.errors import UserError
from reprbench.features import View
from reprbench.learner import Learner
from reprbench.probes.cka import centered_gram, cka, unpacked
from reprbench.protocols.base import KeptGram, Outcome, Subject
from reprbench.protocols.outcomes import checked_outcome
from reprbench.protocols.similarity import Similarity
from reprbench.spec import parse_call

VIEW = View(pooling="mean", grid=4)
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0].astype(np.float32)


class Rotating(Learner):
    """A map, its rotation, and the rotation's first units alone."""

    def fit(self, images, run):
        """Nothing."""

    def encode(self, x):
        pooled = torch.nn.functional.avg_pool2d(x, 2).flatten(1)
        turned = pooled @ torch.from_numpy(ROTATION).to(x.device)
        return {"maps": x, "input": 3 * turned + 1, "few": turned[:, :4]}


class Flat(Rotating):
    def encode(self, x):
        return {"maps": x, "flat": torch.ones(len(x), 3), "code": x.flatten(1)}


class Constant(Rotating):
    def encode(self, x):
        return {"code": torch.ones(len(x), 3)}


def evaluated(learner: Learner, dataset=None, **parameters) -> Outcome:
    subject = Subject(dataset or digits(150), False, lambda rows: learner)
    return Similarity(**{"images": 100, **parameters}).evaluate(subject, 0)


def test_layers_are_compared_with_each_other_and_with_the_input():
    found = evaluated(Rotating())
    values = {(m.at["layer"], m.at["other"]): m.value for m in found.measurements}
    # Pooling to 4 × 4 is what the learner does itself; the name of the input is taken.
    assert values["input", "maps"] == pytest.approx(1, abs=1e-6)
    assert values["input", "input (layer)"] == pytest.approx(1, abs=1e-6)
    assert len(values) == 6 and 0.05 < values["maps", "few"] < 0.95
    dataset, protocol = digits(150), Similarity(images=100)
    x = dataset.test.batch(protocol.rows(dataset))
    expected = cka(*(centered_gram(VIEW.matrix({"a": one}).numpy()) for one in (x, Rotating().encode(x)["few"])))
    assert values["input", "few"] == pytest.approx(expected, abs=1e-6)
    (headline,) = found.headlines
    assert headline.at == {"layer": "input", "other": "few"} and list(found.figures) == ["map"]
    depths = {(m.at["depth"], m.at["other depth"]) for m in found.measurements}
    assert depths == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)}


def test_the_images_are_the_same_for_every_method_and_seed():
    dataset, protocol = digits(150), Similarity(images=100)
    assert np.array_equal(protocol.rows(dataset), protocol.rows(digits(150)))
    assert len(protocol.rows(dataset)) == 100 and len(Similarity(images=256).rows(dataset)) == 150
    one, other = (evaluated(learner).grams["representation"] for learner in (Rotating(), Flat()))
    assert one.images == other.images != evaluated(Rotating(), images=90).grams["representation"].images
    assert one.images != evaluated(Rotating(), digits(120)).grams["representation"].images
    # What is kept is the last layer's.
    x = dataset.test.batch(protocol.rows(dataset))
    expected = centered_gram(Rotating().encode(x)["few"].numpy())
    assert cka(unpacked(one.packed), expected) == pytest.approx(1, abs=1e-5)


def test_a_constant_layer_is_left_out_and_a_constant_code_cannot_be_compared():
    found = evaluated(Flat())
    assert found.warnings == ["layer flat is left out: it is constant"]
    assert {m.at["other"] for m in found.measurements} == {"maps", "code"}
    assert evaluated(Constant()).missing == "code has the same features for all 100 images"


def test_too_few_images_cannot_be_compared():
    dataset = digits(150)
    few = Subject(type("Data", (), {"name": "few", "test": dataset.test.take(np.arange(3))}), False, lambda _: Flat())
    assert Similarity().evaluate(few, 0).missing == "similarity needs 4 test images, and there are 3"
    with pytest.raises(UserError, match="images: Input should be less than or equal to 700"):
        make_protocols([parse_call("similarity[images=701]")])


def test_a_trial_keeps_the_matrix_in_a_file_and_reads_features_from_the_cache(tmp_path):
    protocols = make_protocols([parse_call("similarity[images=100]"), parse_call("code-stats")])
    made, _ = evaluator(Rotating, digits(150), tmp_path, protocols)
    found = made.evaluate(protocol_job(protocols[0]), protocols[0])
    (gram,) = found.grams
    assert gram.name == "representation" and json.dumps(gram.images)
    content = (tmp_path / "work" / gram.file).read_bytes()
    kept = unpacked(as_array(np.frombuffer(content, np.uint8)))
    assert np.array_equal(kept, unpacked(np.load(tmp_path / "work" / gram.file, allow_pickle=False)))
    assert cka(kept, unpacked(evaluated(Rotating()).grams["representation"].packed)) == pytest.approx(1, abs=1e-9)
    assert len(list((tmp_path / "features").rglob("*.npy"))) == 1


@pytest.mark.parametrize(
    ("grams", "problem"),
    [
        ({"a": np.zeros(6)}, "grams has something of type ndarray; expected KeptGram"),
        ({"a": KeptGram(np.zeros(6), "x")}, "not the packed Gram matrix"),
        ({"a": KeptGram(None, "x")}, "a Gram matrix: "),
        ({"a": KeptGram(np.zeros(7, np.float16), "x")}, "7 numbers are not the upper triangle"),
        ({"a": KeptGram(np.zeros(6, np.float16), 5)}, "expected KeptGram"),
        ([], "grams is of type list"),
        (dict.fromkeys("abcdefghijk", KeptGram(np.zeros(6, np.float16), "x")), "grams has 11 parts; expected at most"),
    ],
)
def test_what_cannot_be_kept_is_said(grams, problem):
    with pytest.raises(UserError, match=f"an Outcome that cannot be kept: .*{problem}"):
        checked_outcome(Outcome(grams=grams), "mine")
