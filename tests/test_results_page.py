"""docs/results.md: what the text of results/page.md.j2 makes of the trials in results/."""

from __future__ import annotations

import jinja2
import numpy as np
import pytest
from common import REPOSITORY, script
from scipy import stats
from trials import evaluation, trial

from reprbench.store import Store

results_page = script(REPOSITORY / "results" / "page.py")

LOW = {0: [50.0, 52.0], 1: [51.0, 55.0], 2: [40.0, 42.0]}
HIGH = {0: [53.0, 54.0], 1: [54.0, 56.0], 3: [90.0, 90.0]}


@pytest.fixture
def store(tmp_path):
    """Two rows with two seeds in common, and one with a single number."""
    store = Store(tmp_path)
    for place, (label, rows) in enumerate({"low": LOW, "high": HIGH}.items()):
        for seed, values in rows.items():
            digest = f"{place}{seed}" * 32
            store.write(trial(label, seed, digest, evaluations=[evaluation(values)]), {})
    return tmp_path


def text(store, template):
    return results_page.page(store, template)


def test_the_page_is_the_one_that_the_committed_results_give():
    template = (results_page.RESULTS / "page.md.j2").read_text(encoding="utf-8")
    assert results_page.PAGE.read_text(encoding="utf-8") == text(results_page.RESULTS, template)


def test_means_are_those_of_seeds_and_folds(store):
    assert text(store, '{{ mean("mine", "low", protocol="linear-svm", digits=3) }}') == "48.333"
    assert text(store, '{{ seeds("mine", "low", protocol="linear-svm") }}') == "3"
    assert text(store, '{{ ratio("mine", "high", "low", protocol="linear-svm", digits=4) }}') == f"{397 / 290:.4f}"


def test_differences_are_paired_by_the_seeds_that_both_have(store):
    apart = np.array([2.5, 2.0])
    half = stats.t.ppf(0.975, 1) * apart.std(ddof=1) / np.sqrt(2)
    assert (
        text(store, '{{ difference("mine", "high", "low", protocol="linear-svm", digits=2) }}') == f"+2.25 ± {half:.2f}"
    )
    assert text(store, '{{ difference("mine", "low", "high", protocol="linear-svm", digits=2) }}').startswith("−2.25 ±")


def test_p_values_are_adjusted_for_their_number(store):
    p = stats.ttest_1samp([2.5, 2.0], 0).pvalue
    template = '{{ adjusted("mine", [("high", "low"), ("low", "high")], protocol="linear-svm")[0] }}'
    assert text(store, template) == f"{2 * p:.2g}"


def test_the_text_cannot_ask_for_what_was_not_measured(store):
    for row in ('"mine", "other", protocol="linear-svm"', '"mine", "low", protocol="knn"'):
        with pytest.raises(LookupError, match="mine: no accuracy of"):
            text(store, f"{{{{ mean({row}) }}}}")
    with pytest.raises(jinja2.UndefinedError):
        text(store, "{{ nothing }}")
