from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image
from report_pages import HISTORY, HOSTILE, write_page, write_store
from trials import evaluation, trial

from reprbench.report.formats.html import as_html
from reprbench.report.formats.html.curves import curve_points, curve_title, summaries
from reprbench.report.formats.html.details import MOST_MEASUREMENTS, describe, read_history
from reprbench.report.formats.html.payload import DETAILS_BUDGET, MOST_ROWS, Files
from reprbench.report.formats.html.thumbnails import embedded
from reprbench.report.table import make_tables
from reprbench.trial import Curve, Measurement

LARGEST_PAGE = 5_000_000


class Page(HTMLParser):
    """The elements of a page, and the text of those whose content is asked for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data):
        self.texts.setdefault(self._open, []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    return write_page(tmp_path_factory.mktemp("page")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(text) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def payload(text) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_names_no_address_outside_of_itself_and_the_store(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action"):
            address = attributes.get(name) or ""
            assert ":" not in address or address.startswith("data:"), (tag, address)
        assert not {name for name in attributes if name.startswith("on") or name == "style"}


def test_the_policy_allows_this_program_and_this_style_alone(page, text):
    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    style = text.partition("<style>")[2].partition("</style>")[0]
    for kind, content in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy


def test_a_name_is_never_markup(text, page):
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert len(page.all("script")) == 2
    assert "<b>line</b>" not in text


def test_cells_are_rounded_and_sorted_by_the_whole_number(page):
    cells = [one for one in page.all("td") if one.get("data-key") == "result"]
    values = [float(one["data-value"]) for one in cells if "data-value" in one]
    assert np.mean([70.25, 71.5, 72.0]) in values
    assert any("71.2 ± 0.7" in text for text in page.texts["td"])


def test_holes_marks_and_footnotes_stand_in_the_table(text, page):
    assert page.texts["span"].count("failed") == 2
    assert {"†", "‡"} <= set(page.texts["abbr"])
    for note in ("failed: the loss is nan", "limit 100", "C at the edge of its grid", "A. Author, 2020"):
        assert any(note in line for line in page.texts["li"]), note
    targets = {one["id"] for _, one in page.elements if "id" in one}
    assert all(one["href"][1:] in targets for one in page.all("a") if one["href"].startswith("#"))


def test_a_best_row_is_bold_and_a_verdict_stands_beside_its_reference(tmp_path):
    rows = [
        trial("good", evaluations=[evaluation([80.0, 80.1, 80.2, 79.9])]),
        trial("bad", digest="b" * 64, evaluations=[evaluation([10.0, 10.1, 10.2, 9.9])]),
    ]
    found = Page(as_html(make_tables(rows), rows, [tmp_path], tmp_path))
    (best,) = [one for one in found.all("td") if "best" in (one.get("class") or "").split()]
    assert float(best["data-value"]) == pytest.approx(80.05)
    assert any(line.startswith("Bold: better than every other row") for line in found.texts["li"])


def test_verdicts_are_shown_and_summed_up(page):
    cells = [one for one in page.all("td") if one.get("data-key") == "verdict" and "data-value" in one]
    assert [one["data-value"].partition(" ")[0] for one in cells] == ["reproduced"]
    assert "1 reproduced" in page.texts["span"]


def test_the_data_of_the_charts_is_unrounded(payload):
    few, svm = payload["tables"]
    alpha = next(row for row in svm["rows"] if row["name"] == "alpha")
    assert alpha["folds"] == [70.25, 71.5, 72.0]
    assert alpha["mean"] == np.mean(alpha["folds"])
    assert (alpha["fit"], alpha["parameters"], alpha["reference"]) == (12.5, 50_960, 71.0)
    curve = next(one for one in few["curves"] if one["title"] == "Accuracy (%)")
    assert (curve["x_label"], curve["y_label"], curve["log"]) == ("labeled images a class", "accuracy (%)", True)
    line = next(line for line in curve["lines"] if few["rows"][line["row"]]["name"] == "alpha")
    expected = [[x, np.mean(alpha["folds"]) - 20 / x, np.std(alpha["folds"])] for x in (1, 10, 100)]
    np.testing.assert_allclose(line["points"], expected)


def test_behind_each_row_stands_all_that_is_known_of_its_trial(payload):
    details = payload["details"]
    assert set(details) == {trial for table in payload["tables"] for row in table["rows"] for trial in row["trials"]}
    broken = next(one for one in details.values() if one["status"] == "failed")
    assert (broken["reason"], broken["traceback"]) == ("the loss is nan", "Traceback:\n  <b>line</b>")
    assert broken["notes"] == ["deviation: limit 100"]
    assert broken["history"] is None
    alpha = next(one for one in details.values() if one["title"] == "alpha, seed 0")
    sections = {
        payload["sections"][place]["heading"]: payload["sections"][place]["lines"] for place in alpha["sections"]
    }
    assert ["width", "64"] in sections["Parameters"]
    assert ["fit", "12.5 s"] in sections["Cost"]
    assert ["machine · cores", "2"] in sections["Provenance"]
    assert alpha["history"]["columns"]["accuracy"] == [None, 0.6, 0.7]
    assert ["linear-svm", "accuracy", "71.25 ± 0.736 %", "3 folds"] in alpha["measurements"]
    assert len(alpha["figures"]) == 3


def test_figures_are_embedded_and_lead_to_the_whole_ones(tmp_path):
    page = Page(write_page(tmp_path).read_text())
    assert len(page.all("img")) == 9
    assert all(one["src"].startswith("data:image/png;base64,") and one["alt"] for one in page.all("img"))
    links = [one["href"] for one in page.all("a") if "data-figure" in one]
    assert len(links) == 9
    assert all((tmp_path / link).is_file() for link in links)


def test_what_no_picture_is_becomes_a_link(tmp_path):
    trials = write_store(tmp_path)
    for path in (tmp_path / "results").rglob("*confusion.png"):
        path.write_bytes(b"<svg onload=alert(1)>")
    text = as_html(make_tables(trials), trials, [tmp_path / "results"], tmp_path)
    assert len(Page(text).all("img")) == 6
    assert "3 figures are linked and not shown" in text


def noise(path: Path, width: int, height: int, strength: float = 90) -> Path:
    Image.effect_noise((width, height), strength).convert("RGB").save(path)
    return path


def test_small_figures_stay_as_they_are_and_large_ones_shrink_into_what_is_left(tmp_path):
    small, large = noise(tmp_path / "small.png", 40, 40), noise(tmp_path / "large.png", 1200, 800)
    budget = 120_000
    first, second = embedded([small, large], budget)
    assert base64.b64decode(first.partition(",")[2]) == small.read_bytes()
    assert second.startswith("data:image/webp;base64,")
    assert budget / 4 < len(first) + len(second) <= budget
    with Image.open(BytesIO(base64.b64decode(second.partition(",")[2]))) as image:
        assert image.width / image.height == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_figures_never_pass_their_budget(tmp_path, count):
    paths = [noise(tmp_path / f"{number}.png", 300, 200, 8) for number in range(count)]
    uris = embedded(paths, 150_000)
    assert sum(map(len, uris)) <= 150_000
    assert uris[0]
    assert len(uris) == count


def test_a_missing_file_is_no_figure(tmp_path):
    assert embedded([tmp_path / "none.png"]) == [""]
    assert embedded([]) == []


def test_a_curve_is_mean_and_spread_over_folds_and_seeds():
    def one(shift):
        measurements = [
            Measurement(metric="a", value=fold + x + shift, unit="", at={"fold": fold, "x": x, "k": k})
            for fold in range(3) for x in (2.0, 0.5) for k in ("in", "out")
        ]  # fmt: skip
        return replace(evaluation([]), measurements=measurements)

    curve = Curve(metric="a", x="x", at={"k": "in"})
    values = np.array([0, 1, 2, 10, 11, 12])
    points = curve_points([one(0), one(10)], curve)
    np.testing.assert_allclose(points, [[x, values.mean() + x, values.std()] for x in (0.5, 2.0)])
    assert curve_title(curve) == "a: in"
    assert curve_points([one(0)], Curve(metric="a", x="k")) == []


def test_measurements_are_summed_up_over_folds_alone():
    measurements = [
        Measurement(metric="m", value=value, unit="dB", better="higher", at={"fold": fold, "level": level})
        for level in (0.1, 0.2) for fold, value in enumerate((1.0, 3.0))
    ]  # fmt: skip
    found = summaries(replace(evaluation([]), measurements=measurements))
    assert found == [("m", "level 0.1", 2.0, 1.0, 2, "dB"), ("m", "level 0.2", 2.0, 1.0, 2, "dB")]


def test_a_history_is_thinned_from_its_end(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("step,loss,note\n" + "".join(f"{step},{1 / step},x\n" for step in range(1, 1001)))
    history = read_history(path, most=100)
    assert history.every == 10
    assert history.columns["step"] == [float(step) for step in range(10, 1001, 10)]
    assert set(history.columns) == {"step", "loss"}


@pytest.mark.parametrize("content", [None, "", "\n", "step,loss\n", "a,b\nx,y\n", "step\nnan\n", b"\xff\xfe,1\n"])
def test_a_history_that_says_nothing_is_left_out(tmp_path, content):
    path = tmp_path / "history.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert read_history(path) is None


def test_a_history_is_read_as_it_was_written(tmp_path):
    (tmp_path / "history.csv").write_text(HISTORY)
    assert read_history(tmp_path / "history.csv").columns["loss"] == [0.9, 0.5, 0.4]


def test_the_measurements_of_a_trial_are_capped_and_counted(tmp_path):
    many = evaluation([1.0])
    many.measurements = [replace(many.measurements[0], at={"layer": n}) for n in range(MOST_MEASUREMENTS + 5)]
    detail = describe(trial(evaluations=[many]), tmp_path, [])
    assert (len(detail.measurements), detail.left_out) == (MOST_MEASUREMENTS, 5)


def test_a_link_is_relative_and_escaped(tmp_path):
    files = Files([], [tmp_path / "my results?"], tmp_path / "pages")
    assert files.link("a/b/0-1", "x#1.png") == "../my%20results%3F/a/b/0-1/x%231.png"


def test_a_large_store_is_cut_to_size_and_the_page_says_so(tmp_path):
    many = [
        trial(f"m{number:04}", digest=f"{number:064x}"[::-1], evaluations=[evaluation([number / 50.0, 1.0])],
              method=replace(trial().method, parameters={"text": f"{number}" * 200}))
        for number in range(MOST_ROWS + 200)
    ]  # fmt: skip
    holes = [trial(f"h{number}", digest=f"{number:064x}", status="failed", reason="x") for number in range(300)]
    text = as_html(make_tables([*many, *holes]), [*many, *holes], [tmp_path], tmp_path)
    page = Page(text)
    rows = [one for one in page.all("tr") if "data-row" in one]
    assert len(rows) == MOST_ROWS
    assert sum("hole" in (one.get("class") or "") for one in rows) == MOST_ROWS // 4
    assert "the last 500 of 1500 rows are left out" in text
    assert re.search(r"What stands behind \d+ of the trials is left out", text)
    assert DETAILS_BUDGET / 2 < len(text.encode()) < LARGEST_PAGE


def test_seeds_together_are_one_row_with_all_their_trials(tmp_path):
    seeds = [trial(seed=seed, digest=f"{seed}" * 64, evaluations=[evaluation([1.0 + seed, 2.0])]) for seed in range(3)]
    text = as_html(make_tables(seeds, seeds="together"), seeds, [tmp_path], tmp_path)
    found = json.loads(re.search(r'id="payload">(.*?)</script>', text)[1])
    assert [len(row["trials"]) for row in found["tables"][0]["rows"]] == [3]
    assert len(found["details"]) == 3


def test_charts_name_the_seeds_where_the_table_does(tmp_path):
    seeds = [trial(seed=seed, digest=f"{seed}" * 64, evaluations=[evaluation([1.0 + seed, 2.0])]) for seed in range(2)]
    for trials, names in ((seeds[:1], ["ae"]), (seeds, ["ae (seed 1)", "ae (seed 0)"])):
        found = re.search(r'id="payload">(.*?)</script>', as_html(make_tables(trials), trials, [tmp_path], tmp_path))
        assert [row["name"] for row in json.loads(found[1])["tables"][0]["rows"]] == names


def test_the_command_writes_a_page_whose_links_lead_into_the_store(tmp_path, cli):
    write_store(tmp_path)
    done = cli("report", "results", "--format", "html", "-o", "pages/report.html")
    assert done.returncode == 0, done.stderr
    page = Page((tmp_path / "pages/report.html").read_text(encoding="utf-8"))
    links = [one["href"] for one in page.all("a") if "data-figure" in one]
    assert links
    assert all((tmp_path / "pages" / link).is_file() for link in links)


def test_a_page_has_no_pivots(tmp_path, cli):
    write_store(tmp_path)
    done = cli("report", "results", "--format", "html", "--pivot", "accuracy")
    assert done.returncode == 2
    assert "HTML page has no pivots" in done.stderr
