"""Maps of codes against scikit-learn and NumPy, against what must change nothing, and the sample that they show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from made_protocols import make_protocols
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from reprbench.errors import UserError
from reprbench.protocols.base import Subject
from reprbench.protocols.embedding import Embedding, draw_maps
from reprbench.spec import parse_call

CLASSES = ("a", "b", "c")


def data(count: int = 120, name: str = "toy"):
    """The shares of the classes are 1/2, 1/3 and 1/6."""
    labels = np.array([0, 0, 0, 1, 1, 2] * (count // 6))
    folds = (np.arange(9), np.arange(3, 12))
    return SimpleNamespace(name=name, test=range(count), test_labels=labels, classes=CLASSES, folds=folds)


def codes(dataset, size: int = 12) -> np.ndarray:
    """Features of unequal spread, in clusters."""
    generator = np.random.default_rng(0)
    centers = generator.normal(0, 3, (3, size))
    noise = generator.normal(size=(len(dataset.test), size))
    return ((centers[dataset.test_labels] + noise) * np.linspace(0.5, 2, size) + 5).astype(np.float32)


def subject(features: np.ndarray, dataset, supervised: bool = False) -> Subject:
    return Subject(dataset, supervised, None, lambda wanted: features[wanted.rows])


def evaluate(features: np.ndarray, dataset=None, seed: int = 0, **parameters):
    return Embedding(**parameters).evaluate(subject(features, dataset or data()), seed)


@pytest.fixture(scope="module")
def outcome():
    """That of the default parameters on the default codes."""
    return evaluate(codes(data()))


def values(outcome) -> dict:
    return {(m.metric, m.at["map"]): m.value for m in outcome.measurements}


def points(outcome, panel: int) -> np.ndarray:
    return np.asarray(outcome.figures["map"].axes[panel].collections[0].get_offsets())


def standardized(features: np.ndarray) -> np.ndarray:
    x = features.astype(np.float64)
    variance = x.var(axis=0)
    return (x - x.mean(axis=0)) / np.sqrt(variance + 0.01 * variance.mean())


def trust(features: np.ndarray, plane: np.ndarray, k: int) -> float:
    """Trustworthiness from its definition (Venna and Kaski 2001), in loops."""
    n, near, shown = len(features), cdist(features, features), cdist(plane, plane)
    lost = 0
    for i in range(n):
        ranks = {j: rank for rank, j in enumerate(np.argsort(near[i]).tolist())}
        neighbors = [j for j in np.argsort(shown[i]).tolist() if j != i][:k]
        lost += sum(max(0, ranks[j] - k) for j in neighbors)
    return 1 - 2 / (n * k * (2 * n - 3 * k - 1)) * lost


@pytest.mark.parametrize("k", [1, 10, 59])
def test_the_numbers_of_pca_are_those_of_an_eigendecomposition(k):
    features = codes(data())
    x = standardized(features)
    variances, directions = np.linalg.eigh(np.cov(x.T))
    found = values(evaluate(features, tsne=False, neighbors=k))
    assert found == {
        ("trustworthiness", "PCA"): pytest.approx(trust(x, x @ directions[:, -2:], k), abs=1e-5),
        ("variance explained", "PCA"): pytest.approx(100 * variances[-2:].sum() / variances.sum(), rel=1e-4),
    }


def test_the_trustworthiness_of_t_sne_is_that_of_the_points_that_are_drawn(outcome):
    features = codes(data())
    order = np.lexsort(points(outcome, 1).T)
    plane = points(outcome, 1)[order]
    # The points are drawn in another order than the images are in: it is found again by the colors of the first panel.
    x = standardized(features)
    _, directions = np.linalg.eigh(np.cov(x.T))
    pca = x @ directions[:, :-3:-1]
    distances = cdist(np.abs(points(outcome, 0)), np.abs(pca))
    images = distances.argmin(axis=1)[order]
    assert sorted(images) == list(range(120))
    assert values(outcome)["trustworthiness", "t-SNE"] == pytest.approx(trust(x[images], plane, 10), abs=1e-5)


def test_a_plane_is_mapped_perfectly_and_its_variance_explained_whole():
    flat = np.random.default_rng(0).normal(size=(120, 2)).astype(np.float32)
    found = values(evaluate(flat, tsne=False))
    assert found["variance explained", "PCA"] == pytest.approx(100)
    # An orthogonal map changes no neighbor; rounding may swap two that are equally far.
    assert found["trustworthiness", "PCA"] == pytest.approx(1, abs=1e-4)


def test_a_line_is_mapped_although_it_has_a_single_component():
    steep = np.random.default_rng(0).normal(size=(120, 1)).astype(np.float32)
    found = values(evaluate(steep))
    assert found["variance explained", "PCA"] == pytest.approx(100)
    assert found["trustworthiness", "PCA"] == pytest.approx(1, abs=1e-4)


def test_features_scaled_by_a_power_of_two_give_the_same_bits(outcome):
    scaled = evaluate(1024 * codes(data()))
    assert values(outcome) == values(scaled)
    assert np.array_equal(points(outcome, 1), points(scaled, 1))


@pytest.mark.parametrize("change", [lambda x: x / 1000, lambda x: x[:, ::-1], lambda x: x + 7])
def test_features_scaled_permuted_or_shifted_give_the_same_numbers(outcome, change):
    other = values(evaluate(change(codes(data()))))
    for (metric, plane), value in values(outcome).items():
        # t-SNE magnifies rounding.
        assert other[metric, plane] == pytest.approx(value, abs=0.01 if plane == "t-SNE" else 1e-4)


def test_the_same_features_give_the_same_bits_whatever_the_seed():
    # Without clusters no arrangement is much better than others: t-SNE magnifies what is left to chance.
    features = np.random.default_rng(0).normal(size=(120, 60)).astype(np.float32)
    with threadpool_limits(2):
        one = evaluate(features, seed=3)
    other = evaluate(features, seed=4)
    assert values(one) == values(other)
    for panel in (0, 1):
        assert np.array_equal(points(one, panel), points(other, panel))


def test_t_sne_is_as_good_as_scikit_learns_own():
    features = np.random.default_rng(0).normal(size=(120, 60)).astype(np.float32)
    x = standardized(features)
    plane = TSNE(2, init="pca", random_state=0).fit_transform(PCA(50).fit_transform(x))
    assert values(evaluate(features))["trustworthiness", "t-SNE"] == pytest.approx(trust(x, plane, 10), abs=0.02)


def test_labels_color_the_points_and_change_no_number():
    features, shuffled = codes(data()), data()
    shuffled.test_labels = shuffled.test_labels[::-1]
    one, other = evaluate(features, tsne=False), evaluate(features, shuffled, tsne=False)
    assert values(one) == values(other)
    colors = one.figures["map"].axes[0].collections[0].get_facecolors()
    _, counts = np.unique(colors, axis=0, return_counts=True)
    assert sorted(counts) == [20, 40, 60]


def test_the_sample_keeps_the_shares_of_the_classes_and_is_the_same_for_everyone():
    dataset = data(600)
    rows = Embedding(images=60, perplexity=5).sample(dataset)
    assert np.bincount(dataset.test_labels[rows]).tolist() == [30, 20, 10]
    assert len(set(rows)) == 60
    same = Embedding(images=60, perplexity=7, layers="all", tsne=False).sample(data(600))
    assert np.array_equal(rows, same)
    assert not np.array_equal(rows, Embedding(images=60, perplexity=5).sample(data(600, name="other")))


def test_a_smaller_sample_is_a_part_of_a_larger_one():
    dataset = data(600)
    small, large = (Embedding(images=count, perplexity=5).sample(dataset) for count in (60, 120))
    assert set(small) < set(large)


def test_only_the_sample_is_mapped():
    dataset = data(600)
    features = codes(dataset)
    rows = Embedding(images=120).sample(dataset)
    alone = data(120)
    alone.test_labels = dataset.test_labels[rows]
    shown = evaluate(features, dataset, images=120, tsne=False)
    assert values(shown) == values(evaluate(features[rows], alone, tsne=False))


@pytest.mark.parametrize("supervised", [False, True])
def test_the_whole_test_split_is_read_as_announced(supervised):
    dataset, asked = data(), []
    features = codes(dataset)

    def read(wanted):
        asked.append(wanted)
        return features[wanted.rows]

    protocol = Embedding(tsne=False, images=60)
    protocol.evaluate(Subject(dataset, supervised, None, read), 0)
    (announced,), (wanted,) = protocol.reads(dataset, supervised), asked
    for one in (announced, wanted):
        assert one.split == "test"
        assert one.rows.tolist() == list(range(120))
        assert one.trained is (dataset.folds[0] if supervised else None)
        assert one.view == protocol.reads(dataset, supervised)[0].view


def test_the_headline_is_that_of_t_sne_and_without_it_of_pca(outcome):
    assert outcome.headlines[0].at == {"map": "t-SNE"}
    without = evaluate(codes(data()), tsne=False)
    assert without.headlines[0].at == {"map": "PCA"}
    assert len(without.figures["map"].axes) == 1


def test_codes_that_are_all_the_same_have_no_map():
    outcome = evaluate(np.ones((120, 4), dtype=np.float32))
    assert outcome.missing == "embedding: all images have the same code"
    assert outcome.measurements == []


def test_too_few_test_images_have_no_map():
    outcome = evaluate(codes(data(6)), data(6))
    assert outcome.missing == "embedding needs 10 test images, and there are 6"


def test_a_small_test_split_lowers_perplexity_and_neighbors_and_says_so():
    outcome = evaluate(codes(data(18)), data(18))
    assert outcome.warnings == [
        "embedding: perplexity lowered to 5.67 for 18 test images",
        "embedding: trustworthiness of 8 neighbors for 18 test images",
    ]
    assert evaluate(codes(data(96)), data(96)).warnings == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("embedding[images=90]", "a perplexity of 30 needs 91 images, not 90; set perplexity lower or images higher"),
        ("embedding[images=20,tsne=false]", "10 neighbors need 21 images, not 20; set neighbors lower or images hig"),
        ("embedding[perplexity=0.5]", "perplexity"),
        ("embedding[images=6000]", "images"),
    ],
)
def test_a_sample_that_does_not_suffice_is_reported_before_anything_runs(call, message):
    with pytest.raises(UserError, match=message):
        make_protocols([parse_call(call)])


def test_the_smallest_samples_that_suffice_are_taken():
    assert len(make_protocols([parse_call("embedding[images=91]"), parse_call("embedding[images=21,tsne=false]")])) == 2


def test_fewer_images_than_classes_are_the_users_mistake():
    dataset = data()
    dataset.classes = tuple(map(str, range(40)))
    with pytest.raises(UserError, match="30 images leave out some of 40 classes; set images higher"):
        evaluate(codes(dataset), dataset, images=30, tsne=False)


@pytest.mark.parametrize(("count", "entries"), [(3, 3), (20, 20), (21, 21), (100, 21)])
def test_a_legend_names_at_most_twenty_classes(count, entries):
    plane = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    labels = np.arange(200) % count
    figure = draw_maps({"PCA": plane}, labels, tuple(f"class {n}" for n in range(count)))
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == entries
    assert texts[-1] == (f"and {count - 20} more" if count > 20 else f"class {count - 1}")
    colors = {tuple(color) for color in figure.axes[0].collections[0].get_facecolors()}
    assert len(colors) == count, "every class has its color"
