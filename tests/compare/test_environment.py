from __future__ import annotations

import pytest
from pairs import FOLDS, compared, row


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


def test_another_device_is_a_note_unless_it_is_one_of_the_same_kind(tmp_path):
    def on(device, name):
        return row(FOLDS, provenance={"device": device, "device_name": name, "machine": {"processor": "Xeon"}})

    base, same, other = on("cuda:0", "NVIDIA H100"), on("cuda:3", "NVIDIA H100"), on("cuda:0", "NVIDIA H200")
    assert compared(tmp_path / "same", [base], [same]).notes == ()
    notes = compared(tmp_path / "other", [base], [other]).notes
    assert notes == ("machine differs: Xeon, NVIDIA H100 in BASE, Xeon, NVIDIA H200 in NEW",)
