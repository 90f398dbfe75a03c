"""How long the rest of a run takes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from test_plan import spec, stored

from reprbench.runner.estimate import Remaining
from reprbench.runner.plan import Planned
from reprbench.spec import parse_call
from reprbench.trial import Cost


class Clock:
    """Says the seconds that it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def planned(**changes) -> Planned:
    one = spec(**changes)
    return Planned(one, "run", "new", one.protocols)


def took(one: Planned, seconds: float):
    """Return the record of a trial like this whose fit and evaluation took these seconds."""
    return replace(stored(one.spec), cost=Cost(fit_seconds=seconds - 1))


def test_it_is_what_earlier_trials_took_less_what_has_passed():
    clock, first, second = Clock(), planned(seed=1), planned(seed=2)
    left = Remaining([first, second], [took(first, 100)], 1, clock)
    assert left.seconds() == 200
    left.started(first)
    clock.now = 30
    assert left.seconds() == 170
    clock.now = 150
    assert left.seconds() == 100
    left.finished(first, stored(first.spec))
    left.started(second)
    clock.now = 190
    assert left.seconds() == 60
    left.finished(second, stored(second.spec))
    assert left.seconds() is None


def test_several_at_once_take_less_but_no_less_than_the_longest():
    short, long = planned(), planned(method={"parameters": {"width": 9}})
    earlier = [took(short, 20), took(long, 100)]
    assert Remaining([short, long], earlier, 2).seconds() == 100
    work = [planned(seed=seed) for seed in range(4)]
    assert Remaining(work, [took(short, 20)], 2).seconds() == 40


def test_what_is_unknown_takes_what_those_took_that_have_ended():
    clock = Clock()
    work = [planned(seed=seed) for seed in range(3)]
    other = planned(method={"call": parse_call("dae")})
    left = Remaining([*work, other], [], 1, clock)
    assert left.seconds() is None
    for one, now in ((work[0], 10), (work[1], 30)):
        left.started(one)
        clock.now = now
        left.finished(one, stored(one.spec))
    # Of another method nothing is known but that.
    assert left.seconds() == 15 + 15


@pytest.mark.parametrize("status", ["failed", "timeout"])
def test_a_failure_says_nothing_about_others(status):
    clock, first, second = Clock(), planned(seed=1), planned(seed=2)
    left = Remaining([first, second], [], 1, clock)
    left.started(first)
    clock.now = 5
    left.finished(first, stored(first.spec, status=status))
    assert left.seconds() is None
