from __future__ import annotations

from report_pages import Page, write_page, write_store

from reprbench.report.formats.html import as_html
from reprbench.report.table import make_tables


def test_figures_are_embedded_and_link_to_the_full_size_ones(tmp_path):
    page = Page(write_page(tmp_path).read_text())
    assert len(page.all("img")) == 9
    assert all(one["src"].startswith("data:image/png;base64,") and one["alt"] for one in page.all("img"))
    links = [one["href"] for one in page.all("a") if "data-figure" in one]
    assert len(links) == 9
    assert all((tmp_path / link).is_file() for link in links)


def test_what_is_not_a_picture_becomes_a_link(tmp_path):
    trials = write_store(tmp_path)
    for path in (tmp_path / "results").rglob("*confusion.png"):
        path.write_bytes(b"<svg onload=alert(1)>")
    text = as_html(make_tables(trials), [tmp_path / "results"], tmp_path)
    assert len(Page(text).all("img")) == 6
    assert "3 figures are linked but not shown" in text
