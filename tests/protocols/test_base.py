from __future__ import annotations

import pytest

from reprbench.errors import UserError
from reprbench.protocols.base import Protocol, make_protocols
from reprbench.registry import Entry, Registry, discover
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


PLUGIN = """
from pydantic import PositiveInt
from reprbench import register_protocol
from reprbench.protocols.base import Outcome, Protocol

@register_protocol("mine")
class Mine(Protocol):
    version = 1
    headlines = ("nothing",)
    size: PositiveInt = 3

    def evaluate(self, subject, seed):
        return Outcome()
"""


def test_a_protocol_of_a_plugin_has_the_rights_of_the_others(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    registry = discover([tmp_path / "plugin.py"], None)
    mine, knn = make_protocols([parse_call("mine[size=4]"), parse_call("knn")], registry)
    assert isinstance(mine, Protocol)
    assert (str(mine), str(knn)) == ("mine[size=4]", "knn")
    assert (mine.version, mine.call) == (1, Call(name="mine", parameters={"size": 4}))
    with pytest.raises(UserError, match="unknown protocol 'mine'"):
        make_protocols([parse_call("mine")])
    with pytest.raises(UserError, match="Did you mean 'size'"):
        make_protocols([parse_call("mine[sise=4]")], registry)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"import nowhere_at_all\n{PLUGIN}", "plugin.py: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        (PLUGIN.replace("Mine(Protocol)", "Mine"), "plugin.py gives no Protocol class for 'mine'"),
    ],
)
def test_a_protocol_that_cannot_be_loaded_is_one_mistake_among_others(tmp_path, text, said):
    (tmp_path / "plugin.py").write_text(text)
    registry = discover([tmp_path / "plugin.py"], None)
    with pytest.raises(UserError) as caught:
        make_protocols([parse_call("mine"), parse_call("knn[k=0]"), parse_call("mine")], registry)
    first, second = str(caught.value).splitlines()
    assert said in first
    assert second.startswith("protocol knn: k: ")


def test_a_class_must_have_the_name_of_its_entry_point():
    entry = Entry("other", "entry point", "reprbench.protocols.knn:KNN", "protocol")
    with pytest.raises(UserError, match=r'needs the same name: @register_protocol\("other"\)'):
        make_protocols([Call(name="other")], Registry(protocols={"other": entry}))
