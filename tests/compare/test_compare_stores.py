from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import stats
from trials import evaluation, trial

from reprbench.compare.judge import Report, Settings, compare
from reprbench.compare.match import Selection
from reprbench.compare.text import LISTED, ROWS, as_json, as_markdown, as_terminal, sentence
from reprbench.errors import UserError
from reprbench.report.measured import fold_ratio
from reprbench.report.statistics import seeds_t_test
from reprbench.spec import Budget
from reprbench.store import Store
from reprbench.trial import DataRecord, Measurement, Trial, to_json

STL10 = DataRecord(
    call="stl10", title="STL-10", digest="d" * 64, shape=(3, 96, 96), unlabeled=100_000, train=5_000, test=8_000,
    classes=10, folds=10,
)  # fmt: skip
FOLDS = np.random.default_rng(0).normal(60, 1, 10)
NOISE = np.random.default_rng(1).normal(0, 0.3, 10)


def row(values, label: str = "ae", **changes) -> Trial:
    digest = hashlib.sha256(f"{label} {changes}".encode()).hexdigest()
    return trial(
        label, digest=digest, **{"dataset": STL10, "evaluations": [evaluation(list(map(float, values)))], **changes}
    )


def missing(label: str = "ae", status: str = "failed", reason: str = "RuntimeError: no luck", **changes) -> Trial:
    return row([], label, evaluations=[], status=status, reason=reason, **changes)


def compared(tmp_path, base: list[Trial], new: list[Trial], **settings) -> Report:
    for name, trials in (("base", base), ("new", new)):
        for one in trials:
            # What `Store.write` does, without waiting for the disk.
            folder = tmp_path / name / one.folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "trial.json").write_text(json.dumps(to_json(one)))
    return compare(Store(tmp_path / "base"), Store(tmp_path / "new"), Settings(**settings), [])


def verdicts(report: Report) -> list[str]:
    return [comparison.verdict for comparison in report.comparisons]


def test_the_difference_and_its_p_value_are_those_of_the_formula(tmp_path):
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS - 1 + NOISE)])
    (found,) = report.comparisons
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


def test_noise_is_no_worse_although_every_mean_is_lower(tmp_path):
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS - 0.05 + NOISE - NOISE.mean())])
    assert report.comparisons[0].difference < 0
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
    assert (verdicts(report), report.comparisons[0].p, report.status) == (["not judged"], None, 0)


@pytest.mark.parametrize(("tolerance", "verdict"), [(0.49, "worse"), (0.5, "same"), (0.51, "same")])
def test_a_single_value_is_judged_by_the_tolerance_alone(tmp_path, tolerance, verdict):
    report = compared(tmp_path, [row([60.1])], [row([59.6])], tolerances={"accuracy": tolerance})
    assert verdicts(report) == [verdict]
    assert report.comparisons[0].p is None


def test_a_significant_difference_within_the_tolerance_is_no_worse(tmp_path):
    base, new = [row(FOLDS)], [row(FOLDS - 1 + NOISE / 10)]
    assert compared(tmp_path, base, new, tolerances={"accuracy": 1.2}).status == 0
    assert compared(tmp_path, base, new, tolerances={"accuracy": 0.8}).status == 1


def test_many_comparisons_are_held_to_a_stricter_standard(tmp_path):
    shifted = FOLDS - 0.45 + NOISE
    alone = compared(tmp_path / "one", [row(FOLDS)], [row(shifted)])
    assert 0.001 < alone.comparisons[0].p < 0.05
    assert alone.status == 1
    labels = [f"m{number}" for number in range(60)]
    others = [row(FOLDS, label) for label in labels]
    among = compared(tmp_path / "many", [row(FOLDS), *others], [row(shifted), *others])
    assert among.status == 0
    assert max(comparison.adjusted for comparison in among.comparisons) == 1.0


@pytest.mark.parametrize(
    "new",
    [
        missing(),
        missing(status="timeout", reason="took 25 s"),
        row(FOLDS, evaluations=[], protocols=["knn"]),
        row([], evaluations=[evaluation([], missing="needs a learner that reconstructs")]),
        row([], evaluations=[evaluation([])]),
    ],
    ids=["failed", "timeout", "another protocol", "protocol cannot be run", "metric not measured"],
)
def test_what_was_measured_and_is_not_measured_any_more_is_worse(tmp_path, new):
    report = compared(tmp_path, [row(FOLDS)], [new])
    assert (verdicts(report), report.status) == (["worse"], 1)
    assert "ae (seed 0)" in sentence(report.comparisons[0])


def test_what_failed_before_cannot_get_worse(tmp_path):
    assert compared(tmp_path / "both", [missing()], [missing()]).status == 3
    fixed = compared(tmp_path / "fixed", [missing()], [row(FOLDS)])
    assert (verdicts(fixed), fixed.status) == (["better"], 0)


def test_rows_of_one_store_alone_are_told_and_not_worse(tmp_path):
    both = row(FOLDS, "both")
    report = compared(tmp_path, [both, row(FOLDS, "old")], [both, row(FOLDS, "young"), row(FOLDS, "both", seed=1)])
    assert report.status == 0
    assert [found.label for found in report.only_base] == ["old"]
    assert {(found.label, found.seed) for found in report.only_new} == {("young", 0), ("both", 1)}
    text = as_terminal(report)
    assert "only in BASE, not compared (1): mine: old (seed 0)" in text
    assert "only in NEW, not compared (2)" in text


def test_of_many_rows_that_one_store_has_alone_some_are_named(tmp_path):
    both = row(FOLDS, "both")
    report = compared(tmp_path, [both, *(row(FOLDS, f"old {n:02}, of {LISTED}") for n in range(LISTED + 3))], [both])
    (line,) = (line for line in as_terminal(report).splitlines() if line.startswith("only in BASE"))
    assert line.count("; mine: old") == LISTED - 1, "labels may have commas"
    assert line.endswith("; and 3 more")


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"budget": Budget(epochs=2)}, {"dataset": replace(STL10, digest="other")},
     {"benchmark": "another"}, {"label": "other"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_rows_that_differ_in_what_identifies_them_do_not_compare(tmp_path, change):
    report = compared(tmp_path, [row(FOLDS)], [row(FOLDS, **{"label": "ae", **change})])
    assert (report.comparisons, report.status) == ((), 3)


def test_a_row_that_kept_its_label_while_its_parameters_changed_is_the_same_row(tmp_path):
    base = row(FOLDS, "mine")
    method = replace(base.method, call="mine[lr=1e-7]", source="changed")
    report = compared(tmp_path, [base], [row(FOLDS - 20 + NOISE, "mine", method=method)])
    assert report.status == 1
    assert report.comparisons[0].notes == (
        "its parameters changed: mine → mine[lr=1e-7]",
        "the method's code changed",
    )


def test_a_label_that_names_several_rows_pairs_none_of_them(tmp_path):
    base = row(FOLDS, "mine")
    calls = [replace(base.method, call=f"mine[lr={lr}]") for lr in (1, 2)]
    report = compared(tmp_path, [base], [row(FOLDS, "mine", method=method) for method in calls])
    assert report.status == 3
    assert len(report.only_new) == 2


def test_of_older_and_newer_trials_of_a_row_the_newer_counts(tmp_path):
    old = row(FOLDS - 30, provenance={"ended": "2026-01-01"})
    new = row(FOLDS, provenance={"ended": "2026-01-02"})
    assert compared(tmp_path, [row(FOLDS)], [new, old]).status == 0


def test_two_versions_of_a_protocol_do_not_compare(tmp_path):
    report = compared(tmp_path, [row(FOLDS)], [row([], evaluations=[evaluation(list(FOLDS - 9), version=2)])])
    assert (verdicts(report), report.status) == (["not judged"], 3)
    assert "version differs" in as_terminal(report)


def test_means_are_taken_over_the_folds_that_both_have(tmp_path):
    report = compared(tmp_path, [row([10, 20, 90])], [row([11, 21])])
    (found,) = report.comparisons
    assert (found.base, found.new, found.folds) == (15, 16, 2)


def test_coordinates_are_compared_one_by_one(tmp_path):
    def curve(*values):
        measurements = [
            Measurement(metric="accuracy", value=value + fold, unit="%", better="higher",
             at={"fold": fold, "noise": noise})
            for noise, value in enumerate(values) for fold in range(3)
        ]  # fmt: skip
        return [row([], evaluations=[replace(evaluation([]), measurements=measurements)])]

    report = compared(tmp_path, curve(50.0, 60.0), curve(50.0, 59.0))
    assert [(c.at, c.difference, c.verdict) for c in report.comparisons] == [
        ("noise 1", -1, "worse"),
        ("noise 0", 0, "same"),
    ]


def test_the_headline_is_compared_unless_something_else_is_asked_for(tmp_path):
    def extended(shift):
        found = evaluation(list(FOLDS))
        found.measurements += [Measurement(metric="speed", value=5.0 + shift, unit="", better="higher", at={})]
        found.measurements += [Measurement(metric="C", value=5.0 + shift, unit="", better="neither", at={})]
        return [row([], evaluations=[found])]

    stores = extended(0), extended(-1)
    assert {c.metric for c in compared(tmp_path / "1", *stores).comparisons} == {"accuracy"}
    every = compared(tmp_path / "2", *stores, selection=Selection(every=True))
    assert {c.metric: c.verdict for c in every.comparisons} == {"accuracy": "same", "speed": "worse"}
    named = compared(tmp_path / "3", *stores, selection=Selection(("speed", "C")))
    assert {c.metric: c.verdict for c in named.comparisons} == {"speed": "worse", "C": "not judged"}
    with pytest.raises(UserError, match="'spede'.* Did you mean 'speed'"):
        compared(tmp_path / "4", *stores, selection=Selection(("spede",)))
    with pytest.raises(UserError, match="'acuracy'.* Did you mean 'accuracy'"):
        compared(tmp_path / "5", *stores, tolerances={"acuracy": 1.0})


def fits(count: int, mean: float = 60.0, seed: int = 0, spread: float = 1.0) -> np.ndarray:
    """Values of shape (seeds, folds): what is common to all fits at a fold, what a fit has of its own, and a rest."""
    generator = np.random.default_rng(seed)
    return mean + FOLDS - 60 + generator.normal(0, spread, (count, 1)) + generator.normal(0, 0.2, (count, 10))


@pytest.mark.parametrize(("m", "k"), [(1, 1), (3, 3), (2, 5), (1, 4)])
def test_over_seeds_noise_is_called_a_difference_as_rarely_as_promised(m, k):
    p_values = [seeds_t_test(fits(m, seed=2 * i), fits(k, seed=2 * i + 1), 0.25).p for i in range(400)]
    # 5 % are expected at most; 400 draws of them stay below 8.5 % with a probability of 99.9 %.
    assert np.mean(np.array(p_values) < 0.05) < 0.085


def test_over_seeds_the_test_on_the_folds_alone_would_take_noise_for_a_difference():
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
    assert "seed 3: failed: RuntimeError: no luck; seed 4" in report.comparisons[0].notes[0]


def test_what_differs_besides_the_numbers_is_told(tmp_path):
    def provenance(commit, torch):
        return {"code": {"commit": commit, "dirty": False}, "versions": {"torch": torch, "reprbench": "0.1.0"}}

    base, new = (row(FOLDS, provenance=provenance(*where)) for where in (("abcdef123", "2.4"), ("123456789", "2.5")))
    assert compared(tmp_path, [base], [new]).notes == (
        "code differs: abcdef1 in BASE, 1234567 in NEW",
        "torch differs: 2.4 in BASE, 2.5 in NEW",
    )
    assert compared(tmp_path / "same", [base], [base]).notes == ()


def test_a_broken_file_is_named_and_changes_nothing_of_the_report(tmp_path):
    base, new = [row(FOLDS, "a"), row(FOLDS, "b")], [row(FOLDS - 9 + NOISE, "a"), row(FOLDS, "b"), row(FOLDS, "c")]
    alone = compared(tmp_path, base, new)
    (tmp_path / "base/mine/ae/broken").mkdir()
    (tmp_path / "base/mine/ae/broken/trial.json").write_text("{")
    problems: list[str] = []
    assert compare(Store(tmp_path / "base"), Store(tmp_path / "new"), Settings(), problems) == alone
    assert len(problems) == 1


def test_names_stay_text_in_markdown_and_lines_stay_lines(tmp_path):
    name = "<script>alert(1)</script> | [x](http://y) @all *b*\n::error::z"
    text = as_markdown(compared(tmp_path, [row(FOLDS, name)], [row(FOLDS, name)]))
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "\\[x\\](http:" in text
    assert "@all" not in text
    assert "\\*b\\*" in text
    cells = [line for line in text.splitlines() if "script" in line]
    assert len(cells) == 1
    # The row's own bars alone separate cells.
    assert len(cells[0].replace("\\|", "").split("|")) == 10
    assert not any(line.startswith("::") for line in text.splitlines())


def test_a_long_comparison_is_cut_for_people_and_whole_in_json(tmp_path):
    labels = [f"m{number:03}" for number in range(ROWS + 5)]
    base = [row(FOLDS, label) for label in labels]
    new = [row(FOLDS - 20 * (label == "m150"), label) for label in labels]
    report = compared(tmp_path, base, new)
    text = as_markdown(report)
    assert len(text) < 65_000
    assert "m150" in text.splitlines()[4]
    assert "5 more are not shown" in text
    content = json.loads(as_json(report))
    assert (len(content["comparisons"]), content["status"], content["counts"]["worse"]) == (ROWS + 5, 1, 1)
    assert content["comparisons"][0]["difference"] == pytest.approx(-20)
