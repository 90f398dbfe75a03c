from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch

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


def test_it_is_fitted_to_no_more_images_than_it_says(monkeypatch):
    assert fitted("decomposition.PCA", n_components=2, fit_images=40)[1].images_seen == 40
    monkeypatch.setattr("reprbench.images.VECTOR_BYTES", IMAGES.vectors(slice(0, 30)).nbytes)
    assert fitted("decomposition.PCA", n_components=2)[1].images_seen == 30


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


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.array([[1], 2], dtype=object), "an array of objects"),
        (np.array(["a"]), "an array of <U1"),
        (len, "a builtin"),
    ],
)
def test_the_kind_of_what_cannot_be_saved_is_said(value, kind):
    odd = Odd()
    odd.bin_edges_ = value
    with pytest.raises(UserError, match=rf"Odd\.bin_edges_ is {kind}.* use an estimator that keeps arrays of numbers"):
        saved(odd)


def test_an_estimator_that_keeps_another_is_refused():
    with pytest.raises(UserError, match=r"KernelPCA\._centerer is a KernelCenterer"):
        fitted("decomposition.KernelPCA", n_components=3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FastICA", "decomposition.FastICA"),
        ("sklearn.decomposition.FastIC", "decomposition.FastICA"),
        ("sklearn.decomposition._fastica.FastICA", "decomposition.FastICA"),
        ("sklearn.decomposition.fastica", "decomposition.FastICA"),
        ("sklearn.cluster.Kmeans", "cluster.KMeans"),
        ("sklearn.cluster.DBSCAN", ""),
        ("sklearn.svm.SVC", ""),
        ("sklearn.svm.LinearSVC", ""),
        ("sklearn.manifold.TSNE", ""),
        ("sklearn.nowhere.At", ""),
        ("os.system", ""),
        ("", ""),
    ],
)
def test_an_estimator_is_a_public_transformer_of_scikit_learn(name, near):
    said = f"did you mean 'sklearn.{near}'?" if near else "expected a name like sklearn.decomposition.PCA"
    (line,) = planned(estimator=name).mistakes
    assert line == f"method sklearn: estimator: {name!r} is no transformer of scikit-learn; {said}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("discriminant_analysis.LinearDiscriminantAnalysis", "is fitted to labels too (y)"),
        ("cross_decomposition.PLSRegression", "is fitted to labels too (y)"),
        ("neighbors.NeighborhoodComponentsAnalysis", "is fitted to labels too (y)"),
        ("preprocessing.LabelBinarizer", "is fitted to y, not to the pixels"),
        ("feature_extraction.text.TfidfVectorizer", "is fitted to raw_documents, not to the pixels"),
        ("pipeline.Pipeline", "Pipeline must be given steps; "),
        ("pipeline.FeatureUnion", "FeatureUnion must be given transformer_list; "),
        ("compose.ColumnTransformer", "ColumnTransformer must be given transformers; "),
        ("decomposition.SparseCoder", "SparseCoder must be given dictionary; "),
    ],
)
def test_what_no_images_alone_can_be_given_to_is_refused_before_the_run(name, said):
    (line,) = planned(estimator=f"sklearn.{name}").mistakes
    assert line.startswith("method sklearn: ")
    assert said in line


def test_images_of_another_size_than_it_was_fitted_to_are_refused():
    learner, _ = fitted("decomposition.PCA", n_components=4)
    with pytest.raises(UserError, match="^PCA was fitted to rows of 25 numbers, and these images have 64$"):
        encoded(learner, torch.zeros(2, 1, 8, 8))
    unfitted = make(Transformer, {"estimator": "sklearn.decomposition.PCA"}, IMAGES.shape)
    with pytest.raises(UserError, match="^PCA is not fitted; "):
        encoded(unfitted, torch.zeros(2, *IMAGES.shape))


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
