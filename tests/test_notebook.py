"""The notebook of the documentation runs, and shows a table, a curve and the codes of new images."""

from __future__ import annotations

import nbformat
import pytest
from common import REPOSITORY
from nbclient import NotebookClient


@pytest.mark.slow
def test_the_notebook_shows_what_it_promises(tmp_path):
    notebook = nbformat.read(REPOSITORY / "docs" / "notebook.ipynb", 4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place).execute()
    shown = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            shown.setdefault(cell.source.splitlines()[-1], {}).update(output.get("data", {}))
    table = shown["results"]
    assert all(f">{name}" in table["text/html"] for name in ("pca", "coarse", "heavy"))
    assert table["text/plain"].startswith("adhoc: Digits, few-labels")
    assert shown['results.plot("accuracy")']["image/png"]
    assert shown["trial.encode(new, rb.View()).shape"]["text/plain"] == "(5, 68)"
