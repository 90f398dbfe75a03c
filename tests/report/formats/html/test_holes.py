from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from report_pages import Page, in_store, payload_of
from trials import evaluation, trial

from reprbench.measurement import Curve
from reprbench.report.formats.figures import panels_of
from reprbench.report.formats.html import as_html
from reprbench.report.table import make_tables
from reprbench.trial import Figure


def drawing(values: list[float], text: str):
    """Return an evaluation of a protocol with a curve and a figure."""
    file = f"figures/{text.replace('[', '-').strip(']')}.png"
    curve = Curve("accuracy", "labels", title="by labels")
    found = evaluation(values, text, curves=[curve], figures=[Figure("grid", file)])
    found.measurements = [replace(one, at={**one.at, "labels": 10}) for one in found.measurements]
    return found


ONE, OTHER = "linear-svm", "linear-svm[layers=all]"


def cut_short(root: Path):
    """Return the tables of a trial that did both protocols, and of one that ran out of time before the second."""
    both_protocols = {"protocols": [ONE, OTHER]}
    both = [drawing([81.0, 82.0], ONE), drawing([91.0, 92.0], OTHER)]
    first = [drawing([11.0, 12.0], ONE)]
    whole = trial("whole", evaluations=both, **both_protocols)
    cut = trial("cut", digest="b" * 64, evaluations=first, status="timeout", reason="60 s", **both_protocols)
    return make_tables(in_store(root, whole, cut))


def test_a_protocol_that_did_not_run_has_no_value_and_never_another_protocols(tmp_path):
    tables = cut_short(tmp_path)
    assert [str(table.protocol) for table in tables] == [ONE, OTHER]
    text = as_html(tables, [tmp_path], tmp_path)
    one, other = payload_of(text)["tables"]
    rows = {row["name"]: row for row in other["rows"]}
    assert (rows["whole"]["mean"], rows["whole"]["folds"]) == (91.5, [91.0, 92.0])
    assert (rows["cut"]["mean"], rows["cut"]["std"], rows["cut"]["folds"], rows["cut"]["text"]) == (None, None, [], "")
    assert next(row for row in one["rows"] if row["name"] == "cut")["folds"] == [11.0, 12.0]
    for table, names in ((one, ["whole", "cut"]), (other, ["whole"])):
        ((chart,),) = [table["curves"]]
        assert [table["rows"][line["row"]]["name"] for line in chart["lines"]] == names
    section = text.partition('id="table-2"')[2]
    assert "timeout: 60 s" in section
    assert "11.5" not in section.partition('id="payload"')[0]
    shown = [one["alt"] for one in Page(section).all("img")]
    assert shown == [f"{OTHER}, grid: whole"]


def test_a_png_has_no_line_for_a_protocol_that_did_not_run(tmp_path):
    one, other = cut_short(tmp_path)
    for table, names in ((one, ["whole", "cut"]), (other, ["whole"])):
        ((panel,),) = panels_of(table).values()
        assert [line.name for line in panel.lines] == names
