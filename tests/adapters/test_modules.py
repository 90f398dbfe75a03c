from __future__ import annotations

import io
import logging
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from common import Evil
from torch import nn

import reprbench as rb
from reprbench.adapters.modules import Layers, ProgramModule, WrappedModule
from reprbench.api.calls import asked_methods
from reprbench.errors import UserError
from reprbench.features import View
from reprbench.learner import make
from reprbench.probes.fine_tuning import FineTuned
from reprbench.run_context import Run
from reprbench.spec import Budget
from reprbench.state import parameter_count
from reprbench.testing import check_learner

SHAPE = (1, 8, 8)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.drop, self.head, self.unused = nn.Dropout(), nn.Linear(216, 9), nn.Linear(1, 1)

    def forward(self, x):
        return self.head(self.drop(self.relu(self.norm(self.conv(x))).flatten(1)))


@pytest.fixture
def net():
    torch.manual_seed(0)
    made = Net()
    made.norm.running_mean += 0.1
    return made


def batch(count=5):
    return torch.from_numpy(np.random.default_rng(0).random((count, *SHAPE), dtype=np.float32))


def test_the_layers_are_the_outputs_of_the_modules_in_evaluation_mode(net):
    found = rb.encode(rb.wrap(net, layers=["norm", "relu", "head"]), batch())
    assert list(found) == ["norm", "relu", "head"]
    assert net.training
    net.eval()
    with torch.no_grad():
        norm = net.norm(net.conv(batch()))
        # What an operation in place did later to a layer is not part of it.
        np.testing.assert_array_equal(found["norm"], norm)
        np.testing.assert_array_equal(found["relu"], norm.relu())
        np.testing.assert_array_equal(found["head"], net(batch()))
    assert not [module for module in net.modules() if module._forward_hooks]


def test_without_layers_it_is_the_output(net):
    assert list(rb.encode(rb.wrap(net), batch())) == ["output"]

    class Two(nn.Module):
        def forward(self, x):
            return {"half": x / 2, "flat": x.flatten(1)}

    assert list(rb.encode(rb.wrap(Two()), batch())) == ["half", "flat"]


def test_layers_that_are_not_there(net):
    with pytest.raises(UserError, match=r"Net has no layer 'heads'\. Did you mean 'head'"):
        rb.wrap(net, layers=["heads"])
    with pytest.raises(UserError, match="layer 'unused' of Net does not run"):
        rb.encode(rb.wrap(net, layers=["unused"]), batch())
    with pytest.raises(UserError, match="layer '0' runs more than once"):
        twice = nn.ReLU()
        rb.encode(rb.wrap(nn.Sequential(twice, twice), layers=["0"]), batch())


@pytest.mark.parametrize("wrong", [3, None, "resnet18", nn.Linear, object()])
def test_what_cannot_be_wrapped(wrong):
    with pytest.raises(UserError, match=r"wrap: .*expected a torch.nn.Module, or a transformer of scikit-learn"):
        rb.wrap(wrong)


def test_it_is_evaluated_at_once(net):
    digits = rb.dataset("digits", limit=120)
    found = {one.metric: one.value for one in rb.evaluate(rb.wrap(net, ["head"]), "knn[folds=none]", digits)}
    assert 30 < found["accuracy"] <= 100


class Several(nn.Module):
    def __init__(self, returned):
        super().__init__()
        self.returned = returned

    def forward(self, x):
        return self.returned(x)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda x: (x, x), "Several returns a tuple; a layer is a tensor"),
        (lambda x: None, "Several returns a NoneType; a layer is a tensor"),
        (lambda x: {"a": x, "b": [x]}, "layer 'b' of Several returns a list; a layer is a tensor"),
    ],
)
def test_a_module_returns_tensors(returned, said, tmp_path):
    learner = rb.wrap(Several(returned), shape=SHAPE)
    for use in (lambda: rb.encode(learner, batch()), lambda: asked_methods(learner, tmp_path)):
        with pytest.raises(UserError, match=f"^{said}"):
            use()
    inner = rb.wrap(nn.Sequential(Several(returned), nn.Identity()), layers=["0"], shape=SHAPE)
    with pytest.raises(UserError, match="^layer '0' of Sequential returns a "):
        asked_methods(inner, tmp_path)


# -- in other processes -----------------------------------------------------------------------------------------------


def test_a_program_gives_the_same_bits_and_the_same_module_the_same_program(net, tmp_path):
    learner = rb.wrap(net, layers=["relu", "head"], shape=SHAPE)
    (call,), plugins = asked_methods(learner, tmp_path)
    (again,), _ = asked_methods(rb.wrap(net, layers=["relu", "head"], shape=SHAPE), tmp_path)
    assert plugins == ()
    assert call == again
    assert [path.name for path in (tmp_path / "programs").iterdir()] == [call.parameters["program"].rpartition("/")[2]]
    made = make(ProgramModule, call.parameters, SHAPE)
    for count in (1, 5):
        one, other = rb.encode(learner, batch(count)), rb.encode(made, batch(count))
        assert list(one) == list(other) == ["relu", "head"]
        assert all(np.array_equal(one[name], other[name]) for name in one)
    with torch.no_grad():
        net.head.weight.add_(1)
    assert asked_methods(learner, tmp_path)[0][0] != call
    assert parameter_count(made) == sum(weight.numel() for weight in net.parameters())


def test_a_program_conforms(net, tmp_path):
    (call,), _ = asked_methods(rb.wrap(net, shape=(1, 8, 8)), tmp_path)
    findings = check_learner(ProgramModule, call.parameters, [SHAPE])
    assert [(found.check, found.problem) for found in findings if found.problem] == []


def test_a_run_has_it_as_a_row_with_all_protocols(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learner = rb.wrap(net, layers=["head"], shape=SHAPE)
    found = rb.run([learner], "digits", 1, ["knn", "code-stats"], limit=120, quiet=True)
    (trial,) = found.trials()
    assert (trial.record.status, trial.record.method.kind) == ("done", "pretrained")
    assert [one.status for one in trial.record.evaluations] == ["done", "done"]
    here = rb.evaluate(learner, "knn", rb.dataset("digits", limit=120))
    values = [m.value for m in trial.record.evaluations[0].measurements]
    assert values == [m.value for m in here]
    kept = rb.run([learner], "digits", 1, ["knn", "code-stats"], limit=120, quiet=True)
    assert kept.trials()[0].record.hash == trial.record.hash


def test_the_same_module_in_two_folders_is_the_same_row(net, tmp_path, monkeypatch):
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        learner = rb.wrap(net, layers=["head"], shape=SHAPE)
        (trial,) = rb.run(learner, "digits", 1, "knn[folds=none]", limit=60, quiet=True).trials()
        assert str(tmp_path) not in Path(trial.record.path).read_text()
        found.append(trial.record)
        assert trial.learner().program.is_file()
    one, other = found
    assert one.label == other.label == str(one.method.call)
    assert one.label.startswith("module[program=.reprbench/programs/Net-")
    assert one.hash == other.hash


def test_fine_tuning_trains_a_program_as_the_module_at_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 9))
    plain.requires_grad_(False)
    call = "fine-tune[epochs=2,folds=none]"
    learner, digits = rb.wrap(plain, shape=SHAPE), rb.dataset("digits", limit=150)
    (trial,) = rb.run(learner, "digits", 1, call, limit=150, quiet=True).trials()
    (evaluation,) = trial.record.evaluations
    assert (evaluation.status, evaluation.reason) == ("done", "")
    here = {one.metric: one.value for one in rb.evaluate(learner, call, digits)}
    there = {one.metric: one.value for one in evaluation.measurements}
    assert there == here

    made = trial.learner()
    view = View(pooling="mean", grid=1)
    before = {name: tensor.clone() for name, tensor in made.network.state_dict().items()}
    features = rb.encode(made, digits.train, view)
    run = Run(0, Budget(epochs=2))
    tuned = FineTuned(made, view, features, 10, batch_size=50)
    tuned.fit_labeled(digits.train, digits.train_labels, run)
    after = dict(tuned.network.networks[0].named_parameters())
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    assert after.keys() == before.keys()
    assert all(not torch.equal(before[name], tensor) for name, tensor in after.items())
    assert all(torch.equal(before[name], tensor) for name, tensor in made.network.state_dict().items())


def test_a_run_needs_the_shape_and_code_that_can_be_exported(net, tmp_path, capfd):
    with pytest.raises(UserError, match=r"wrap\(module, shape=\(channels, height, width\)\)"):
        asked_methods(rb.wrap(net), tmp_path)

    class Branching(nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    with pytest.raises(UserError, match="cannot be exported for a run .*write a Learner class") as raised:
        asked_methods(rb.wrap(Branching(), shape=SHAPE), tmp_path)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("wrap: Branching cannot")
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == 0
    (call,), _ = asked_methods(rb.wrap(net, shape=SHAPE), tmp_path)
    with pytest.raises(UserError, match=r"takes \(1, 8, 8\), not images of \(3, 8, 8\)"):
        make(ProgramModule, call.parameters, (3, 8, 8))


def test_a_file_that_is_no_program_is_refused_and_nothing_in_it_is_run(net, tmp_path, capsys):
    text, evil = tmp_path / "text.pt2", tmp_path / "evil.pt2"
    text.write_text("text")
    content = WrappedModule(net, shape=SHAPE).program()
    pickled = io.BytesIO()
    torch.save(Evil(), pickled)
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(evil, "w") as changed:
        for name in archive.namelist():
            replaced = name.endswith("sample_inputs/model.pt")
            changed.writestr(name, pickled.getvalue() if replaced else archive.read(name))
    for path in (text, evil):
        with pytest.raises(UserError, match="no program that torch.export.save wrote"):
            make(ProgramModule, {"program": path}, SHAPE)
    assert "run" not in capsys.readouterr().out
    assert pickle.dumps(Evil())


def test_a_program_of_the_user_returns_tensors_too(tmp_path):
    exported = torch.export.export(Several(lambda x: (x, x)), (torch.zeros(2, *SHAPE),))
    torch.export.save(exported, tmp_path / "two.pt2")
    made = make(ProgramModule, {"program": tmp_path / "two.pt2"}, SHAPE)
    with pytest.raises(UserError, match=r"two\.pt2 returns a tuple; a layer is a tensor"):
        rb.encode(made, batch(2))


def test_layers_keep_the_order_that_is_asked_for(net):
    assert list(Layers(net, ["head", "conv"]).eval()(batch())) == ["head", "conv"]


# -- transformers of scikit-learn -------------------------------------------------------------------------------------


def test_a_transformer_is_a_row_and_encodes_if_it_was_fitted(tmp_path):
    from sklearn.decomposition import FastICA, TruncatedSVD

    (call,), _ = asked_methods(rb.wrap(FastICA(n_components=3, fun="cube")), tmp_path)
    assert str(call) == "sklearn[estimator=sklearn.decomposition.FastICA,fun=cube,n_components=3]"
    digits = rb.dataset("digits", limit=100)
    pixels = digits.train.pixels(slice(None)).reshape(100, -1) / 255
    fitted = TruncatedSVD(n_components=3, random_state=0).fit(pixels)
    found = rb.encode(rb.wrap(fitted), digits.test)["transformed"]
    expected = fitted.transform(digits.test.pixels(slice(None)).reshape(100, -1) / 255)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_transformer_that_cannot_travel():
    from sklearn.decomposition import PCA, FastICA, SparseCoder
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    with pytest.raises(UserError, match=r"wrap: FunctionTransformer.func is .*no plain value"):
        rb.wrap(FunctionTransformer(np.sqrt))
    with pytest.raises(
        UserError, match=r"wrap: Pipeline.steps is .*no plain value; wrap one transformer .*'features'$"
    ):
        rb.wrap(make_pipeline(StandardScaler(), PCA(5)))
    with pytest.raises(UserError, match=r"wrap: SparseCoder.dictionary is .*no plain value"):
        rb.wrap(SparseCoder(np.eye(3)))
    with pytest.raises(UserError, match=r"wrap: '.*LinearDiscriminantAnalysis' is fitted to labels too \(y\)"):
        rb.wrap(LinearDiscriminantAnalysis())

    class Own(FastICA):
        pass

    with pytest.raises(UserError, match="no transformer of scikit-learn; write a Learner class"):
        rb.wrap(Own(n_components=2))


def test_a_transformer_at_hand_is_fitted_and_has_one_layer():
    from sklearn.decomposition import PCA, FastICA

    digits = rb.dataset("digits", limit=60)
    with pytest.raises(UserError, match="^PCA is not fitted; fit it before it is wrapped, or let `run` fit it$"):
        rb.evaluate(rb.wrap(PCA(5)), "knn[folds=none]", digits)
    small = PCA(5).fit(np.random.default_rng(0).random((20, 30)))
    with pytest.raises(UserError, match="^PCA was fitted to rows of 30 numbers, and these images have 64$"):
        rb.evaluate(rb.wrap(small), "knn[folds=none]", digits)
    with pytest.raises(UserError, match="^wrap: layers are those of a module of torch"):
        rb.wrap(FastICA(3), layers=["a"])
