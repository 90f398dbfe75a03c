from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from reprbench import File
from reprbench.parameters import changed_parameters, default_of, make_model

FIELDS = {
    "weights": (File, "w.pt"),
    "layers": (list[str], Field(default_factory=lambda: ["last"])),
    "size": (float, 3),
    "needed": (int, ...),
}


@pytest.fixture(autouse=True)
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("w.pt", "v.pt"):
        (tmp_path / name).write_bytes(b"weights")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, []),
        ({"size": 3, "layers": ["last"], "weights": "w.pt"}, []),
        ({"size": 3.0, "weights": str(Path("w.pt"))}, []),
        ({"size": 2, "layers": ["first"], "weights": "v.pt"}, ["weights", "layers", "size"]),
    ],
)
def test_only_what_is_given_and_no_default_is_changed(given: dict[str, object], changed: list[str]) -> None:
    model = make_model("Mine", FIELDS)
    every = {**given, "needed": 1}
    assert changed_parameters(model.model_validate(every), every) == [*changed, "needed"]


def test_a_default_may_come_from_a_factory() -> None:
    fields = make_model("Mine", FIELDS).model_fields
    defaults = {name: default_of(field) for name, field in fields.items() if not field.is_required()}
    assert defaults == {"weights": "w.pt", "layers": ["last"], "size": 3}


def test_only_an_open_model_takes_other_parameters() -> None:
    with pytest.raises(ValidationError, match="other"):
        make_model("Closed", FIELDS).model_validate({"needed": 1, "other": 2})
    validated = make_model("Open", FIELDS, is_open=True).model_validate({"needed": 1, "other": 2})
    assert validated.model_extra == {"other": 2}
    assert changed_parameters(validated, {"needed": 1, "other": 2}) == ["needed"]
