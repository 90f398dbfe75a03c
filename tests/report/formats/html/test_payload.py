from __future__ import annotations

import numpy as np
from report_pages import payload_of
from trials import evaluation, trial

from reprbench.report.formats.html import as_html
from reprbench.report.table import Settings, make_tables


def test_the_data_of_the_charts_is_unrounded(payload):
    few, svm = payload["tables"]
    alpha = next(row for row in svm["rows"] if row["name"] == "alpha")
    assert alpha["folds"] == [70.25, 71.5, 72.0]
    assert alpha["mean"] == np.mean(alpha["folds"])
    assert alpha["reference"] == 71.0
    assert alpha["costs"]["fit"] == [12.5, "12.5 s"]
    assert alpha["costs"]["parameters"] == [50_960, "51 k"]
    curve = next(one for one in few["curves"] if one["title"] == "Accuracy (%)")
    assert (curve["x_label"], curve["y_label"], curve["log"]) == ("labeled images a class", "accuracy (%)", True)
    line = next(line for line in curve["lines"] if few["rows"][line["row"]]["name"] == "alpha")
    expected = [[x, np.mean(alpha["folds"]) - 20 / x, np.std(alpha["folds"])] for x in (1, 10, 100)]
    np.testing.assert_allclose(line["points"], expected)


def test_seeds_together_are_one_row_with_all_their_trials(tmp_path):
    seeds = [trial(seed=seed, digest=f"{seed}" * 64, evaluations=[evaluation([1.0 + seed, 2.0])]) for seed in range(3)]
    found = payload_of(as_html(make_tables(seeds, settings=Settings(seeds="together")), [tmp_path], tmp_path))
    assert [row["trials"] for row in found["tables"][0]["rows"]] == [[0, 1, 2]]
    assert [one["title"] for one in found["trials"]] == ["ae, seed 0", "ae, seed 1", "ae, seed 2"]


def test_charts_name_the_seeds_where_the_table_does(tmp_path):
    seeds = [trial(seed=seed, digest=f"{seed}" * 64, evaluations=[evaluation([1.0 + seed, 2.0])]) for seed in range(2)]
    for trials, names in ((seeds[:1], ["ae"]), (seeds, ["ae (seed 1)", "ae (seed 0)"])):
        found = payload_of(as_html(make_tables(trials), [tmp_path], tmp_path))
        assert [row["name"] for row in found["tables"][0]["rows"]] == names


def test_a_trial_that_was_never_in_a_store_has_no_link(tmp_path):
    (one,) = payload_of(as_html(make_tables([trial(evaluations=[evaluation([1.0])])]), [tmp_path], tmp_path))["trials"]
    assert one["link"] == ""
