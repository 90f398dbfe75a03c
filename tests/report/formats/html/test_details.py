from __future__ import annotations

import pytest
from msgspec.structs import replace
from report_pages import HISTORY
from trials import evaluation, method, trial

from reprbench.measurement import Measurement
from reprbench.report.formats.html.details import MOST_MEASUREMENTS, describe, summaries, thinned_history
from reprbench.trial import Code


def test_the_details_of_a_row_are_all_that_is_known_about_its_trial(payload):
    trials = payload["trials"]
    used = {number for table in payload["tables"] for row in table["rows"] for number in row["trials"]}
    assert used == set(range(len(trials)))
    broken = next(one["detail"] for one in trials if one["detail"]["status"] == "failed")
    assert (broken["reason"], broken["traceback"]) == ("the loss is nan", "Traceback:\n  <b>line</b>")
    assert broken["notes"] == ["deviation: limit 100"]
    assert broken["history"] is None
    alpha = next(one["detail"] for one in trials if one["title"] == "alpha, seed 0")
    sections = {
        payload["sections"][place]["heading"]: payload["sections"][place]["lines"] for place in alpha["sections"]
    }
    assert ["width", "64"] in sections["Parameters"]
    assert sections["Fit"] == [["budget", "1 epoch"], ["precision", "float32"]]
    assert sections["Method"] == [["call", "ae"], ["kind", "unsupervised"], ["origin", "test"], ["code", "code s"]]
    assert "Protocol linear-svm, version 1" not in sections, "a protocol without parameters has nothing to show"
    assert ["fit", "12.5 s"] in sections["Cost"]
    assert ["machine · cores", "2"] in sections["Provenance"]
    assert alpha["history"]["columns"]["accuracy"] == [None, 0.6, 0.7]
    assert ["linear-svm", "accuracy", "71.25 ± 0.736 %", "3 folds"] in alpha["measurements"]
    assert len(alpha["figures"]) == 3


def test_the_code_of_method_and_protocol_is_in_the_details():
    found = describe(
        trial(method=method(code=Code(version=3)), evaluations=[evaluation([1.0], version=7, parameters={"C": 1})]), []
    )
    sections = {section.heading: dict(section.lines) for section in found.sections}
    assert sections["Method"]["code"] == "version 3"
    assert sections["Protocol linear-svm, version 7"] == {"C": "1"}


def test_measurements_are_summarized_over_folds_only():
    measurements = [
        Measurement(metric="m", value=value, unit="dB", better="higher", at={"fold": fold, "level": level})
        for level in (0.1, 0.2) for fold, value in enumerate((1.0, 3.0))
    ]  # fmt: skip
    found = summaries(replace(evaluation([]), measurements=measurements))
    assert list(found) == [("m", "level 0.1", "dB"), ("m", "level 0.2", "dB")]
    assert all((one.mean, one.std, one.n) == (2.0, 1.0, 2) for one in found.values())


def test_a_history_is_thinned_from_its_end(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("step,loss,note\n" + "".join(f"{step},{1 / step},x\n" for step in range(1, 1001)))
    history = thinned_history(path, most=100)
    assert history.every == 10
    assert history.columns["step"] == [float(step) for step in range(10, 1001, 10)]
    assert set(history.columns) == {"step", "loss"}


@pytest.mark.parametrize("content", [None, "", "\n", "step,loss\n", "a,b\nx,y\n", "step\nnan\n", b"\xff\xfe,1\n"])
def test_a_history_without_numbers_is_left_out(tmp_path, content):
    path = tmp_path / "history.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert thinned_history(path) is None


def test_a_history_is_read_as_it_was_written(tmp_path):
    (tmp_path / "history.csv").write_text(HISTORY)
    assert thinned_history(tmp_path / "history.csv").columns["loss"] == [0.9, 0.5, 0.4]


def test_the_measurements_of_a_trial_are_capped_and_counted():
    many = evaluation([1.0])
    many.measurements = [replace(many.measurements[0], at={"layer": n}) for n in range(MOST_MEASUREMENTS + 5)]
    detail = describe(trial(evaluations=[many]), [])
    assert (len(detail.measurements), detail.left_out) == (MOST_MEASUREMENTS, 5)
