from __future__ import annotations

import pytest
from made_protocols import make_protocols
from pydantic import ValidationError

from reprbench.protocols.base import Outcome, Protocol
from reprbench.spec import parse_call


class Sized(Protocol):
    size: int = 3

    def evaluate(self, subject, seed):
        return Outcome()


def test_two_ways_to_say_the_same_make_equal_protocols():
    one, two, other = make_protocols(
        [parse_call("linear-svm"), parse_call("linear-svm[grid=2,pooling=max]"), parse_call("linear-svm[grid=1]")]
    )
    assert one == two != other


def test_a_protocol_does_not_change_after_it_was_made():
    made = Sized(size=4)
    with pytest.raises(ValidationError, match="frozen"):
        made.size = 5


def test_defaults_are_validated():
    class Wrong(Sized):
        size: int = "many"

    assert Wrong(size=4).size == 4
    with pytest.raises(ValidationError, match="size"):
        Wrong()
