from __future__ import annotations

import json
import sys

import pytest

from reprbench.registry import discover


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


def test_parameters_without_a_default_are_required(here, plugin):
    body = "from reprbench import File\n"
    body += '@register("own")\nclass A(Flat):\n    """Mine."""\n    weights: File\n    width: int = 64\n'
    words = ("list", "methods", "-v", "--plugin", str(plugin("own.py", body)))
    lines = [line.strip() for line in here(*words).stdout.splitlines()]
    assert {"weights   (file, required)", "width = 64   (int)"} <= set(lines)
    records = {record["name"]: record for record in json.loads(here(*words, "--format", "json").stdout)}
    parameters = {parameter["name"]: parameter for parameter in records["own"]["parameters"]}
    assert (parameters["weights"]["required"], parameters["width"]["required"]) == (True, False)
    assert parameters["width"]["default"] == 64


PROTOCOL = """
import sys
from reprbench import Outcome, Protocol, register_protocol
print("said while it is imported")
sys.modules["imported_here"] = sys

@register_protocol("plain")
class Plain(Protocol):
    headlines = ("metric",)

    def evaluate(self, subject, seed):
        return Outcome()
"""


def test_protocols_of_plugins_are_imported_in_another_process(here, plugin):
    """Also those without a docstring, and functions mistaken for protocols."""
    path = plugin("plain.py", PROTOCOL)
    wrong = plugin("wrong.py", 'from reprbench import register_protocol\n@register_protocol("wrong")\ndef f(): ...\n')
    words = ("--plugin", str(path), "--plugin", str(wrong))
    for verbose in ((), ("-v",)):
        done = here("list", "protocols", *verbose, *words)
        lines = {line.split()[0]: line for line in done.stdout.splitlines()}
        assert lines["plain"].split(maxsplit=1)[1] == f"file {path}"
        assert "cannot be used: 'wrong' is not a class derived from reprbench.Protocol" in lines["wrong"]
        assert "said while it is imported" not in done.stdout
    assert "imported_here" not in sys.modules


@pytest.mark.parametrize("kind", ["methods", "protocols", "datasets"])
def test_everything_has_a_summary_and_with_v_an_origin(here, kind):
    installed = discover(folder=None)
    short, long = here("list", kind).stdout, here("list", kind, "-v").stdout
    for name, entry in getattr(installed, kind).items():
        assert f"{name:{max(map(len, getattr(installed, kind)))}}  {entry.summary()}\n" in short
        assert f"origin: {entry.origin}\n" in long
    assert "origin" not in short


@pytest.mark.parametrize("words", [["--help"], ["compare", "--help"], ["list", "protocols", "-v"]])
def test_nothing_internal_is_shown(cli, words):
    shown = cli(*words).stdout
    assert len(shown) > 500
    assert not [mark for mark in ("\\b", "\b", "<function", "Gt(", "Annotated") if mark in shown]


def test_the_benchmarks_in_files_of_ones_own(here, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "title: My title\ndataset: digits\nbudget: {epochs: 1}\nmethods: [{method: ae}]\n"
    )
    assert here("list", "benchmarks", "mine.yaml").stdout == "mine  My title\n"
    assert "no.yaml: no such file" in here("list", "benchmarks", "no.yaml").stderr


def test_a_row_that_is_tuned_is_listed_with_its_values(here, tmp_path):
    rows = "[{method: 'pca[n_components=2|4]'}, {method: ae, tune: {parameters: {lr: 'log(1e-4, 1e-2)'}, tries: 3}}]"
    (tmp_path / "mine.yaml").write_text(f"title: T\ndataset: digits\nbudget: {{epochs: 1}}\nmethods: {rows}\n")
    shown = here("list", "benchmarks", "mine.yaml", "-v").stdout
    assert "pca[n_components=2|4]" in shown
    assert "ae[lr=log(0.0001, 0.01)]" in shown
