from __future__ import annotations

import pytest

from reprbench.errors import UserError
from reprbench.protocols.base import make_protocols
from reprbench.spec import Call, parse_call


def test_a_protocol_prints_what_differs_from_its_defaults():
    (protocol,) = make_protocols([parse_call("linear-svm[grid=2,layers=all,costs=[0.1,1]]")])
    assert str(protocol) == "linear-svm[layers=all,costs=[0.1,1.0]]"
    assert make_protocols([parse_call(str(protocol))]) == [protocol]


def test_two_ways_to_say_the_same_have_one_identity():
    one, two = make_protocols([parse_call("linear-svm"), parse_call("linear-svm[grid=2,pooling=max]")])
    assert one == two
    assert one.call == two.call


def test_all_mistakes_come_at_once():
    with pytest.raises(UserError) as caught:
        make_protocols([Call(name="linear-svn"), parse_call("linear-svm[gird=1,pooling=median]")])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert "Did you mean 'linear-svm'?" in lines[0]
    assert any("Did you mean 'grid'?" in line for line in lines)
    assert any("'median'" in line for line in lines)
