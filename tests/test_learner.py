from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, PositiveInt, ValidationError

from reprbench import register
from reprbench.learner import Learner, SupervisedLearner, parameters_model
from reprbench.registry import Entry
from reprbench.runner.describe import Question, answer


@register("mine")
class Mine(Learner):
    width: PositiveInt = 8
    rate: Annotated[float, Field(gt=0)] = 0.1
    mode: Literal["a", "b"] = "a"
    constant: ClassVar[int] = 3
    _hidden: int = 1
    state: str

    def fit(self, images, run): ...

    def encode(self, x):
        return {"x": x}


class Child(Mine):
    rate = 0.5
    depth: int = 2


def test_parameters_are_the_annotated_public_defaults():
    assert Mine().parameters() == {"width": 8, "rate": 0.1, "mode": "a"}
    assert list(parameters_model(Mine).model_fields) == ["width", "rate", "mode"]


def test_a_subclass_adds_parameters_and_changes_defaults_with_their_types():
    assert Child().parameters() == {"width": 8, "rate": 0.5, "mode": "a", "depth": 2}
    with pytest.raises(ValidationError):
        Child(rate=-1)


def test_numbers_are_no_texts_and_may_be_whole():
    assert Mine(width=16, rate=1).parameters() == {"width": 16, "rate": 1.0, "mode": "a"}
    with pytest.raises(ValidationError) as caught:
        Mine(width="16", rate="1e-3")
    assert [error["loc"][0] for error in caught.value.errors()] == ["width", "rate"]


def test_all_mistakes_are_found_at_once():
    with pytest.raises(ValidationError) as caught:
        Mine(width=0, mode="c", widht=3)
    assert {error["loc"][0] for error in caught.value.errors()} == {"width", "mode", "widht"}


def test_registering_names_the_class_and_nothing_else():
    assert Mine.method_name == "mine"
    assert Child.method_name == "mine"
    assert "method_name" not in vars(Child)


def test_a_supervised_learner_refuses_to_be_fitted_without_labels():
    class S(SupervisedLearner):
        def fit_labeled(self, images, labels, run): ...

        def encode(self, x):
            return {"x": x}

    with pytest.raises(TypeError, match="fit_labeled"):
        S().fit(None, None)


@pytest.mark.parametrize("kind", ["unsupervised", "control", "pretrained"])
def test_a_class_declares_its_kind_and_its_subclasses_inherit_it(kind):
    marked = type("Marked", (Mine,), {"kind": kind, "version": 2})
    assert marked.kind == type("Below", (marked,), {}).kind == kind
    assert marked.version == 2 and "version" not in vars(type("Below", (marked,), {}))
    assert marked().parameters() == Mine().parameters()


def test_the_kinds_and_versions_that_nobody_set():
    assert (Learner.kind, SupervisedLearner.kind) == ("unsupervised", "supervised")
    assert Mine.version is None


@pytest.mark.parametrize(
    ("base", "body", "message"),
    [
        (Learner, {"control": True}, "sets control = True.*write kind = 'control'"),
        (Learner, {"supervised": True}, "sets supervised = True.*derive from SupervisedLearner"),
        (
            Learner,
            {"kind": "baseline"},
            "kind is 'baseline'; expected one of 'unsupervised', 'supervised', 'control'",
        ),
        (Learner, {"kind": "supervised"}, "derive from SupervisedLearner"),
        (SupervisedLearner, {"kind": "control"}, "leave out kind = 'control'"),
        (Learner, {"version": 0}, "version is 0; expected a whole number from 1"),
        (Learner, {"version": True}, "version is True"),
        (Learner, {"version": "2"}, "version is '2'"),
        (Learner, {"kind": "control", "__annotations__": {"kind": "str"}}, "kind is annotated as a parameter"),
        (Learner, {"version": 3, "__annotations__": {"version": int}}, "version is annotated as a parameter"),
    ],
)
def test_wrong_declarations_of_a_class_are_reported_when_it_is_defined(base, body, message):
    with pytest.raises(TypeError, match=f"Wrong.*{message}"):
        type("Wrong", (base,), body)


def test_a_parameter_may_have_a_name_that_meant_something_once():
    class Named(Mine):
        control: bool = False
        version: ClassVar[int] = 4

    assert Named(control=True).parameters()["control"] is True
    assert Named.version == 4


def test_a_plugin_that_marks_a_control_as_before_gets_the_remedy(plugin):
    path = plugin("old.py", "@register('old')\nclass Old(Flat):\n    control = True\n")
    problem = answer(Question(Entry("old", "file", str(path)))).problem
    assert problem == "TypeError: Old sets control = True, which has no effect any more: write kind = 'control'"
