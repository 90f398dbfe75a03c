from __future__ import annotations

import hashlib
import json
import os

import pytest
from pydantic import ConfigDict, ValidationError, create_model

from reprbench import File, Learner
from reprbench.file_parameter import content_digest, names_files, parameters_as_given, parameters_by_content
from reprbench.learner import parameters_model
from reprbench.spec import mistakes

SHA = hashlib.sha256(b"weights").hexdigest()

Parameters = create_model(
    "Parameters",
    __config__=ConfigDict(extra="forbid"),
    one=(File, ...),
    perhaps=(File | None, None),
    many=(list[File], []),
    pair=(tuple[File, int] | None, None),
    named=(dict[str, File], {}),
    either=(int | File, 3),
    plain=(float, 0.5),
)


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    (tmp_path / "w.pt").write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "w.pt"


EVERYWHERE = {
    "one": "w.pt", "perhaps": "./w.pt", "many": ["w.pt", "w.pt"], "pair": ["w.pt", 1], "named": {"a": "w.pt"},
    "either": "w.pt",
}  # fmt: skip


def test_a_learner_gets_an_absolute_path(weights):
    made = Parameters.model_validate(EVERYWHERE)
    assert (made.one, made.perhaps, made.many, made.pair) == (weights, weights, [weights, weights], (weights, 1))
    assert (made.named, made.either) == ({"a": weights}, weights)


def test_the_home_folder_is_known(weights, monkeypatch):
    monkeypatch.setenv("HOME", str(weights.parent))
    assert Parameters(one="~/w.pt").one == weights


def test_an_identity_has_the_content_in_place_of_each_file():
    by_content = parameters_by_content(Parameters.model_validate(EVERYWHERE))
    file = {"file": SHA}
    assert by_content == {
        "one": file, "perhaps": file, "many": [file, file], "pair": [file, 1], "named": {"a": file}, "either": file,
        "plain": 0.5,
    }  # fmt: skip
    assert json.loads(json.dumps(by_content)) == by_content


def test_without_files_both_forms_are_what_pydantic_writes():
    made = Parameters(one="w.pt")
    for form in (parameters_by_content(made), parameters_as_given(made, {"one": "w.pt"})):
        rest = {"perhaps": None, "many": [], "pair": None, "named": {}, "either": 3, "plain": 0.5}
        assert {**form, "one": 0} == {"one": 0, **rest}


def test_a_record_has_the_paths_as_they_were_given(weights):
    given = {**EVERYWHERE, "one": weights, "plain": 2}
    record = parameters_as_given(Parameters.model_validate(given), given)
    assert record == {**EVERYWHERE, "one": str(weights), "plain": 2.0}
    assert json.loads(json.dumps(record)) == record


def test_the_same_content_elsewhere_is_the_same_identity(weights):
    (weights.parent / "copy.pt").write_bytes(b"weights")
    one, two = (parameters_by_content(Parameters(one=name)) for name in ("w.pt", "copy.pt"))
    assert one == two


def test_a_file_is_read_again_when_it_has_changed(weights):
    before = parameters_by_content(Parameters(one="w.pt"))
    weights.write_bytes(b"others!")
    os.utime(weights, ns=(1, 1))
    changed = parameters_by_content(Parameters(one="w.pt"))
    assert changed["one"] == {"file": hashlib.sha256(b"others!").hexdigest()} != before["one"]
    assert content_digest(weights) == changed["one"]["file"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"one": "no.pt"}, "method x: one: no such file: 'no.pt' in {folder}"),
        ({"one": "/nowhere/no.pt"}, "method x: one: no such file: '/nowhere/no.pt'"),
        ({"one": "."}, "method x: one: expected a file, but '.' is a folder"),
        ({"one": "w.pt", "many": ["w.pt", "no.pt"]}, "method x: many.1: no such file: 'no.pt' in {folder}"),
        ({"one": 3}, "method x: one: Input is not a valid path, not 3"),
        ({}, "method x: one: must be given"),
    ],
)
def test_a_missing_file_is_a_mistake_that_names_it(tmp_path, given, said):
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate(given)
    assert mistakes(caught.value, "method x") == [said.format(folder=tmp_path)]


@pytest.mark.parametrize(
    ("annotation", "named"),
    [(File, True), (File | None, True), (list[File], True), (dict[str, tuple[File, ...]], True), (str, False),
     (list[str] | None, False)],
)  # fmt: skip
def test_types_that_name_files(annotation, named):
    assert names_files(annotation) is named


class Pretrained(Learner):
    weights: File
    statistics: File | None = None
    scale: float = 1
    network: Nowhere  # noqa: F821  (state; its type is imported for type checkers alone)
    mean: float

    def fit(self, images, run): ...

    def encode(self, x):
        return {"x": x}


class WithDefault(Pretrained):
    weights = "w.pt"


def test_a_learner_may_demand_a_file(weights):
    assert list(parameters_model(Pretrained).model_fields) == ["weights", "statistics", "scale"]
    assert Pretrained(weights="w.pt").weights == weights
    assert Pretrained(weights="w.pt").parameters() == {"weights": weights, "statistics": None, "scale": 1}
    with pytest.raises(ValidationError, match="Field required"):
        Pretrained()


def test_a_default_is_checked_too(weights):
    assert WithDefault().weights == weights
    weights.unlink()
    with pytest.raises(ValidationError, match="no such file"):
        WithDefault()


class WithoutFiles(Learner):
    scale: float = 1

    def fit(self, images, run): ...

    def encode(self, x):
        return {"x": x}


def test_where_no_file_is_named_defaults_keep_their_form():
    """They are part of identities: a default that were validated would be 1.0."""
    assert repr(WithoutFiles().scale) == "1"
