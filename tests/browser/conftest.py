"""A real browser: Debian's chromium, driven by playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_pages import write_page

OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 120_000
"""Milliseconds to wait for a busy machine; nothing here measures time."""
MISSING = "no browser: install Debian's package `chromium` (apt-get install -y chromium)"


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """The browser; a missing one is a failure where it is required."""
    found = shutil.which("chromium")
    if found is None:
        if os.environ.get("CI") or os.environ.get("REPRBENCH_BROWSER") == "1":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=OPTIONS, timeout=PATIENCE)
        yield started
        started.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> Path:
    """The page of a store with everything that a page can show."""
    return write_page(tmp_path_factory.mktemp("report"))


@pytest.fixture
def open_page(browser, report):
    """Open the report as a person would; the test fails on messages in the console and on requests of any kind."""
    pages, messages, requests, addresses = [], [], [], []

    def opened(width: int = 1200, height: int = 900, path: Path = report, **context):
        page = browser.new_page(viewport={"width": width, "height": height}, **context)
        pages.append(page)
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        addresses.append(path.as_uri())
        return page

    yield opened
    for page in pages:
        page.close()
    assert messages == []
    assert [url for url in requests if not url.startswith("data:") and url not in addresses] == []
