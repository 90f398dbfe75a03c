"""The commands that must answer at once import nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import reprbench

HEAVY = {"torch", "torchvision", "sklearn", "scipy", "pandas", "matplotlib"}
PROGRAM = """
import json, sys
from reprbench.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted(sys.modules)))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], ["--version"], ["run", "--help"], ["list", "methods"], ["list", "datasets"], ["list", "protocols"],
        ["list", "benchmarks"], ["list", "methods", "--format", "json"], ["list", "protocols", "-v"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_nothing_heavy_is_imported(words, tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    modules = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert "reprbench" in modules
    assert not modules & HEAVY


def test_importing_the_package_imports_nothing_heavy():
    code = "import reprbench, reprbench.data.catalog, sys; print(*{m.partition('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & HEAVY


def test_the_table_of_public_names_matches_the_imports():
    assert set(reprbench.__all__) == set(reprbench.EXPORTS) | {"EXPORTS", "__version__"}
    for name, module in reprbench.EXPORTS.items():
        assert getattr(reprbench, name) is getattr(sys.modules[module], name)
