"""Transfer: other datasets, found when a run is planned, with their own folds and test split."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from common import digits, values
from jobs import evaluator, protocol_job
from made_protocols import make_protocols
from PIL import Image
from reprbench.methods.controls import RawPixels

from reprbench import evaluate
from reprbench.data.adapted import adapted
from reprbench.dataset_parameter import DatasetCall
from reprbench.errors import UserError
from reprbench.learner import Learner, SupervisedLearner
from reprbench.protocols.base import Outcome, Subject
from reprbench.protocols.transfer import Transfer
from reprbench.runner.fitting import fit_key
from reprbench.spec import Call, parse_call

OTHER = parse_call("digits[development=300]")
"""Another dataset that is there without a download: other training images, another test split."""


class Flat(Learner):
    fits: ClassVar[list] = []

    def fit(self, images, run):
        self.fits.append(images.shape)

    def encode(self, x):
        assert x.shape[1:] == self.fits[-1]
        return {"pixels": x.flatten(1)}


class Labeled(SupervisedLearner):
    fits: ClassVar[list] = []

    def fit_labeled(self, images, labels, run):
        self.fits.append(len(images))

    def encode(self, x):
        return {"pixels": x.flatten(1)}


def run(cls, dataset, others, cache: Path, call: str):
    cls.fits.clear()
    (protocol,) = make_protocols([parse_call(call)])
    made, fits = evaluator(cls, dataset, cache, [protocol], others)
    return made.evaluate(protocol_job(protocol), protocol), fits


def test_it_is_the_linear_svm_of_the_other_dataset(tmp_path):
    there = digits(150, development=300)
    found, _ = run(Flat, digits(150), {OTHER: there}, tmp_path / "a", f'transfer[to="{OTHER}",costs=[0.1,1]]')
    own, _ = run(Flat, there, {}, tmp_path / "b", "linear-svm[costs=[0.1,1]]")
    for metric in ("accuracy", "C", "inner accuracy"):
        assert values(found, metric) == values(own, metric) != []
    (headline,) = found.headlines
    assert (headline.metric, headline.at) == ("accuracy", {"dataset": str(OTHER), "digest": there.digest[:12]})
    assert found.figures[0].name == "images"


def test_several_datasets_are_measured_apart_and_one_learner_is_fitted_once(tmp_path):
    others = {OTHER: digits(150, development=300), parse_call("digits"): digits(150)}
    found, fits = run(Flat, digits(150), others, tmp_path, f'transfer[to=["{OTHER}",digits],costs=[0.1]]')
    assert len(values(found, "accuracy", dataset=str(OTHER))) == len(others[OTHER].folds)
    assert len(values(found, "accuracy", dataset="digits")) == len(digits(150).folds)
    assert list(fits.notes) == ["unlabeled"] and len(Flat.fits) == 1
    assert "digits is the dataset that the learner was fitted to: this is no transfer" in found.warnings


def test_images_are_adapted_and_their_features_cached(tmp_path):
    color = adapted(digits(150), (3, 16, 16))
    found, _ = run(Flat, color, {OTHER: digits(150, development=300)}, tmp_path, f'transfer[to="{OTHER}",costs=[0.1]]')
    assert values(found, "feature dimension") == [3 * 16 * 16]
    files = set((tmp_path / "features").rglob("*.npy"))
    assert len(files) == 2
    again, _ = run(Flat, color, {OTHER: digits(150, development=300)}, tmp_path, f'transfer[to="{OTHER}",costs=[0.1]]')
    assert again.measurements == found.measurements and set((tmp_path / "features").rglob("*.npy")) == files


def test_a_supervised_learner_is_that_of_its_first_fold_and_c_is_chosen(tmp_path):
    dataset = digits(150)
    call = f'transfer[to="{OTHER}",costs=[0.1,1]]'
    found, fits = run(Labeled, dataset, {OTHER: digits(150, development=300)}, tmp_path, call)
    assert list(fits.notes) == [fit_key(dataset.folds[0])]
    assert len(values(found, "inner accuracy")) == len(dataset.folds)
    assert f"fitted to the labels of the first fold of {dataset.title} alone" in found.warnings


def test_what_can_be_written_as_a_dataset():
    assert Transfer(to="mnist").to == (Call(name="mnist"),)
    assert Transfer(to=["mnist", "folder[path=birds]", "mnist"]).to == (
        Call("mnist"),
        Call("folder", {"path": "birds"}),
    )
    with pytest.raises(UserError, match=r"to: must be given \(\[call, …\]"):
        make_protocols([parse_call("transfer")])
    with pytest.raises(UserError, match="at least 1 item"):
        make_protocols([parse_call("transfer[to=[]]")])
    with pytest.raises(ValueError, match="cannot be written as one text"):
        Transfer(to=[{"name": "a", "parameters": {"b": {"c": 1}}}])


def test_a_dataset_counts_by_content_and_not_by_its_place():
    from reprbench.file_parameter import parameters_by_content

    here, there = (Transfer(to=f"folder[path={place}]") for place in ("here", "there"))
    assert parameters_by_content(here) == parameters_by_content(there)
    assert here.model_dump(mode="json")["to"] == ["folder[path=here]"]
    assert Transfer.model_validate(here.model_dump(mode="json")) == here


def test_a_subject_without_other_datasets_says_so():
    with pytest.raises(UserError, match="digits is asked for: name it in Protocol.other_datasets"):
        Transfer(to="digits").evaluate(Subject(digits(150), False, lambda rows: RawPixels()), 0)
    assert DatasetCall is not None


def test_a_learner_at_hand_is_transferred_too():
    found = Outcome(evaluate(RawPixels(), "transfer[to=digits,costs=[0.1]]", digits(150)))
    assert np.mean(values(found, "accuracy", dataset="digits")) > 80


def pictures(folder: Path, shift: int) -> None:
    for split, count in (("train", 6), ("test", 3)):
        for label in range(2):
            place = folder / split / f"class{label}"
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                Image.new("RGB", (12, 12), (100 * label + number, shift, 0)).save(place / f"{number}.png")


@pytest.mark.slow
def test_a_run_finds_the_other_dataset_when_it_is_planned(here, tmp_path):
    words = (
        "run",
        "--methods",
        "raw-pixels",
        "--protocols",
        'transfer[to="folder[path=birds,image_size=12]",folds=none]',
    )
    missing = here(*words, "--data-dir", "here")
    assert missing.returncode == 2
    (line,) = [one for one in missing.stderr.splitlines() if one.strip()]
    assert "protocol transfer: dataset 'folder': 'birds' not found" in line
    unknown = here("run", "--methods", "raw-pixels", "--protocols", "transfer[to=mnits]")
    assert unknown.returncode == 2 and "did you mean 'mnist'" in unknown.stderr.lower()
    for place in ("here", "there"):
        pictures(tmp_path / place / "birds", shift=5)
    done = here(*words, "--data-dir", "here")
    assert done.returncode == 0, done.stderr
    assert "already there" in here(*words, "--data-dir", "there", "--plan").stdout
    pictures(tmp_path / "there" / "birds", shift=6)
    assert "protocol changed" in here(*words, "--data-dir", "there", "--plan").stdout
