"""Ranks of methods over datasets, and the tests of them (Demšar 2006).

J. Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from reprbench.report.significance import TestResult
from reprbench.report.statistics import Floats, as_table


def average_ranks(scores: ArrayLike, higher_is_better: bool = True) -> Floats:
    """Return the mean rank of each method, 1 the best; equal scores share their mean rank (Demšar, section 3.2).

    Parameters
    ----------
    scores : of shape (datasets, methods).
    higher_is_better : whether the highest score gets rank 1.
    """
    table = as_table(scores)
    ordered = -table if higher_is_better else table
    below = (ordered[:, None, :] < ordered[:, :, None]).sum(axis=2)
    equal = (ordered[:, None, :] == ordered[:, :, None]).sum(axis=2)
    ranks: Floats = below + (equal + 1) / 2
    return np.asarray(ranks.mean(axis=0), dtype=np.float64)


def friedman(scores: ArrayLike) -> TestResult:
    """Test whether three or more methods differ over datasets; `scores` has the shape (datasets, methods)."""
    from scipy import stats

    table = as_table(scores)
    if table.shape[1] < 3:
        raise ValueError("Friedman's test compares three methods or more; use wilcoxon for two")
    if np.all(table == table[:, :1]):
        return TestResult(0.0, 1.0)
    found: Any = stats.friedmanchisquare(*table.T)
    return TestResult(float(found.statistic), float(found.pvalue))


def critical_difference(k: int, n: int, alpha: float = 0.05) -> float:
    """Return how far apart two average ranks must be to differ, for `k` methods on `n` datasets (Nemenyi's test).

    q √(k(k + 1)/6n), q being the quantile of the studentized range over √2 (Demšar, section 3.2.2 and table 5).
    """
    from scipy import stats

    if k < 2 or n < 1:
        raise ValueError(f"{k} methods on {n} datasets; expected at least two methods and one dataset")
    q = float(stats.studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * n))
