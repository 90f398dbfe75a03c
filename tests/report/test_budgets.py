"""How much a fit took stands beside its row, and that it had to share the machine."""

from __future__ import annotations

import csv
import io
import json

import pytest
from trials import evaluation, trial

from reprbench.report.formats import FORMATS
from reprbench.report.formats.html import as_html
from reprbench.report.table import make_tables
from reprbench.trial import Cost

SPENT = Cost(images_seen=60_000, steps=469, fit_flops=7_100_000_000_000, fit_seconds=75.0)


def table(provenance):
    return make_tables([trial(cost=SPENT, provenance=provenance, evaluations=[evaluation([50.0, 53.0])])])


def test_data_formats_have_images_steps_and_operations():
    shown = table({})
    (record,) = csv.DictReader(io.StringIO(FORMATS["csv"](shown)))
    assert [record[name] for name in ("images_seen", "steps", "fit_flops")] == ["60000", "469", "7100000000000"]
    (row,) = json.loads(FORMATS["json"](shown))[0]["rows"]
    assert (row["images_seen"], row["steps"], row["fit_flops"]) == (60_000, 469, 7_100_000_000_000)
    (unknown,) = json.loads(FORMATS["json"](make_tables([trial(evaluations=[evaluation([1.0, 2.0])])])))[0]["rows"]
    assert (unknown["images_seen"], unknown["steps"], unknown["fit_flops"]) == (None, None, None)


def test_the_page_has_them_as_columns(tmp_path):
    page = as_html(table({}), [tmp_path], tmp_path)
    for title, text in (("Images seen", "60 k"), ("Steps", "469"), ("Fit FLOPs", "7.1 T")):
        assert f">{title}" in page and f">{text}<" in page


@pytest.mark.parametrize(
    ("provenance", "beside"),
    [
        ({}, False),
        ({"trials_at_once": 1}, False),
        ({"trials_at_once": 2}, True),
        # What counts is the process that fitted, if another one evaluated.
        ({"trials_at_once": 2, "fit": {"trials_at_once": 1}}, False),
        ({"trials_at_once": 1, "fit": {"trials_at_once": 4}}, True),
        ({"trials_at_once": "many"}, False),
    ],
)
def test_times_measured_beside_other_trials_are_marked(provenance, beside, tmp_path):
    shown = table(provenance)
    pages = [as_html(shown, [tmp_path], tmp_path), *(FORMATS[name](shown) for name in ("table", "markdown"))]
    for page in pages:
        assert ("1 min 15 s ∥" in page) == beside
        assert ("∥ measured while other trials ran on the machine" in page) == beside
    (row,) = json.loads(FORMATS["json"](shown))[0]["rows"]
    assert row["beside"] is beside
