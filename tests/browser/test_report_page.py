from __future__ import annotations

from importlib.resources import files

import pytest
from report_pages import HOSTILE

AXE = files("axe_playwright_python") / "axe.min.js"

TOO_WIDE = """
    [...document.querySelectorAll("body *")]
        .filter((one) => !one.closest(".scroll, .unseen, .skip, dialog:not([open])"))
        .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
        .map((one) => one.outerHTML.slice(0, 120))
"""


def names(page, table=2):
    return page.locator(f"#table-{table} tbody tr:visible .name").all_inner_texts()


def violations(page):
    # Evaluated through the debugger, since the page's own policy allows no other script.
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"]], one["help"]) for one in found]


def test_a_click_on_a_heading_sorts_by_full_numbers_and_holes_stay_last(open_page):
    page = open_page()
    assert names(page) == ["beta", "alpha", HOSTILE, "broken"]
    fit = page.locator("#table-2 thead th[data-key=fit]")
    fit.get_by_role("button").click()
    assert fit.get_attribute("aria-sort") == "descending"
    assert names(page) == ["beta", "alpha", HOSTILE, "broken"]
    fit.get_by_role("button").click()
    assert fit.get_attribute("aria-sort") == "ascending"
    # 12.5 s, 1 h, 0.2 s: neither the texts' order nor the table's.
    assert names(page) == [HOSTILE, "alpha", "beta", "broken"]
    assert page.locator("#table-2 [aria-sort]").count() == 1


def test_the_keyboard_sorts_too(open_page):
    page = open_page()
    head = page.locator("#table-2 thead th[data-key=name]")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert names(page) == [HOSTILE, "alpha", "beta", "broken"]
    page.keyboard.press("Space")
    assert names(page) == ["broken", "beta", "alpha", HOSTILE]


def test_a_filter_leaves_the_rows_with_all_of_its_words(open_page):
    page = open_page()
    page.locator("#table-2 [data-role=filter]").fill("ALPHA")
    assert names(page) == ["alpha"]
    assert page.locator("#table-2 [data-role=count]").inner_text() == "1 of 4 rows"
    assert page.locator("#table-2 .chart").first.locator(".point").count() == 1
    assert page.locator("#table-2 .pictures figure:visible").count() == 1
    page.locator("#table-2 [data-role=filter]").fill("")
    assert len(names(page)) == 4
    assert len(names(page, table=1)) == 4


def test_rows_and_columns_are_hidden_and_shown_again(open_page):
    page = open_page()
    page.get_by_role("button", name="Hide alpha").nth(1).focus()
    page.keyboard.press("Enter")
    assert names(page) == ["beta", HOSTILE, "broken"]
    page.locator("#table-2").get_by_role("button", name="Show 1 hidden row").click()
    assert names(page) == ["beta", "alpha", HOSTILE, "broken"]
    page.locator("#table-2 summary", has_text="Columns").click()
    page.locator("#table-2").get_by_role("checkbox", name="Parameters").uncheck()
    assert page.locator("#table-2 [data-key=parameters]:visible").count() == 0
    assert page.locator("#table-2 [data-key=fit]:visible").count() == 5
    page.keyboard.press("Escape")
    assert not page.locator("#table-2 .menu fieldset").is_visible()


def test_the_details_of_a_row_open_and_close_by_keyboard(open_page):
    page = open_page()
    opener = page.locator("#table-2 button.name", has_text="alpha")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert dialog.is_visible()
    text = dialog.inner_text()
    for part in ("alpha", "History of the fit", "width", "71.25 ± 0.736 %", "Provenance", "trial.json"):
        assert part in text, part
    assert dialog.locator("img").count() == 3
    dialog.get_by_label("Column").select_option("accuracy")
    assert dialog.locator(".plot .point").count() == 2
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert opener.evaluate("element => element === document.activeElement")


def test_a_failure_shows_its_reason_and_its_traceback_as_text(open_page):
    page = open_page()
    page.locator("#table-2 button.name", has_text="broken").click()
    dialog = page.get_by_role("dialog")
    assert "failed: the loss is nan" in dialog.inner_text()
    assert dialog.locator("pre").inner_text() == "Traceback:\n  <b>line</b>"


def test_a_method_named_like_a_script_is_text_everywhere(open_page):
    page = open_page()
    assert HOSTILE in names(page)
    labels = page.locator("#table-2 .point").evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert any(label.startswith(HOSTILE) for label in labels)
    page.locator("#table-2 button.name", has_text=HOSTILE).click()
    assert page.get_by_role("dialog").get_by_role("heading", level=2).inner_text() == HOSTILE
    assert page.locator("script").count() == 2


def test_arrow_keys_walk_through_the_points_of_a_chart(open_page):
    page = open_page()
    chart = page.locator("#table-2 .chart").first
    assert chart.locator(".point[tabindex='0']").count() == 1
    chart.locator(".point").first.focus()
    assert "beta: 81.6 ± 0.5 %, fit time 1 h 00 min" in chart.locator(".tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert chart.locator(".tip").inner_text().startswith("alpha: 71.2 ± 0.7 %")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert chart.locator(".tip").inner_text().startswith(HOSTILE)
    chart.get_by_label("Cost").select_option("parameters")
    assert "parameters 1.2 M" in chart.locator(".point").first.get_attribute("aria-label")


def test_axes_of_costs_have_the_texts_of_the_table(open_page):
    page = open_page()
    chart = page.locator("#table-2 .chart").first
    ticks = chart.locator(".axes text[text-anchor=middle]:not(.label)")
    assert {"1 s", "1 min", "1 h"} <= set(ticks.all_text_contents())
    chart.get_by_label("Cost").select_option("memory")
    assert "peak memory 128 MB" in chart.locator(".point").first.get_attribute("aria-label")
    assert ticks.all_text_contents() == ["70 MB", "100 MB", "150 MB", "200 MB"]


def test_a_legend_takes_lines_away_and_brings_them_back(open_page):
    page = open_page()
    chart = page.locator("#table-1 .chart", has=page.locator(".legend"))
    assert chart.locator(".plot .line").count() == 3
    assert chart.locator(".point").count() == 9
    entry = chart.get_by_role("button", name="beta")
    entry.focus()
    page.keyboard.press("Enter")
    assert chart.locator(".plot .line").count() == 2
    assert chart.get_by_role("button", name="beta").get_attribute("aria-pressed") == "false"
    page.keyboard.press("Enter")
    assert chart.locator(".plot .line").count() == 3
    chart.get_by_label("Curve").select_option(label="by fold")
    assert chart.get_by_text("fold", exact=True).count() == 1


def test_figures_of_one_name_stand_side_by_side(open_page):
    page = open_page()
    gallery = page.locator("#table-1 .gallery")
    assert gallery.locator("img:visible").count() == 3
    assert "curve" in gallery.locator("img:visible").first.get_attribute("alt")
    gallery.get_by_label("Figure").select_option("grid")
    assert gallery.locator("img:visible").count() == 3
    assert "grid" in gallery.locator("img:visible").first.get_attribute("alt")
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_colors_follow_the_system_and_the_buttons(open_page):
    page = open_page(color_scheme="dark")

    def background():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = background()
    page.get_by_role("button", name="Light").click()
    light = background()
    assert light != dark
    assert page.get_by_role("button", name="Light").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Auto").click()
    assert background() == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page, scheme):
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    assert violations(page) == []
    page.locator("#table-2 summary", has_text="Columns").click()
    page.locator("#table-2 .point").first.focus()
    assert violations(page) == []
    for name in ("alpha", "broken"):
        page.locator("#table-2 button.name", has_text=name).click()
        assert violations(page) == []
        page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [360, 768])
def test_only_tables_in_their_boxes_are_wider_than_a_phone(open_page, width):
    page = open_page(width=width, height=740)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.wait_for_timeout(100)
    assert page.evaluate(TOO_WIDE) == []
    page.locator("#table-2 button.name", has_text="broken").click()
    dialog = page.get_by_role("dialog")
    assert dialog.evaluate("element => element.scrollWidth <= element.clientWidth && element.clientWidth <= innerWidth")


def test_on_paper_there_are_no_controls_and_the_background_is_white(open_page):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in (".tools", ".theme", ".controls", ".hider"):
        assert page.locator(f"main {hidden}:visible, header {hidden}:visible").count() == 0
    assert page.locator("#table-1 .figures:visible").count() == 2
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_motion_nothing_moves(open_page):
    page = open_page(reduced_motion="reduce")
    page.locator("#table-2 button.name").first.click()
    assert page.evaluate("document.getAnimations().length") == 0
