from __future__ import annotations

from pathlib import Path

import pytest

from reprbench.benchmark import benchmark_files, find_benchmark, load_benchmark
from reprbench.errors import UserError
from reprbench.limit import Limit
from reprbench.spec import parse_call

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


def test_a_limit_is_a_number_or_one_for_some_splits(tmp_path):
    assert load_benchmark(write(tmp_path, GOOD)).limit is None
    for text, limit in (("100", Limit.each(100)), ("{unlabeled: 10000, test: 50}", Limit(unlabeled=10000, test=50))):
        assert load_benchmark(write(tmp_path, f"{GOOD}limit: {text}\n")).limit == limit


def test_all_mistakes_come_at_once(tmp_path):
    text = "title: Mine\ndataset: digits\nbudgt: {epochs: 1}\nmethods: [{method: 'ae['}]\nseeds: [-1]\nlimit: zero\n"
    with pytest.raises(UserError) as caught:
        load_benchmark(write(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert any("unknown 'budgt'. Did you mean 'budget'?" in line for line in lines)
    assert any("budget" in line and "must be given" in line for line in lines)
    assert any("unbalanced brackets" in line or "cannot read" in line for line in lines)
    assert any(line.startswith("benchmark") and "seeds.0" in line for line in lines)
    assert any("limit" in line and "'zero'" in line for line in lines)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("seeds: [true]", "seeds.0: .* not True"),
        ("seeds: ['1']", "seeds.0: .* not '1'"),
        ("seeds: [1.0]", "seeds.0: .* not 1.0"),
        (f"seeds: [{2**63}]", "seeds.0: Input should be less than"),
        ("seeds: []", "seeds: .*at least 1 item"),
        ("limit: true", "limit: .* not True"),
        ("limit: 0", "limit: expected a whole number from 1, or such numbers by split, .*, not 0"),
        ("limit: {}", "limit: expected a whole number from 1"),
        ("limit: {unlabelled: 10}", "unknown 'limit.unlabelled'. Did you mean 'unlabeled'?"),
        ("limit: {train: 0}", "limit.train: Input should be greater than 0"),
        ("protocols: []", "protocols: .*at least 1 item"),
        ("protocols: linear-svm", "protocols: Input should be a list, not 'linear-svm'"),
        ("protocols: [3]", r"protocols.0: expected name, .*, not 3"),
        ("protocols: [{name: knn, parameters: {k: .inf}}]", "protocols.0.parameters: k: expected a finite number"),
        ("name: ../../../evil", "name: '../../../evil' is not a valid name"),
        ("name: /tmp/x", "name: '/tmp/x' is not a valid name"),
        ("name: ''", "name: '' is not a valid name"),
        ("name: .", "name: '.' is not a valid name"),
        ("name: a/b", "name: 'a/b' is not a valid name"),
        ("name: 3", "name: .*valid string, not 3; put quotes around it"),
        ("dataset: digits", "line 6: 'dataset' is given twice"),
        ("limit: 2026-01-02", "line 6: '2026-01-02' has the type 'timestamp'"),
    ],
)
def test_what_a_benchmark_may_not_say(tmp_path, line, reason):
    with pytest.raises(UserError, match=reason) as caught:
        load_benchmark(write(tmp_path, GOOD + line + "\n"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("protocols: []", r"methods.0.protocols: .*at least 1 item"),
        ("budget: {epochs: true}", r"methods.0.budget.epochs: .*not True"),
        ("budget: {epochs: '3'}", r"methods.0.budget.epochs: .*not '3'"),
        ("reference: {value: true, citation: x}", r"reference.value: .*not True"),
        ("reference: {value: .nan, citation: x}", r"reference.value: .*finite"),
        ("reference: {value: 1e200, citation: x}", r"reference.value: .*less than or equal"),
        ("reference: {value: 1, spread: -1, citation: x}", r"reference.spread: .*greater than or equal to 0, not -1"),
        ("reference: {value: 1, tolerance: -1, citation: x}", r"reference.tolerance: .*greater than or equal to 0"),
        ("lable: x", r"unknown 'methods.0.lable'. Did you mean 'label'\?"),
    ],
)
def test_what_a_row_may_not_say(tmp_path, row, reason):
    text = f"title: t\ndataset: digits\nbudget: {{epochs: 1}}\nmethods:\n  - method: ae\n    {row}\n"
    with pytest.raises(UserError, match=reason) as caught:
        load_benchmark(write(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 1


def test_two_rows_of_one_name_are_a_mistake_among_the_others(tmp_path):
    text = """
title: t
title: u
dataset: digits
budget: {epochs: 1}
seeds: [x]
methods: [{method: ae}, {method: dae, label: ae}, {method: "pca[a=1,b=2]"}, {method: " pca[ a = 1, b=2]"}, {lable: x}]
"""
    with pytest.raises(UserError) as caught:
        load_benchmark(write(tmp_path, text))
    lines = str(caught.value).splitlines()
    assert any("2 rows are called 'ae'; give each a label" in line for line in lines)
    assert any("2 rows are called 'pca[a=1,b=2]'" in line for line in lines)
    assert any("line 3: 'title' is given twice" in line for line in lines)
    assert any("seeds.0" in line for line in lines) and any("methods.4.lable" in line for line in lines)


def test_numbers_and_texts_of_yaml(tmp_path):
    text = """
title: "2024"
dataset: {name: npz, parameters: {path: "007", title: "a: b", image_size: 8}}
budget: {seconds: 1e3}
methods:
  - method: {name: ae, parameters: {lr: 1e-3}}
    label: 1e-3 as text
    reference: {value: 1e+1, citation: "1e3"}
"""
    benchmark = load_benchmark(write(tmp_path, text))
    row = benchmark.methods[0]
    assert (benchmark.title, benchmark.budget.seconds) == ("2024", 1000.0)
    assert str(benchmark.dataset) == "npz[path=007,title=a: b,image_size=8]"
    assert row.method == parse_call("ae[lr=1e-3]") and row.reference is not None
    assert (row.reference.value, row.reference.citation) == (10.0, "1e3")


def test_a_name_of_its_own_stands_for_a_files_that_cannot_be_one(tmp_path):
    path = tmp_path / "my benchmark.yaml"
    path.write_text(GOOD)
    with pytest.raises(UserError, match="name: 'my benchmark' is not a valid name"):
        load_benchmark(path)
    path.write_text(GOOD + "name: mine\n")
    assert load_benchmark(path).name == "mine"


def test_three_thousand_rows_are_read(tmp_path):
    row = (
        "  - method: kmeans[n_centroids={},whiten=true]\n    label: row {}\n    reference: {{value: 50, citation: x}}\n"
    )
    rows = "".join(row.format(i, i) for i in range(3000))
    path = write(tmp_path, f"title: t\ndataset: digits\nbudget: {{epochs: 1}}\nmethods:\n{rows}")
    assert len(load_benchmark(path).methods) == 3000


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1", "\x00", "just words"])
def test_what_is_not_a_benchmark_is_a_user_error(tmp_path, text):
    with pytest.raises(UserError, match=r"mine\.yaml"):
        load_benchmark(write(tmp_path, text))


def test_a_missing_file_and_an_unknown_name(tmp_path):
    with pytest.raises(UserError, match="no such file"):
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
