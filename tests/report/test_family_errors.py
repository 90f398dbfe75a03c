"""How often a table tells apart methods that are equally good, and how often it finds the one that is better.

    python tests/report/test_family_errors.py

prints the table in docs/statistics.md. The situation is that of a report: a value is the sum of an effect of the fold,
which all methods share; an effect of the fold on this method, correlated between folds by their overlap (1000 out of
5000 images); an effect of the seed on this method; and a rest. All are normal, in points of accuracy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from reprbench.report import best
from reprbench.report.statistics import overlap_ratio

FOLDS = 10
OVERLAP = 0.2
RATIO = overlap_ratio(1000, 5000)
REST = 0.2

SPREADS = {"folds": (0.5, 0.2), "seeds": (0.2, 0.5), "unequal": (0.2, 0.2), "few unequal": (0.2, 0.2)}
"""Standard deviations of a method's effects of folds and of seeds; what is "unequal" has noisy methods beside quiet."""
NOISY = 1.5
"""Their spread over seeds."""


class Setting(NamedTuple):
    """How many methods compete, over how many seeds; which of `SPREADS`; how many are 5 points worse than the rest."""

    methods: int
    seeds: int
    spread: str
    worse: int = 0


def tables(setting: Setting, count: int, lead: float = 0.0) -> np.ndarray:
    """Return values of shape (tables, methods, seeds, folds); the first method is ahead by `lead`."""
    generator = np.random.default_rng([setting.methods, setting.seeds])
    k, m = setting.methods, setting.seeds
    by_fold, by_seed = SPREADS[setting.spread]
    seed_spread = np.full(k, by_seed)
    noisy = {"unequal": range(0, k, 3), "few unequal": range(max(1, k // 8))}.get(setting.spread, ())
    seed_spread[list(noisy)] = NOISY
    own = np.sqrt(OVERLAP) * generator.normal(size=(count, k, 1, 1))
    own = own + np.sqrt(1 - OVERLAP) * generator.normal(size=(count, k, 1, FOLDS))
    values = 60 + generator.normal(size=(count, 1, 1, FOLDS)) + by_fold * own
    if m > 1:
        values = values + seed_spread[:, None, None] * generator.normal(size=(count, k, m, 1))
    values = values + REST * generator.normal(size=(count, k, m, FOLDS))
    values[:, 0] += lead
    values[:, k - setting.worse :] -= 5
    return values


def places(table: np.ndarray) -> list[best.Place]:
    """Return where the methods of one table stand."""
    return [one.place for _, one in sorted(compared(table)[0].items())]


def compared(table: np.ndarray):
    methods = {
        place: {seed: dict(enumerate(folds)) for seed, folds in enumerate(seeds)}
        for place, seeds in enumerate(table.tolist())
    }
    return best.compare(methods, "higher", [str(place) for place in methods], RATIO)


def error(setting: Setting, count: int) -> float:
    """Return the share of tables, in percent, in which a method that is as good as the best is told apart from it."""
    equal = setting.methods - setting.worse
    return 100 * float(np.mean(["other" in places(table)[:equal] for table in tables(setting, count)]))


def power(setting: Setting, count: int, lead: float) -> float:
    """Return the share of tables, in percent, in which a method that is ahead by `lead` points is the best."""
    return 100 * float(np.mean([places(table)[0] == "best" for table in tables(setting, count, lead)]))


HARDEST = [
    Setting(24, 1, "folds"),
    Setting(24, 3, "seeds"),
    Setting(24, 3, "unequal"),
    Setting(24, 5, "seeds"),
    Setting(24, 5, "unequal", worse=20),
    Setting(6, 3, "unequal"),
    Setting(6, 5, "few unequal"),
    Setting(2, 3, "unequal"),
    Setting(2, 5, "seeds"),
]


@pytest.mark.parametrize("setting", HARDEST, ids=str)
def test_methods_that_are_equally_good_are_told_apart_in_at_most_six_percent_of_tables(setting):
    assert error(setting, 300 if setting.methods > 6 else 1000) <= 6


def test_without_the_pairs_among_the_others_the_errors_would_be_too_many(monkeypatch):
    """Holm's correction for the tests made ignores that the best mean was chosen from the data."""
    from reprbench.report.significance import holm

    monkeypatch.setattr(best, "against_the_best", holm)
    assert error(Setting(24, 1, "folds"), 300) > 10


def test_folds_as_if_they_were_seeds_would_tell_apart_two_fits_of_one_method():
    setting = Setting(2, 3, "seeds")
    first = [compared(table[:, :1])[0] for table in tables(setting, 300)]
    assert np.mean([any(one.place == "other" for one in standings.values()) for standings in first]) > 0.3
    assert not any(one.place == "best" for standings in first for one in standings.values())


def test_a_lead_that_is_called_detectable_is_found_as_often_as_promised():
    setting = Setting(2, 5, "seeds")
    lead = float(np.median([compared(table)[1].detectable for table in tables(setting, 300)]))
    assert 70 < power(setting, 500, lead) < 90


def test_leads_are_found_where_there_are_seeds_enough():
    assert power(Setting(6, 5, "folds"), 100, 3.0) > 95
    assert power(Setting(24, 5, "folds"), 50, 5.0) > 95


def lines(count: int = 1000) -> str:
    """Return errors and power in percent as a table in Markdown."""
    settings = [
        Setting(k, m, spread) for k in (2, 6, 24) for m in (1, 3, 5) for spread in SPREADS if m > 1 or spread == "folds"
    ]
    settings += [Setting(k, m, "seeds", worse) for k, worse in ((6, 3), (24, 20)) for m in (3, 5)]
    titles = ["methods", "5 points worse", "seeds", "spread", "errors", "detectable", "2 found", "5 found"]
    shown = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for one in settings:
        detectable = np.median([compared(table)[1].detectable for table in tables(one, 100)])
        found = [f"{power(one, count // 5, lead):.0f}" if one.seeds > 1 else "—" for lead in (2.0, 5.0)]
        cells = [one.methods, one.worse, one.seeds, one.spread, f"{error(one, count):.1f}", f"{detectable:.1f}", *found]
        shown.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(shown)


if __name__ == "__main__":
    print(lines())
