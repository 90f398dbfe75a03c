"""No number moves unless a version is raised; what must be done otherwise is said by the failure."""

from __future__ import annotations

from dataclasses import replace

import pytest
import record
from ratchet import FILE, Entry, complaint, digits_elsewhere, load, rounded, save, updated, verdict
from settings import METHODS, PROTOCOLS
from values import entry, machine, names

RECORDED = load()

SAVED = Entry(
    version=2,
    numerics=3,
    recorded_on={"processor": "here", "torch": "2.9"},
    values={"features": {"mean": 0.25, "0, 0": 50.0}, "losses": {"value": 0.001}},
)
MOVED = replace(SAVED, values={**SAVED.values, "losses": {"value": 0.0011}})
ELSEWHERE = {"processor": "there", "torch": "2.9"}


@pytest.mark.parametrize("name", names())
def test_no_number_moved(name):
    if problem := complaint(name, RECORDED.get(name), entry(name)):
        pytest.fail(problem, pytrace=False)


def test_nothing_is_recorded_that_is_not_there_any_more():
    assert RECORDED.keys() - set(names()) == set(), "run tests/golden/record.py"


def test_parameters_are_those_of_methods_and_protocols_that_there_are():
    given = [f"method {name}" for name in METHODS] + [f"protocol {name}" for name in PROTOCOLS]
    assert set(given) <= set(names())


def test_an_entry_without_change_is_the_same():
    assert verdict(SAVED, replace(SAVED)) == "same"
    assert complaint("knn", SAVED, SAVED) == ""


def test_a_moved_number_needs_a_higher_version():
    assert verdict(SAVED, MOVED) == "moved"
    message = complaint("method ae", SAVED, MOVED)
    assert "losses [value] was 0.001 and is 0.0011" in message
    assert "raise `version` of method ae, or NUMERICS, then run tests/golden/record.py" in message
    assert "\n" not in message


@pytest.mark.parametrize("raised", [{"version": 3}, {"numerics": 4}, {"numerics": 4, "version": 1}])
@pytest.mark.parametrize("computed", [SAVED, MOVED], ids=["same numbers", "other numbers"])
def test_a_higher_version_has_to_be_recorded(raised, computed):
    assert verdict(SAVED, replace(computed, **raised)) == "raised"
    assert "to record anew" in complaint("knn", SAVED, replace(computed, **raised))


@pytest.mark.parametrize("lowered", [{"version": 1}, {"numerics": 2}, {"numerics": 2, "version": 9}])
def test_a_version_never_falls(lowered):
    assert verdict(SAVED, replace(SAVED, **lowered)) == "lowered"
    assert "lower than the recorded one" in complaint("knn", SAVED, replace(SAVED, **lowered))


def test_what_was_never_recorded_is_missing():
    assert verdict(None, SAVED) == "missing"
    assert complaint("method new", None, SAVED) == "no golden values of method new: run tests/golden/record.py"


@pytest.mark.parametrize(
    ("change", "here", "elsewhere"),
    [(1e-4, "same", "same"), (2e-4, "moved", "same"), (0.1, "moved", "same"), (0.2, "moved", "moved")],
)
@pytest.mark.parametrize("number", ["mean", "0, 0"])
def test_digits_count_from_the_largest_number_of_a_group(number, change, here, elsewhere):
    # That is 50: six digits end at 1e-4, and three at 0.1.
    numbers = SAVED.values["features"]
    computed = replace(SAVED, values={**SAVED.values, "features": {**numbers, number: numbers[number] + change}})
    assert verdict(SAVED, computed) == here
    assert verdict(SAVED, replace(computed, recorded_on=ELSEWHERE)) == elsewhere


@pytest.mark.parametrize(
    ("group", "key", "digits"),
    [
        ("last layer, 100 × 4", "mean", 3),
        ("knn: accuracy (%)", "fold=0", 2),
        ("trustworthiness", "map=PCA", 3),
        ("trustworthiness", "map=t-SNE", 1),
    ],
)
def test_what_magnifies_rounding_has_fewer_digits_elsewhere(group, key, digits):
    assert digits_elsewhere(group, key) == digits


def test_one_image_of_a_hundred_is_allowed_elsewhere_and_two_are_not():
    saved, *others = (replace(SAVED, values={"accuracy (%)": {"fold=0": share}}) for share in (87.0, 86.0, 85.0))
    assert [verdict(saved, other) for other in others] == ["moved", "moved"]
    assert [verdict(saved, replace(other, recorded_on=ELSEWHERE)) for other in others] == ["same", "moved"]


@pytest.mark.parametrize(
    "other", [{}, {"features": {"mean": 0.25, "0, 0": 50.0, "1, 1": 0.0}}, {"more": {"mean": 1.0}}]
)
def test_numbers_that_come_and_go_have_moved(other):
    computed = replace(SAVED, values={**SAVED.values, **other} if other else {"features": SAVED.values["features"]})
    assert verdict(SAVED, computed) == "moved"
    assert verdict(computed, SAVED) == "moved"


def test_numbers_are_kept_to_six_digits_and_have_to_be_finite():
    assert [rounded(number) for number in (1234567.8, -0.00012345678, 0.0)] == [1234570.0, -0.000123457, 0.0]
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="golden value"):
            rounded(number)


def test_only_what_has_a_higher_version_is_recorded_anew():
    raised = replace(MOVED, version=3)
    near = replace(SAVED, recorded_on=ELSEWHERE)
    recorded = {"same": SAVED, "raised": SAVED, "gone": SAVED}
    entries, refused = updated(recorded, {"same": near, "raised": raised, "new": MOVED})
    assert entries == {"same": SAVED, "raised": raised, "new": MOVED}
    assert refused == []
    _, refused = updated(recorded, {"same": MOVED, "raised": replace(SAVED, version=1)})
    assert ["same" in refused[0], "raised" in refused[1]] == [True, True]


def test_recording_refuses_a_number_that_moved(tmp_path, monkeypatch, capsys):
    path = tmp_path / "values.json"
    save({"method a": SAVED, "method b": SAVED}, path)
    before = path.read_text()
    monkeypatch.setattr(record, "names", lambda: ["method a", "method b"])
    monkeypatch.setattr(record, "entry", {"method a": SAVED, "method b": MOVED}.__getitem__)
    assert record.main(path) == 1
    output = capsys.readouterr().err
    assert "method b" in output
    assert "method a" not in output
    assert path.read_text() == before
    raised = {"method a": SAVED, "method b": replace(MOVED, version=3)}
    monkeypatch.setattr(record, "entry", raised.__getitem__)
    assert record.main(path) == 0
    assert load(path) == raised


def test_a_first_recording_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "names", lambda: ["method a"])
    monkeypatch.setattr(record, "entry", lambda name: SAVED)
    assert record.main(tmp_path / "values.json") == 0
    assert load(tmp_path / "values.json") == {"method a": SAVED}


def test_the_file_is_as_it_was_recorded(tmp_path):
    save(RECORDED, tmp_path / "values.json")
    assert (tmp_path / "values.json").read_text(encoding="utf-8") == FILE.read_text(encoding="utf-8")


def test_the_machine_is_known():
    assert set(machine()) == {"processor", "torch", "numpy", "scipy", "scikit-learn"}
