"""A sweep in Python is one call, too."""

from __future__ import annotations

import reprbench as rb

SMALL = {"linear-svm.costs": [0.01, 1.0], "linear-svm.inner_folds": 2}


def test_a_call_with_several_values_is_a_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = rb.run("pca[n_components=2|8],raw-pixels", "digits", limit=100, settings=SMALL, quiet=True)
    text = str(found)
    assert [line.split()[0] for line in text.splitlines() if line.startswith(("pca", "raw"))] == [
        "raw-pixels",
        "pca[n_components=8]",
    ]
    assert "chosen of 2 settings by inner accuracy" in text
