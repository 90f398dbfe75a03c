from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as some
from reprbench.methods.iterations import whose_turn

from reprbench.run_context import Budget, Run


@given(some.integers(1, 200), some.integers(1, 7))
def test_the_steps_are_divided_evenly_and_in_order(total, layers):
    run = Run(0, Budget(epochs=1))
    turns = [whose_turn(run, step, total, layers) for step in range(total)]
    counts = [turns.count(layer) for layer in range(layers)]
    assert turns == sorted(turns) and len(turns) == sum(counts)
    assert max(counts) - min(counts) <= 1


def test_seconds_are_divided_like_steps_where_they_run_out_first(monkeypatch):
    run = Run(0, Budget(epochs=1, seconds=9))
    for elapsed, expected in [(0, 0), (2.9, 0), (3.1, 1), (6.1, 2), (20, 2)]:
        monkeypatch.setattr(Run, "elapsed", elapsed)
        assert whose_turn(run, 0, 100, 3) == expected
    assert whose_turn(run, 0, math.inf, 3) == 2
