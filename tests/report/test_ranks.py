from __future__ import annotations

import pytest
from msgspec.structs import replace
from trials import evaluation, swept, trial

from reprbench.report.rank_tests import critical_difference
from reprbench.report.ranks import Ranks, ranks_over_datasets
from reprbench.report.table import Settings, make_tables


def ranked(*datasets: dict[str, float], better: str = "higher", **changes) -> list[Ranks]:
    """Return the ranks of methods with one value on each dataset."""
    trials = [
        trial(
            label,
            digest=f"{number}{label}".ljust(64, "0"),
            dataset=replace(trial().dataset, title=f"Data {number}", digest=str(number) * 64),
            evaluations=[evaluation([value, value], measured={"better": better})],
            **changes,
        )
        for number, values in enumerate(datasets)
        for label, value in values.items()
    ]
    return ranks_over_datasets(make_tables(trials))


FIRST, SECOND = {"a": 50.0, "b": 40.0, "c": 30.0}, {"a": 20.0, "b": 70.0, "c": 10.0, "d": 99.0}


@pytest.mark.parametrize(("better", "expected"), [("higher", [1.5, 1.5, 3.0]), ("lower", [2.5, 2.5, 1.0])])
def test_three_methods_on_two_datasets_have_ranks(better, expected):
    (found,) = ranked(FIRST, SECOND, better=better)
    assert (found.protocol, found.datasets) == ("linear-svm", ("Data 0", "Data 1"))
    assert dict(found.average) == dict(zip("abc", expected, strict=True))
    assert found.critical_difference == critical_difference(3, 2)
    # Friedman's statistic by hand: 12·2/(3·4)·Σ(r − 2)² = 2·(0.25 + 0.25 + 1) = 3; χ² with two degrees, exp(−3/2).
    assert found.p == pytest.approx(0.22313016)
    assert "critical difference 2.34 (Nemenyi, 5 %)" in str(found)


@pytest.mark.parametrize("sweeps", [False, True])
def test_a_sweep_is_one_method_whatever_it_chooses(sweeps):
    tables = []
    for number, (values, best) in enumerate(((FIRST, "1.0"), (SECOND, "2.0"))):
        data = replace(trial().dataset, title=f"Data {number}", digest=str(number) * 64)
        pairs = {rate: [(90 if rate == best else 10, 60)] for rate in ("1.0", "2.0")}
        others = [
            trial(label, digest=label * 64, dataset=data, evaluations=[evaluation([value, value])])
            for label, value in values.items()
        ]
        tables += make_tables([*swept(pairs, seeds=(0,), dataset=data), *others], settings=Settings(sweeps=sweeps))
    (found,) = ranks_over_datasets(tables)
    assert sorted(found.average) == ["a", "ae", "b", "c"]
    assert found.average["ae"] == 1.5


def test_fewer_methods_or_datasets_have_none():
    assert ranked(FIRST) == []
    assert ranked({"a": 50.0, "b": 40.0}, SECOND) == []
    assert ranked({"a": 50.0, "b": 40.0, "e": 1.0}, SECOND) == []


def test_values_without_a_direction_or_of_supervised_methods_have_none():
    assert ranked(FIRST, SECOND, better="neither") == []
    assert ranked(FIRST, SECOND, method=replace(trial().method, kind="supervised")) == []


def test_the_table_with_the_most_values_counts_for_a_dataset():
    few, many = ({"a": 1.0, "b": 2.0, "c": 3.0}, {**FIRST, "d": 1.0})
    same = [make_tables([
        trial(label, digest=label * 64, benchmark=name, evaluations=[evaluation([value, value])])
        for label, value in values.items()
    ])[0] for name, values in (("first", few), ("second", many), ("third", few))]  # fmt: skip
    other = make_tables([
        trial(label, digest=label * 64, dataset=replace(trial().dataset, title="Other", digest="o" * 64),
              evaluations=[evaluation([value, value])]) for label, value in FIRST.items()
    ])  # fmt: skip
    (found,) = ranks_over_datasets([*same, *other])
    assert dict(found.average) == {"a": 1.0, "b": 2.0, "c": 3.0}
