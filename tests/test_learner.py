from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, PositiveInt, ValidationError

from reprbench import register
from reprbench.learner import Learner, SupervisedLearner, parameters_model


@register("mine")
class Mine(Learner):
    width: PositiveInt = 8
    rate: Annotated[float, Field(gt=0)] = 0.1
    kind: Literal["a", "b"] = "a"
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
    assert Mine().parameters() == {"width": 8, "rate": 0.1, "kind": "a"}
    assert list(parameters_model(Mine).model_fields) == ["width", "rate", "kind"]


def test_a_subclass_adds_parameters_and_changes_defaults_with_their_types():
    assert Child().parameters() == {"width": 8, "rate": 0.5, "kind": "a", "depth": 2}
    with pytest.raises(ValidationError):
        Child(rate=-1)


def test_words_of_a_command_line_become_values():
    assert Mine(width="16", rate="1e-3").parameters() == {"width": 16, "rate": 0.001, "kind": "a"}


def test_all_mistakes_are_found_at_once():
    with pytest.raises(ValidationError) as caught:
        Mine(width=0, kind="c", widht=3)
    assert {error["loc"][0] for error in caught.value.errors()} == {"width", "kind", "widht"}


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
