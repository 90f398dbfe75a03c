from __future__ import annotations

from pathlib import Path

import pytest

from reprbench.benchmark import benchmark_files, find_benchmark, load_benchmark
from reprbench.errors import UserError

GOOD = """
title: Mine
dataset: digits
budget: {epochs: 1}
methods: [{method: "ae[width=8]"}]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_a_file_is_named_by_its_stem(tmp_path):
    benchmark = load_benchmark(write(tmp_path, GOOD))
    assert benchmark.name == "mine"
    assert benchmark.methods[0].method.parameters == {"width": 8}


def test_all_mistakes_come_at_once(tmp_path):
    text = "title: Mine\ndataset: digits\nbudgt: {epochs: 1}\nmethods: [{method: 'ae['}]\nseeds: [-1]\nlimit: zero\n"
    with pytest.raises(UserError) as caught:
        load_benchmark(write(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert any("unknown 'budgt'. Did you mean 'budget'?" in line for line in lines)
    assert any("budget" in line and "required" in line for line in lines)
    assert any("unbalanced brackets" in line or "cannot read" in line for line in lines)
    assert any(line.startswith("benchmark") and "seeds.0" in line for line in lines)
    assert any("limit" in line and "'zero'" in line for line in lines)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1", "\x00", "just words"])
def test_what_is_no_benchmark_is_a_user_error(tmp_path, text):
    with pytest.raises(UserError, match=r"mine\.yaml"):
        load_benchmark(write(tmp_path, text))


def test_a_missing_file_and_an_unknown_name(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        find_benchmark(str(tmp_path / "no.yaml"))
    with pytest.raises(UserError, match="Did you mean 'quick'"):
        find_benchmark("quik")


@pytest.mark.parametrize("name", sorted(benchmark_files()))
def test_the_benchmarks_of_reprbench_are_valid(name):
    assert find_benchmark(name).name == name


def test_table1_carries_the_papers_values():
    # Table 1 of the AME-AE paper, typed in here a second time.
    published = {
        "ae": (49.5, 0.7), "dae": (49.7, 0.4), "sparse-ae": (53.8, 0.6), "ameae": (58.1, 0.6),
        "sparse-ameae": (58.2, 0.8), "denoising-ameae": (60.7, 0.7), "supervised": (52.2, 1.6),
        "kmeans": (51.5, 1.7), "rica": (52.9, None), "sparse-filtering": (53.5, 0.5), "sc": (59.0, 0.8),
        "dlif": (61.0, None), "epls": (61.0, 0.6), "dcgan": (63.8, 0.5),
    }  # fmt: skip
    rows = {row.method.name: row.reference for row in find_benchmark("table1-stl10").methods if row.reference}
    assert {name: (row.value, row.spread) for name, row in rows.items()} == published
