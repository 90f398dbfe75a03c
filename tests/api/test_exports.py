"""Exported learners are loaded back with equal bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import load_file
from trials import evaluation, trial

import reprbench as rb
from reprbench import UserError
from reprbench.api.model_card import model_card

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 1, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("name", ["adhoc/centered", "raw-pixels"])
def test_it_encodes_with_equal_bits(made, tmp_path, name):
    one = made.loaded.trial(name)
    folder = one.export(tmp_path / "exported" / "it")
    copied = rb.load_learner(folder)
    for layer, features in rb.encode(one.learner(), PIXELS).items():
        np.testing.assert_array_equal(rb.encode(copied, PIXELS)[layer], features)
    assert set(load_file(folder / "state.safetensors")) == {n for n in ("mean",) if hasattr(copied, n)}
    assert [path.name for path in folder.parent.iterdir()] == ["it"]


def test_the_card_has_the_numbers_and_the_code(made, tmp_path):
    one = made.loaded.trial("adhoc/centered")
    card = (one.export(tmp_path / "it") / "README.md").read_text()
    values = [found.value for found in one.record.evaluations[0].measurements if found.metric == "accuracy"]
    assert f"{np.mean(values):.1f} ± {np.std(values):.1f}" in card
    assert one.record.method.code.source[:8] in card
    assert 'reprbench.load_learner("FOLDER")' in card


def test_texts_of_others_are_literal_in_the_card():
    evil = "<script> | [x](javascript:1) `a` *b*"
    one = trial(evil, evaluations=[evaluation([1.0, 2.0])], warnings=[evil])
    card = model_card(replace(one, dataset=replace(one.dataset, title=evil)), None)
    assert "<script>" not in card
    assert "[x](" not in card
    assert card.count("&lt;script&gt;") >= 4


def test_a_folder_that_is_there_is_not_overwritten(made, tmp_path):
    (tmp_path / "note").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        made.loaded.trial("raw-pixels").export(tmp_path)
    assert (tmp_path / "note").read_text() == "mine"


def test_damage_and_other_code_are_named(made, tmp_path):
    folder = made.loaded.trial("adhoc/centered").export(tmp_path / "it")
    about = json.loads((folder / "parameters.json").read_text())
    (folder / "code" / about["file"]).write_text((folder / "code" / about["file"]).read_text().replace("0.5", "0.6"))
    with pytest.raises(UserError, match="was fitted by centered with code"):
        rb.load_learner(folder)
    (folder / "parameters.json").write_text(json.dumps({**about, "file": "../../elsewhere.py"}))
    with pytest.raises(UserError, match="outside of the folder"):
        rb.load_learner(folder)
    (folder / "state.safetensors").write_bytes(b"x")
    with pytest.raises(UserError, match="it: cannot be read as an exported learner: state.safetensors: "):
        rb.load_learner(folder)
    (folder / "parameters.json").write_text("{}")
    with pytest.raises(UserError, match="it: cannot be read as an exported learner: parameters.json: Object missing"):
        rb.load_learner(folder)


def test_a_folder_that_is_no_export_is_named_with_what_it_lacks(tmp_path):
    with pytest.raises(UserError, match="cannot be read as an exported learner: parameters.json: no such file"):
        rb.load_learner(tmp_path)
    for other in (tmp_path / "missing", __file__):
        with pytest.raises(UserError, match="no such folder; give one that"):
            rb.load_learner(other)
    with pytest.raises(UserError, match="folder: None: expected a path"):
        rb.load_learner(None)


OFFSET = """
import numpy as np, torch
from reprbench import File, Learner, register

@register("offset")
class Offset(Learner):
    values: File

    def fit(self, images, run):
        pass

    def encode(self, x):
        return {"pixels": x.flatten(1) + float(np.load(self.values))}
"""


def test_files_that_parameters_name_go_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "offset.py").write_text(OFFSET)
    np.save("values.npy", np.float32(3))
    rb.run("offset[values=values.npy]", protocols="knn", limit=150, plugins=["offset.py"], quiet=True, device="cpu")
    folder = rb.load("results", plugins=["offset.py"]).trial("adhoc/offset").export(tmp_path / "it")
    (tmp_path / "values.npy").unlink()
    monkeypatch.chdir(folder)
    features = rb.encode(rb.load_learner(folder), PIXELS)["pixels"]
    np.testing.assert_allclose(features, PIXELS.reshape(4, -1) / np.float32(255) + 3, rtol=1e-6)
    about = json.loads((folder / "parameters.json").read_text())
    (folder / "parameters.json").write_text(json.dumps({**about, "files": {"values": "../parameters.json"}}))
    with pytest.raises(UserError, match="outside of the folder"):
        rb.load_learner(folder)
