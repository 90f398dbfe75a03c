"""Maps of the similarity between trials, from the matrices in their folders, in every format of a report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from trials import evaluation, trial

from reprbench.cli.show import _evaluation_lines
from reprbench.evaluation import LARGEST_GRAM, Gram
from reprbench.probes.cka import centered_gram, packed
from reprbench.report.formats import as_csv, as_json
from reprbench.report.formats.figures import draw_all
from reprbench.report.formats.html import as_html
from reprbench.report.similarity_maps import MOST_ROWS, similarity_maps
from reprbench.report.table import Settings, Table, make_tables
from reprbench.store import Store

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(40, 30))
TURNED = FEATURES @ np.linalg.qr(RANDOM.normal(size=(30, 30)))[0]


def stored(root: Path, label: str, features: np.ndarray, seed: int = 0, images: str = "i", score: float = 50) -> Gram:
    """Write a trial with the Gram matrix of features into a store."""
    gram = Gram("representation", f"grams/similarity-{label}.npy", images)
    found = evaluation([score], "similarity", grams=[gram])
    digest = f"{ord(label[0]):02x}{seed}" + 61 * "0"
    one = trial(label, seed=seed, digest=digest, protocols=["similarity"], evaluations=[found])
    path = root.parent / f"{label}{seed}.npy"
    np.save(path, packed(centered_gram(features)))
    Store(root).write(one, {gram.file: path})
    return gram


@pytest.fixture
def store(tmp_path) -> Path:
    root = tmp_path / "results"
    stored(root, "a", FEATURES, 0, score=50)
    stored(root, "b", RANDOM.normal(size=(40, 30)), score=60)
    stored(root, "a", TURNED, 1, score=70)
    return root


def table_of(root: Path, settings: Settings | None = None) -> Table:
    trials, problems = Store(root).read()
    assert not problems
    (table,) = make_tables(trials, settings=settings)
    return table


def test_all_methods_and_seeds_are_compared_the_seeds_of_a_method_together(store):
    (found,) = similarity_maps(table_of(store))
    assert found.rows == ("a (seed 1)", "a (seed 0)", "b (seed 0)")
    values = np.array(found.values)
    assert np.allclose(values, values.T) and np.allclose(values.diagonal(), 1)
    assert values[0, 1] == pytest.approx(1, abs=1e-4) and abs(values[0, 2]) < 0.2
    assert found.summary == "linear CKA between the representations of 3 trials, on 40 test images"
    (together,) = similarity_maps(table_of(store, Settings(seeds="together")))
    assert set(together.rows) == {"a, seed 0", "a, seed 1", "b (seed 0)"}


def test_other_images_are_not_compared(store):
    stored(store, "c", FEATURES, images="others")
    (found,) = similarity_maps(table_of(store))
    assert len(found.rows) == 3
    stored(store, "d", TURNED, images="others")
    assert sorted(map(len, (one.rows for one in similarity_maps(table_of(store))))) == [2, 3]


def test_a_single_trial_has_no_map(tmp_path):
    stored(tmp_path / "results", "a", FEATURES)
    assert similarity_maps(table_of(tmp_path / "results")) == []


def npy(descr: object, length: int) -> bytes:
    """The file of an array that is not the one that its header describes."""
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': ({length},), }}"
    return b"\x93NUMPY\x01\x00v\x00" + header.encode().ljust(118) + b"\0" * 48


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"\x93NUMPY\x01\x00",
        b"x" * (LARGEST_GRAM + 1),
        npy("<f2", 10**12),
        npy("|O", 6),
        npy("|V0", 6),
        npy("|S0", 6),
        npy([("a", "<f2")], 6),
        npy("nonsense", 6),
    ],
)
def test_a_file_that_is_no_matrix_is_left_out(store, content):
    (path,) = store.glob("mine/*/0-62*/grams/*.npy")
    path.write_bytes(content)
    (found,) = similarity_maps(table_of(store))
    assert found.rows == ("a (seed 1)", "a (seed 0)")


def test_a_matrix_of_another_size_is_none_of_the_same_images(store):
    np.save(next(store.glob("mine/*/0-62*/grams/*.npy")), packed(centered_gram(FEATURES[:20])))
    (found,) = similarity_maps(table_of(store))
    assert found.rows == ("a (seed 1)", "a (seed 0)")


@pytest.mark.parametrize(
    "file", ["../x.npy", "grams/../x.npy", "figures/x.npy", "grams/x.png", "grams/.npy", "", "x.npy"]
)
def test_a_matrix_is_read_from_its_folder_alone(file):
    with pytest.raises(ValueError, match="is not the file of a Gram matrix"):
        Gram("a", file, "i")


def test_no_more_rows_are_compared_than_can_be_shown(tmp_path, monkeypatch):
    monkeypatch.setattr("reprbench.report.similarity_maps.MOST_ROWS", 2)
    assert MOST_ROWS == 100
    for label in "abc":
        stored(tmp_path / "results", label, FEATURES)
    (found,) = similarity_maps(table_of(tmp_path / "results"))
    assert len(found.rows) == 2 and found.summary.endswith("; 1 more are left out")


def test_every_format_has_the_map(store, tmp_path):
    table = table_of(store)
    (shown,) = json.loads(as_json([table]))
    (found,) = shown["similarity"]
    assert found["rows"] == ["a (seed 1)", "a (seed 0)", "b (seed 0)"] and found["values"][0][0] == pytest.approx(1)
    header, *lines = as_csv([table]).splitlines()
    assert "similarity_of_representation" in header and "a (seed 0)=" in lines[0]
    paths = draw_all([table], [], tmp_path / "drawn")
    assert [path.name for path in paths] == ["mine-similarity-representation.png"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    page = as_html([table], [store], tmp_path)
    assert 'id="similarity"' in page and "representations of 3 trials, on 40 test images" in page


def test_tables_without_matrices_stay_as_they_are(tmp_path):
    (table,) = make_tables([trial("a", evaluations=[evaluation([50.0])])])
    assert json.loads(as_json([table]))[0]["similarity"] == []
    assert "similarity" not in as_csv([table]) and 'id="similarity"' not in as_html([table], [tmp_path], tmp_path)


def test_show_names_the_file(store):
    found = Store(store).read()[0][0]
    (line,) = [line for line in _evaluation_lines(found.evaluations[0], Path("folder")) if "Gram" in line]
    assert line == "  Gram matrix representation: folder/grams/similarity-a.npy"


def test_a_matrix_that_is_too_large_is_not_stored_and_old_ones_are_removed(store, tmp_path):
    large = tmp_path / "large.npy"
    large.write_bytes(b"x" * (LARGEST_GRAM + 1))
    gram = Gram("representation", "grams/new.npy", "i")
    found = evaluation([1.0], "similarity", grams=[gram], ended="2")
    one = trial("b", digest="620" + 61 * "0", protocols=["similarity"], evaluations=[found], requested="2")
    folder = Store(store).write(one, {gram.file: large})
    assert not list(folder.glob("grams/*")) and not (folder / "grams").exists()
    ((_, now),) = Store(store).find(str(folder.relative_to(store)))
    assert now.evaluations[0].grams == [gram]
