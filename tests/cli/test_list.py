from __future__ import annotations

import json

import pytest


def test_methods_are_listed_with_their_origin(here):
    done = here("list", "methods", "--format", "json")
    names = {record["name"]: record["origin"] for record in json.loads(done.stdout)}
    assert "entry point reprbench.methods" in names["ameae"]
    assert {"ae", "dae", "sparse-ae", "sparse-ameae", "denoising-ameae", "supervised", "untrained", "pca"} <= set(names)


def test_verbose_shows_parameters_types_and_defaults(here):
    records = json.loads(here("list", "methods", "-v", "--format", "json").stdout)
    ameae = next(record for record in records if record["name"] == "ameae")
    parameters = {parameter["name"]: parameter for parameter in ameae["parameters"]}
    assert parameters["lr"]["default"] == 1e-4
    assert "separate" in parameters["statistics"]["type"]
    assert "Reconstructs" in ameae["capabilities"]
    kinds = {record["name"]: record["kind"] for record in records}
    assert (kinds["supervised"], kinds["untrained"], kinds["ae"]) == ("supervised", "control", "unsupervised")


def test_a_plugin_that_fails_to_import_is_listed_with_its_reason(here, plugin, tmp_path):
    good = plugin("good.py", '@register("good")\nclass A(Flat): ...\n')
    raising = plugin("raising.py", 'raise RuntimeError("no\\nluck")\n@register("bad")\nclass A(Flat): ...\n')
    leaving = plugin("leaving.py", '@register("leaving")\nclass A(Flat): ...\nos._exit(3)\n')
    broken = plugin("broken.py", "def (\n")
    words = [word for path in (leaving, raising, good, broken) for word in ("--plugin", str(path))]
    done = here("list", "methods", *words)
    assert done.returncode == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "cannot be used: RuntimeError: no luck" in lines["bad"]
    assert "status 3" in lines["leaving"]
    assert "cannot be used" not in lines["good"]
    assert "SyntaxError" in next(line for line in done.stdout.splitlines() if "broken.py" in line)


def test_datasets_protocols_and_benchmarks(here):
    assert "digits" in here("list", "datasets").stdout
    assert "costs" in here("list", "protocols", "-v").stdout
    names = [record["name"] for record in json.loads(here("list", "benchmarks", "--format", "json").stdout)]
    assert {"quick", "mnist", "table1-stl10", "table1-cifar10"} <= set(names)


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"], ["list", "protocols", "-v"]])
def test_nothing_internal_is_shown(cli, words):
    shown = cli(*words).stdout
    assert len(shown) > 500
    assert not [mark for mark in ("\\b", "\b", "<function", "Gt(", "Annotated") if mark in shown]
