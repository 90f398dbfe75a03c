from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import reprbench as rb
from reprbench.adapters.fitted import restore, saved
from reprbench.adapters.transformers import Transformer, estimator_class
from reprbench.arrays import pack, unpack
from reprbench.errors import UserError
from reprbench.images import Images
from reprbench.learner import make
from reprbench.registry import discover
from reprbench.run_context import Budget, Run
from reprbench.runner.describe import Question, answer
from reprbench.state import evaluating, learner_state, load_learner_state
from reprbench.testing import check_learner

IMAGES = Images(np.random.default_rng(0).integers(0, 256, (60, 1, 5, 5), dtype=np.uint8))
ESTIMATORS = {
    "decomposition.FastICA": {"n_components": 4},
    "decomposition.PCA": {"n_components": 4, "whiten": True},
    "decomposition.IncrementalPCA": {"n_components": 4},
    "decomposition.NMF": {"n_components": 4},
    "decomposition.TruncatedSVD": {"n_components": 4},
    "decomposition.FactorAnalysis": {"n_components": 4},
    "decomposition.MiniBatchDictionaryLearning": {"n_components": 4, "max_iter": 2},
    "decomposition.LatentDirichletAllocation": {"n_components": 3, "max_iter": 2},
    "cluster.KMeans": {"n_clusters": 4},
    "random_projection.GaussianRandomProjection": {"n_components": 4},
    "random_projection.SparseRandomProjection": {"n_components": 4},
    "kernel_approximation.RBFSampler": {"n_components": 4},
    "kernel_approximation.Nystroem": {"n_components": 4},
    "neural_network.BernoulliRBM": {"n_components": 4, "n_iter": 2},
    "preprocessing.StandardScaler": {},
}


def fitted(name, seed=0, **parameters):
    learner = make(Transformer, {"estimator": f"sklearn.{name}", **parameters}, IMAGES.shape)
    run = Run(seed, Budget(epochs=1))
    learner.fit(IMAGES, run)
    return learner, run


def encoded(learner, x):
    with evaluating(learner):
        return learner.encode(x)["transformed"]


def reloaded(learner):
    fresh = make(Transformer, learner.parameters(), IMAGES.shape)
    load_learner_state(fresh, unpack(pack(learner_state(learner)))[0])
    return fresh


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_saved_and_loaded_gives_the_same_bits_and_those_of_scikit_learn(name):
    learner, run = fitted(name, **ESTIMATORS[name])
    x = IMAGES.batch(slice(0, 7))
    found = encoded(learner, x)
    assert torch.equal(encoded(reloaded(learner), x), found)
    assert run.images_seen == len(IMAGES)
    made = estimator_class(f"sklearn.{name}")(**ESTIMATORS[name])
    if "random_state" in made.get_params():
        made.set_params(random_state=int(learner.drawn_random_state))
    pixels = IMAGES.pixels(slice(None)).reshape(60, -1) / 255
    rows = Run(0, Budget(epochs=1)).numpy_generator("chosen images").permutation(60)
    expected = made.fit(pixels[rows]).transform(pixels[:7])
    expected = expected.toarray() if hasattr(expected, "toarray") else expected
    # Where an image's result depends on the batch, they are transformed one by one.
    tolerance = 1e-1 if bool(learner.one_by_one) else 1e-5
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    assert bool(learner.one_by_one) == (name == "decomposition.NMF")
    assert bool(learner.warnings([])) == bool(learner.one_by_one)


def test_the_seed_of_the_run_is_that_of_the_estimator():
    one, again, other = (fitted("decomposition.FastICA", seed, n_components=4)[0] for seed in (0, 0, 1))
    x = IMAGES.batch(slice(0, 7))
    assert torch.equal(encoded(one, x), encoded(again, x))
    assert not torch.equal(encoded(one, x), encoded(other, x))
    given, same = (fitted("decomposition.FastICA", 0, n_components=4, random_state=3)[0] for _ in range(2))
    assert torch.equal(encoded(given, x), encoded(same, x))
    assert given._made().random_state == 3


def test_it_conforms():
    findings = check_learner(Transformer, {"estimator": "sklearn.decomposition.FastICA", "n_components": 6})
    assert [(found.check, found.shape, found.problem) for found in findings if found.problem] == []


class Odd:
    """An estimator with attributes of every kind."""

    def get_params(self, deep=True):
        return {"alpha": 1}


def test_plain_values_keep_their_types_and_bits():
    one, other = Odd(), Odd()
    vars(one).update(
        alpha=1,
        a_=None,
        b_=0.1 + 0.2,
        c_=float("inf"),
        d_=[1, (True, "x"), 2.5],
        e_=np.float32(0.1),
        f_=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        _g=np.int64(3),
        h_=np.array([], dtype=bool),
    )
    restore(other, {name: array.copy() for name, array in saved(one).items()})
    assert "alpha" not in vars(other)
    for name, value in vars(one).items():
        if name != "alpha":
            found = vars(other)[name]
            assert type(found) is type(value)
            assert found == value if isinstance(value, list) else np.array_equal(found, value)
            assert getattr(found, "dtype", None) == getattr(value, "dtype", None)


def test_a_random_state_goes_on_where_it_was():
    one, other = Odd(), Odd()
    one.generator_ = np.random.RandomState(3)
    one.generator_.normal(size=3)
    restore(other, {name: array.copy() for name, array in saved(one).items()})
    assert one.generator_.normal() == other.generator_.normal()


@pytest.mark.parametrize("value", [{"a": 1}, object(), np.array(["a"]), [object()], len])
def test_what_cannot_be_saved_names_the_attribute(value):
    odd = Odd()
    odd.memory_ = value
    with pytest.raises(UserError, match=r"Odd\.memory_.* cannot be saved without pickle"):
        saved(odd)


def test_an_estimator_that_keeps_another_is_refused():
    with pytest.raises(UserError, match=r"KernelPCA\._centerer is a KernelCenterer"):
        fitted("decomposition.KernelPCA", n_components=3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FastICA", "Did you mean 'sklearn.decomposition.FastICA'"),
        ("sklearn.decomposition.FastIC", "Did you mean 'sklearn.decomposition.FastICA'"),
        ("sklearn.decomposition._fastica.FastICA", "Did you mean"),
        ("sklearn.svm.LinearSVC", ""),
        ("sklearn.decomposition.fastica", ""),
        ("sklearn.nowhere.At", ""),
        ("os.path", ""),
        ("", ""),
    ],
)
def test_an_estimator_is_a_public_transformer_of_scikit_learn(name, near):
    with pytest.raises(ValidationError, match=f"no transformer of scikit-learn.*{near}"):
        Transformer(estimator=name)


# -- parameters that the class does not declare -----------------------------------------------------------------------


def planned(**parameters):
    return answer(Question(discover(folder=None).methods["sklearn"], parameters, {}, (1, 8, 8)))


def test_the_parameters_of_the_estimator_are_those_of_the_method():
    found = planned(estimator="sklearn.decomposition.FastICA", n_components=32, fun="cube")
    assert (found.problem, found.mistakes) == ("", [])
    assert (
        found.parameters
        == found.identifying
        == {
            "estimator": "sklearn.decomposition.FastICA",
            "fit_images": 10_000,
            "n_components": 32,
            "fun": "cube",
        }
    )
    assert found.changed == {"estimator": "sklearn.decomposition.FastICA", "n_components": 32, "fun": "cube"}
    (line,) = planned(estimator="sklearn.decomposition.FastICA", n_component=32).mistakes
    assert line == "method sklearn: FastICA has no parameter 'n_component'. Did you mean 'n_components'?"


def test_other_methods_take_no_others():
    entry = discover(folder=None).methods["pca"]
    (line,) = answer(Question(entry, {"n_component": 3})).mistakes
    assert "unknown 'n_component'" in line


def test_it_is_a_row_also_of_a_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = "sklearn[estimator=sklearn.decomposition.TruncatedSVD,n_components=2|8]"
    found = rb.run(call, "digits[development=60]", 1, "linear-svm[costs=[0.1]]", limit=120, quiet=True)
    records = [trial.record for trial in found.trials()]
    assert {one.status for one in records} == {"done"}
    assert {one.method.call.parameters["n_components"] for one in records} == {2, 8}
    again = found.trials()[0]
    assert again.encode(IMAGES.batch(slice(0, 1)).repeat(1, 1, 2, 2)[:, :, :8, :8])["transformed"].shape[0] == 1


def test_every_public_transformer_of_these_modules_is_known():
    module = importlib.import_module("sklearn.decomposition")
    names = [name for name in module.__all__ if hasattr(getattr(module, name), "transform")]
    assert len(names) > 10
    assert all(estimator_class(f"sklearn.decomposition.{name}") for name in names)
