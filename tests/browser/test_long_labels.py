"""Forty rows with long labels, under two headings, on a phone and on a desktop."""

from __future__ import annotations

from itertools import product

import pytest
from trials import evaluation, trial

from reprbench.report.formats.html import as_html
from reprbench.report.table import make_tables
from reprbench.trial import Cost

GRID = list(product(["ameae", "denoising-ameae"], [0.001, 0.01, 0.1, 1, 10], ["1e-4", "3e-4", "1e-3", "3e-3"]))


@pytest.fixture(scope="session")
def long_labels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("long")
    rows = [
        trial(
            f"{method}[discriminator=spectral,lambda_dis={weight},lr={rate},noise=0.25,width=64]",
            digest=f"{place + 1:064x}"[::-1],
            group="Denoising" if place >= 20 else "Plain",
            evaluations=[evaluation([float(50 + place), 51.0 + place])],
            cost=Cost(parameters=10**6 - place, fit_seconds=60.0 + place, images_seen=10, steps=9, fit_flops=8,
                      peak_memory=2**30, peak_device_memory=2**31),
        )
        for place, (method, weight, rate) in enumerate(GRID)
    ]  # fmt: skip
    path = folder / "report.html"
    path.write_text(as_html(make_tables(rows), [folder], folder), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [390, 1500])
def test_the_table_scrolls_and_the_page_does_not(open_page, long_labels, width):
    page = open_page(width=width, path=long_labels)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    seen, whole = page.evaluate(
        "(({clientWidth, scrollWidth}) => [clientWidth, scrollWidth])(document.querySelector('.scroll'))"
    )
    assert whole > seen
    # Beside the name there is room for the first result.
    assert page.evaluate("document.querySelector('td[data-key=result-0]').getBoundingClientRect().right") < width
    page.evaluate("document.querySelector('.scroll').scrollLeft = 10000")
    name, last = (page.locator(f"tbody tr[data-row='0'] {one}").bounding_box() for one in ("th", "td:last-child"))
    assert last["x"] + last["width"] <= width
    assert (name["x"] >= 0) == (width == 1500)


@pytest.mark.parametrize("width", [390, 1500])
def test_labels_of_the_chart_keep_what_tells_rows_apart(open_page, long_labels, width):
    page = open_page(width=width, path=long_labels)
    labels = page.locator(".dots .name").all_text_contents()
    assert len(labels) == len(set(labels)) == 40
    values = {f"{weight} {rate}" for _, weight, rate in GRID}
    assert {" ".join(label.split()[1:]) for label in labels} == values
    # What all rows share is left out.
    assert not [label for label in labels if "width" in label or "spectral" in label]
    left = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.dots .name')].map((one) => one.getBoundingClientRect().left))"
    )
    assert left >= 0


def test_rows_are_sorted_and_filtered_below_their_headings(open_page, long_labels):
    page = open_page(path=long_labels)
    shown = """
        [...document.querySelectorAll("tbody tr")].filter((one) => !one.hidden)
            .map((one) => one.dataset.row ?? one.textContent.trim())
    """
    best_first = ["Denoising", *map(str, range(20)), "Plain", *map(str, range(20, 40))]
    assert page.evaluate(shown) == best_first
    sorter = page.locator("thead th[data-key=result-0]").get_by_role("button")
    sorter.click()
    sorter.click()
    assert page.evaluate(shown) == ["Denoising", *map(str, range(19, -1, -1)), "Plain", *map(str, range(39, 19, -1))]
    page.locator("[data-role=filter]").fill("plain lr=1e-4")
    assert page.evaluate(shown)[0] == "Plain"
    assert len(page.evaluate(shown)) == 6
    assert page.locator("[data-role=count]").inner_text() == "5 of 40 rows"
    assert page.locator(".dots").count() == 5
