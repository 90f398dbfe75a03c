"""A default that changes makes other numbers of the same call: golden values, with parameters of their own, miss it."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest
from defaults import METHODS, PROTOCOLS

from reprbench.learner import parameters_model


def registered(group: str) -> dict[str, type]:
    found = {one.name: one for one in entry_points(group=f"reprbench.{group}") if one.value.startswith("reprbench.")}
    return {name: one.load() for name, one in found.items()}


def test_all_methods_and_protocols_are_stated():
    assert (registered("methods").keys(), registered("protocols").keys()) == (METHODS.keys(), PROTOCOLS.keys())


@pytest.mark.parametrize("name", METHODS)
def test_the_defaults_of_a_method_are_as_stated(name):
    fields = parameters_model(registered("methods")[name]).model_fields
    found = {key: field.get_default() for key, field in fields.items() if not field.is_required()}
    assert found == METHODS[name], "state the new one, and raise `version`"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_defaults_of_a_protocol_are_as_stated(name):
    found = registered("protocols")[name].model_construct()  # a parameter without a default must be given otherwise
    assert found.model_dump() == PROTOCOLS[name], "state the new one, and raise `version`"
