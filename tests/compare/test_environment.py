from __future__ import annotations

import pytest
from pairs import FOLDS, compared, row

from reprbench.compare.environment import Environment, differing


def test_differences_of_the_environment_are_notes(tmp_path):
    def provenance(commit, torch):
        return {"code": {"commit": commit, "dirty": False}, "versions": {"torch": torch, "reprbench": "0.1.0"}}

    base, new = (row(FOLDS, provenance=provenance(*where)) for where in (("abcdef123", "2.4"), ("123456789", "2.5")))
    assert compared(tmp_path, [base], [new]).notes == (
        "code differs: abcdef1 in BASE, 1234567 in NEW",
        "torch differs: 2.4 in BASE, 2.5 in NEW",
    )
    assert compared(tmp_path / "same", [base], [base]).notes == ()


@pytest.mark.parametrize(
    ("identity", "shown"), [({"numerics": 1}, "1"), ({}, "unknown"), ({"numerics": [1]}, "unknown")]
)
def test_other_numerics_are_a_note(tmp_path, identity, shown):
    base, new = row(FOLDS, identity=identity), row(FOLDS, identity={"numerics": 2})
    assert compared(tmp_path, [base], [new]).notes == (f"numerics differs: {shown} in BASE, 2 in NEW",)
    assert compared(tmp_path / "same", [base], [base]).notes == ()


def ran_with(*versions: str) -> list[Environment]:
    return [Environment("c", "1", version, "m") for version in versions]


@pytest.mark.parametrize(
    ("base", "new", "shown"),
    [
        ("a", "b", "a in BASE, b in NEW"),
        ("ab", "b", "a in BASE, b in NEW"),
        ("ab", "a", "b in BASE, a in NEW"),
        ("ab", "bc", "a in BASE, c in NEW"),
        ("b", "ba", "b in BASE, a in NEW"),
        ("edcba", "fg", "a and b and c and 2 more in BASE, f and g in NEW"),
        ("cba", "d", "a and b and c in BASE, d in NEW"),
    ],
)
def test_what_both_have_is_named_only_where_nothing_else_is(base, new, shown):
    assert differing(ran_with(*base), ran_with(*new)) == [f"torch differs: {shown}"]
    assert differing(ran_with(*base), ran_with(*reversed(base))) == []


def test_another_device_is_a_note_unless_it_is_one_of_the_same_kind(tmp_path):
    def on(device, name):
        return row(FOLDS, provenance={"device": device, "device_name": name, "machine": {"processor": "Xeon"}})

    base, same, other = on("cuda:0", "NVIDIA H100"), on("cuda:3", "NVIDIA H100"), on("cuda:0", "NVIDIA H200")
    assert compared(tmp_path / "same", [base], [same]).notes == ()
    notes = compared(tmp_path / "other", [base], [other]).notes
    assert notes == ("machine differs: Xeon, NVIDIA H100 in BASE, Xeon, NVIDIA H200 in NEW",)
