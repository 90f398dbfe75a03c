from __future__ import annotations

import math
from dataclasses import replace as replaced

import numpy as np
import pytest
from pairs import FOLDS, NOISE, STL10, compared, missing, row, verdicts
from scipy import stats
from trials import evaluation, method

from reprbench.compare.judge import CompareSettings, compare
from reprbench.compare.text import as_terminal, worse_sentences
from reprbench.report.measured import fold_ratio
from reprbench.report.significance import seeds_t_test
from reprbench.store import Store
from reprbench.trial import Code


def test_the_difference_and_its_p_value_are_those_of_the_formula(tmp_path):
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS - 1 + NOISE)])
    (found,) = report.rows
    differences = NOISE - 1
    assert found.difference == pytest.approx(differences.mean())
    ratio = fold_ratio(STL10)
    assert ratio == pytest.approx(1000 / 4000)
    # The plain paired t statistic, shrunk by the correction.
    plain = stats.ttest_rel(FOLDS - 1 + NOISE, FOLDS).statistic
    corrected = plain * math.sqrt((1 / 10) / (1 / 10 + ratio))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(corrected), 9))
    assert found.folds == 10
    assert (found.verdict, report.status) == ("worse", 1)


@pytest.mark.parametrize(("p", "verdict"), [(0.0499, "worse"), (0.0501, "same")])
def test_five_percent_decide_between_worse_and_same(tmp_path, p, verdict):
    noise = NOISE - NOISE.mean()
    loss = stats.t.isf(p / 2, 9) * np.sqrt(noise.var(ddof=1) * (1 / 10 + 1000 / 4000))
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS + noise - loss)])
    assert report.rows[0].adjusted == pytest.approx(p)
    assert verdicts(report) == [verdict]
    assert "significant below 0.05" in as_terminal(report)


def test_noise_is_not_worse_although_every_mean_is_lower(tmp_path):
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS - 0.05 + NOISE - NOISE.mean())])
    assert report.rows[0].difference < 0
    assert (verdicts(report), report.status) == (["same"], 0)


def test_a_better_row_is_called_better(tmp_path):
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS + 2 + NOISE)])
    assert (verdicts(report), report.status) == (["better"], 0)


def test_lower_is_better_where_the_metric_says_so(tmp_path):
    def errors(shift):
        values = list(FOLDS + shift + NOISE * bool(shift))
        found = evaluation(values, measured={"metric": "MSE", "better": "lower"}, headline="MSE")
        return [row([], evaluations=[found])]

    assert verdicts(compared(tmp_path / "up", errors(0), errors(2))) == ["worse"]
    assert verdicts(compared(tmp_path / "down", errors(0), errors(-2))) == ["better"]


def test_a_metric_without_a_direction_is_shown_and_never_judged(tmp_path):
    def sizes(value):
        return [row([], evaluations=[evaluation([value] * 2, measured={"better": "neither"})])]

    report = compared(tmp_path, sizes(5.0), sizes(1.0))
    assert (verdicts(report), report.rows[0].p, report.status) == (["not judged"], None, 0)


@pytest.mark.parametrize(("tolerance", "verdict"), [(0.49, "worse"), (0.5, "same"), (0.51, "same")])
def test_a_single_value_is_judged_by_the_tolerance_alone(tmp_path, tolerance, verdict):
    report = compared(tmp_path, [row([60.1])], [row([59.6])], tolerances={"accuracy": tolerance})
    assert verdicts(report) == [verdict]
    assert report.rows[0].p is None


def test_a_significant_difference_within_the_tolerance_is_not_worse(tmp_path):
    base, new = [row(FOLDS)], [row(FOLDS - 1 + NOISE / 10)]
    assert compared(tmp_path, base, new, tolerances={"accuracy": 1.2}).status == 0
    assert compared(tmp_path, base, new, tolerances={"accuracy": 0.8}).status == 1


def test_many_comparisons_are_held_to_a_stricter_standard(tmp_path):
    shifted = FOLDS - 0.45 + NOISE
    alone = compared(tmp_path / "one", [row(FOLDS)], [row(shifted)])
    assert 0.001 < alone.rows[0].p < 0.05
    assert alone.status == 1
    labels = [f"m{number}" for number in range(60)]
    others = [row(FOLDS, label) for label in labels]
    among = compared(tmp_path / "many", [row(FOLDS), *others], [row(shifted), *others])
    assert among.status == 0
    assert max(comparison.adjusted for comparison in among.rows) == 1.0


@pytest.mark.parametrize(
    "new",
    [
        missing(),
        missing(status="timeout", reason="took 25 s"),
        row(FOLDS, evaluations=[], protocols=["knn"]),
        row([], evaluations=[evaluation([], status="skipped", reason="needs a learner that reconstructs")]),
        row([], evaluations=[evaluation([])]),
    ],
    ids=["failed", "timeout", "another protocol", "protocol cannot be run", "metric not measured"],
)
def test_what_is_not_measured_any_more_is_worse(tmp_path, new):
    report = compared(tmp_path, [row(FOLDS)], [new])
    assert (verdicts(report), report.status) == (["worse"], 1)
    assert "ae (seed 0)" in worse_sentences(report)[0]


def test_what_failed_before_cannot_get_worse(tmp_path):
    assert compared(tmp_path / "both", [missing()], [missing()]).status == 3
    fixed = compared(tmp_path / "fixed", [missing()], [row(FOLDS)])
    assert (verdicts(fixed), fixed.status) == (["better"], 0)


def test_two_versions_of_a_protocol_are_not_compared(tmp_path):
    report = compared(tmp_path, [row(FOLDS)], [row([], evaluations=[evaluation(list(FOLDS - 9), version=2)])])
    assert (verdicts(report), report.status) == (["not judged"], 3)
    assert "the protocol's version differs: version 1 in BASE, version 2 in NEW" in as_terminal(report)


def test_two_states_of_a_protocol_without_a_version_are_not_compared(tmp_path):
    def store(source):
        return [row([], evaluations=[evaluation(list(FOLDS), code=Code(source=source))])]

    report = compared(tmp_path / "two", store("abcdef"), store("123456"))
    assert (verdicts(report), report.status) == (["not judged"], 3)
    assert verdicts(compared(tmp_path / "one", store("abcdef"), store("abcdef"))) == ["same"]


@pytest.mark.parametrize(
    ("before", "after", "notes"),
    [
        (method("a[x=1]"), method("a[x=1]"), ()),
        (method("a[x=1]"), method("a[x=2]"), ("its parameters changed: a[x=1] → a[x=2]",)),
        (method("a[x=1]"), method("b"), ("its method changed: a[x=1] → b",)),
        (
            method("a", parameters={"x": 1, "y": 0, "old": 3}),
            method("a", parameters={"x": 2, "y": 0, "new": 4}),
            ("its parameters changed: new absent → 4, old 3 → absent, x 1 → 2",),
        ),
        (method(code=Code(source="s")), method(code=Code(source="t")), ("the method's code changed",)),
        (method(code=Code(version=1)), method(code=Code(version=2)), ("the method's code changed",)),
        # For built-in methods, schema 1 kept a digest and schema 2 a version: together they do not show a change.
        (method(code=Code(source="s")), method(code=Code(version=1)), ()),
    ],
)
def test_what_changed_in_the_method_of_a_row_is_a_note(tmp_path, before, after, notes):
    report = compared(tmp_path, [row(FOLDS, "mine", method=before)], [row(FOLDS - 9, "mine", method=after)])
    assert (verdicts(report), report.rows[0].notes) == (["worse"], notes)


def test_over_seeds_the_order_of_changed_methods_does_not_matter(tmp_path):
    calls = [method("a[x=1]"), method("a[x=2]")]
    base = [row(FOLDS, "mine", seed=seed, method=calls[seed]) for seed in (0, 1)]
    new = [row(FOLDS, "mine", seed=seed, method=calls[1 - seed]) for seed in (0, 1)]
    assert compared(tmp_path, base, new, ignore_seeds=True).rows[0].notes == ()


def test_over_seeds_a_version_and_a_digest_show_no_change_even_if_one_seed_has_the_same(tmp_path):
    old, new = (method(code=code) for code in (Code(source="s"), Code(version=1)))
    for first, second in (([new, new], [new, old]), ([new, old], [new, new])):
        base, after = ([row(FOLDS, "mine", seed=seed, method=m) for seed, m in enumerate(ms)] for ms in (first, second))
        assert compared(tmp_path / str(old in first), base, after, ignore_seeds=True).rows[0].notes == ()


def test_means_are_taken_over_the_folds_that_both_have(tmp_path):
    report = compared(tmp_path, [row([10, 20, 90])], [row([11, 21])])
    (found,) = report.rows
    assert (found.base, found.new, found.folds) == (15, 16, 2)


def test_over_seeds_what_only_a_later_seed_measured_is_compared_too(tmp_path):
    base = [row([], evaluations=[evaluation([])]), row(FOLDS, seed=1)]
    report = compared(tmp_path, base, [row(FOLDS - 9, seed=seed) for seed in (0, 1)], ignore_seeds=True)
    assert verdicts(report) == ["worse"]


def fits(count: int, mean: float = 60.0, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    """Values of shape (seeds, folds): an effect of each fold, an effect of each fit, and a residual."""
    generator = np.random.default_rng(seed)
    return mean + FOLDS - 60 + generator.normal(0, spread, (count, 1)) + generator.normal(0, 0.2, (count, 10))


@pytest.mark.parametrize(("m", "k"), [(1, 1), (3, 3), (2, 5), (1, 4)])
def test_over_seeds_noise_is_called_a_difference_as_rarely_as_promised(m, k):
    p_values = [seeds_t_test(fits(m, seed=2 * i), fits(k, seed=2 * i + 1), 0.25).p for i in range(400)]
    # 5 % are expected at most; 400 draws of them stay below 8.5 % with a probability of 99.9 %.
    assert np.mean(np.array(p_values) < 0.05) < 0.085


def test_over_seeds_a_test_on_the_folds_alone_would_mistake_noise_for_a_difference():
    differences = [fits(1, seed=2 * i + 1) - fits(1, seed=2 * i) for i in range(200)]
    plain = [stats.ttest_1samp(d[0], 0).pvalue for d in differences]
    assert np.mean(np.array(plain) < 0.05) > 0.5


def test_without_folds_the_test_over_seeds_is_students():
    base, new = np.array([[60.0], [61.0], [60.4]]), np.array([[58.0], [58.5], [59.2], [58.1]])
    found = seeds_t_test(base, new, 0.25)
    expected = stats.ttest_ind(new[:, 0], base[:, 0])
    assert (found.statistic, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    assert seeds_t_test(base[:1], new[:1], 0.25) is None


def test_over_seeds_a_collapse_is_worse_and_another_seed_is_not(tmp_path):
    def store(values, first):
        return [row(one, seed=first + number) for number, one in enumerate(values)]

    for count in (1, 3):
        base = store(fits(count), 0)
        again = compared(tmp_path / f"noise-{count}", base, store(fits(count, seed=1), count), ignore_seeds=True)
        assert (verdicts(again), again.status) == (["same"], 0)
        worse = store(fits(count, mean=45, seed=2), count)
        assert compared(tmp_path / f"worse-{count}", base, worse, ignore_seeds=True).status == 1
    text = as_terminal(again)
    assert "ae (seed 0, 1, 2 and 3, 4, 5)" in text
    assert "unpaired over seeds" in text


@pytest.mark.parametrize(
    ("seed", "tolerances", "verdict"),
    [(1, {}, "not judged"), (1, {"accuracy": 1.0}, "worse"), (1, {"accuracy": 3.0}, "same"), (0, {}, "worse")],
)
def test_single_values_of_different_seeds_are_judged_by_a_tolerance_alone(tmp_path, seed, tolerances, verdict):
    report = compared(tmp_path, [row([60])], [row([58], seed=seed)], ignore_seeds=True, tolerances=tolerances)
    assert (verdicts(report), report.status) == ([verdict], int(verdict == "worse"))
    assert ("judged by a tolerance alone" in as_terminal(report)) == (verdict == "not judged")


def test_over_seeds_one_more_failure_than_before_is_worse(tmp_path):
    base = [row(FOLDS), missing(seed=1)]
    same = compared(tmp_path / "same", base, [row(FOLDS + NOISE, seed=2), missing(seed=3)], ignore_seeds=True)
    assert (verdicts(same), same.status) == (["same"], 0)
    more = [row(FOLDS + NOISE, seed=2), missing(seed=3), missing(seed=4)]
    report = compared(tmp_path / "more", base, more, ignore_seeds=True)
    assert (verdicts(report), report.status) == (["worse", "same"], 1)
    assert "seed 3: failed: RuntimeError: no luck; seed 4" in report.rows[0].notes[0]


def test_a_broken_file_is_named_and_changes_nothing_but_the_status(tmp_path):
    base, new = [row(FOLDS, "a"), row(FOLDS, "b")], [row(FOLDS - 9 + NOISE, "a"), row(FOLDS, "b"), row(FOLDS, "c")]
    alone = compared(tmp_path, base, new)
    (tmp_path / "base/mine/ae/broken").mkdir()
    (tmp_path / "base/mine/ae/broken/trial.json").write_text("{")
    problems: list[str] = []
    found = compare(Store(tmp_path / "base"), Store(tmp_path / "new"), CompareSettings(), problems)
    assert (replaced(found, unreliable=()), found.status) == (alone, 1)
    assert found.unreliable == tuple(problems) and len(problems) == 1


@pytest.mark.parametrize("swapped", [False, True])
def test_seeds_that_lack_the_metric_are_named(tmp_path, swapped):
    full = [row(FOLDS, seed=seed) for seed in (0, 1, 2)]
    lacking = [row(FOLDS, seed=0), *(row([], seed=seed, evaluations=[evaluation([])]) for seed in (1, 2))]
    stores = (lacking, full) if swapped else (full, lacking)
    (found,) = compared(tmp_path, *stores, ignore_seeds=True).rows
    assert found.notes == (f"not measured in {'BASE' if swapped else 'NEW'} with seeds 1, 2",)
    assert found.difference == pytest.approx(0)
