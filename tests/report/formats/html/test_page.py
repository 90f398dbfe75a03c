from __future__ import annotations

import base64
import hashlib
import re

from report_pages import HOSTILE, Page, write_store
from trials import evaluation, fits, method, trial

from reprbench.benchmark import Reference
from reprbench.report.formats.html import as_html
from reprbench.report.formats.html.page import MOST_ROWS
from reprbench.report.formats.html.payload import DETAILS_BUDGET
from reprbench.report.table import make_tables

LARGEST_PAGE = 5_000_000


def test_the_page_links_only_to_itself_and_the_store(page):
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action"):
            address = attributes.get(name) or ""
            assert ":" not in address or address.startswith("data:"), (tag, address)
        assert not {name for name in attributes if name.startswith("on") or name == "style"}


def test_the_policy_allows_only_this_script_and_this_style(page, text):
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


def test_verdicts_are_shown_and_counted(page):
    cells = [one for one in page.all("td") if one.get("data-key") == "verdict" and "data-value" in one]
    assert [one["data-value"] for one in cells] == ["one seed"]
    assert "one seed: 1" in page.texts["span"]


def test_the_seeds_of_a_method_count_as_one_verdict(tmp_path):
    reference = Reference(value=50.0, spread=1.0, citation="A paper")
    seeds = fits(trial("a", evaluations=[evaluation([50.0, 50.1, 49.9])], reference=reference), 0.0, 0.001, -0.001)
    page = Page(as_html(make_tables(seeds), [tmp_path], tmp_path))
    cells = [one for one in page.all("td") if one.get("data-key") == "verdict"]
    assert [one["data-value"] for one in cells] == ["reproduced"] * 3
    assert "reproduced: 1" in page.texts["span"]
    assert any(text.startswith("all rows: measured minus published +0.0, 95 % interval") for text in page.texts["li"])


def test_a_large_store_is_cut_to_size_and_the_page_says_so(tmp_path):
    many = [
        trial(f"m{number:04}", digest=f"{number:064x}"[::-1], evaluations=[evaluation([number / 50.0, 1.0])],
              method=method(parameters={"text": f"{number}" * 200}))
        for number in range(MOST_ROWS + 200)
    ]  # fmt: skip
    holes = [trial(f"h{number}", digest=f"{number:064x}", status="failed", reason="x") for number in range(300)]
    text = as_html(make_tables([*many, *holes]), [tmp_path], tmp_path)
    page = Page(text)
    rows = [one for one in page.all("tr") if "data-row" in one]
    assert len(rows) == MOST_ROWS
    assert sum("hole" in (one.get("class") or "") for one in rows) == MOST_ROWS // 4
    assert "the last 500 of 1500 rows are left out" in text
    assert re.search(r"The details of \d+ of the trials are left out", text)
    assert DETAILS_BUDGET / 2 < len(text.encode()) < LARGEST_PAGE


def test_the_command_writes_a_page_whose_links_lead_into_the_store(tmp_path, here):
    write_store(tmp_path)
    done = here("report", "results", "--format", "html", "-o", "pages/report.html")
    assert done.returncode == 0, done.stderr
    page = Page((tmp_path / "pages/report.html").read_text(encoding="utf-8"))
    links = [one["href"] for one in page.all("a") if "data-figure" in one]
    assert links
    assert all((tmp_path / "pages" / link).is_file() for link in links)


def test_a_page_has_no_pivots(tmp_path, here):
    write_store(tmp_path)
    done = here("report", "results", "--format", "html", "--pivot", "accuracy")
    assert done.returncode == 2
    assert "HTML page has no pivots" in done.stderr
