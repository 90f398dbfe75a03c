from __future__ import annotations

import base64
from io import BytesIO

import pytest
from PIL import Image
from report_pages import noise

from reprbench.report.formats.html.thumbnails import embedded


def test_small_figures_stay_unchanged_and_large_ones_shrink_to_fit(tmp_path):
    small, large = noise(tmp_path / "small.png", 40, 40), noise(tmp_path / "large.png", 1200, 800)
    budget = 120_000
    first, second = embedded([small, large], budget)
    assert base64.b64decode(first.partition(",")[2]) == small.read_bytes()
    assert second.startswith("data:image/webp;base64,")
    assert budget / 4 < len(first) + len(second) <= budget
    with Image.open(BytesIO(base64.b64decode(second.partition(",")[2]))) as image:
        assert image.width / image.height == pytest.approx(1.5, abs=0.01)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_figures_never_exceed_their_budget(tmp_path, count):
    paths = [noise(tmp_path / f"{number}.png", 300, 200, 8) for number in range(count)]
    uris = embedded(paths, 150_000)
    assert sum(map(len, uris)) <= 150_000
    assert uris[0]
    assert len(uris) == count


def test_a_missing_file_is_not_a_figure(tmp_path):
    assert embedded([tmp_path / "none.png"]) == [""]
    assert embedded([]) == []
