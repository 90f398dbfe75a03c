from __future__ import annotations

import re


def test_bytes_are_mebibytes_in_tables_and_charts_alike(text, payload):
    rows = [row for table in payload["tables"] for row in table["rows"] if row["costs"].get("memory")]
    assert {tuple(row["costs"]["memory"]) for row in rows} == {(2**27, "128 MB")}
    assert re.search(r'data-key="memory"[^>]*data-value="134217728">128 MB<', text)
    (memory,) = [one for one in payload["costs"] if one["key"] == "memory"]
    assert [2**20 * 100, "100 MB"] in memory["ticks"][0]


def test_ticks_of_costs_ascend_and_the_fine_ones_have_the_coarse(payload):
    for axis in payload["costs"]:
        coarse, fine = axis["ticks"]
        assert all(one == sorted(one) for one in (coarse, fine))
        assert {tuple(tick) for tick in coarse} <= {tuple(tick) for tick in fine}
