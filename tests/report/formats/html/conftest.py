from __future__ import annotations

import pytest
from report_pages import Page, payload_of, write_page


@pytest.fixture(scope="session")
def text(tmp_path_factory) -> str:
    return write_page(tmp_path_factory.mktemp("page")).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(text) -> Page:
    return Page(text)


@pytest.fixture(scope="session")
def payload(text) -> dict:
    return payload_of(text)
