"""Robustness: clean probes and reconstructions of corrupted images, on easy images and simple learners."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from made_protocols import make_protocols

from reprbench import Learner, SupervisedLearner
from reprbench.data.common_corruptions import COMMON_KINDS
from reprbench.data.corruptions import corrupted
from reprbench.data.dataset import Dataset, assemble
from reprbench.errors import UserError
from reprbench.features import extract
from reprbench.images import Images
from reprbench.protocols.base import Features, Measurement, Outcome, Subject
from reprbench.protocols.robustness import Robustness
from reprbench.spec import Call, parse_call

SIDE = 12


class Flat(Learner):
    """The pixels; it counts what it encodes."""

    size = 256

    def __init__(self) -> None:
        super().__init__()
        self.encoded = 0

    @property
    def encode_batch_size(self) -> int:
        return self.size

    def fit(self, images, run):
        """Nothing."""

    def encode(self, x):
        assert not torch.is_grad_enabled()
        self.encoded += len(x)
        return {"pixels": x.flatten(1)}


class Gray(Flat):
    """Reconstructs every image as one gray."""

    def reconstruct(self, x, layer=None):
        return torch.full_like(x, 0.5)


class Copying(Flat):
    """Reconstructs what it is given."""

    def reconstruct(self, x, layer=None):
        return x.clone()


class Seeing(SupervisedLearner):
    """Encodes an image as the labels of its fold would have it: a map that turns pixels with the fold."""

    def __init__(self, turn: int) -> None:
        super().__init__()
        self._turn = turn

    def fit_labeled(self, images, labels, run):
        """Nothing."""

    def encode(self, x):
        return {"pixels": x.flatten(1).roll(self._turn, dims=1)}


def easy(count: int = 60, n_folds: int = 2, seed: int = 0) -> Dataset:
    """Three classes: which third of the image is bright, on a dim background of noise."""
    rng = np.random.default_rng(seed)

    def split() -> tuple[Images, np.ndarray]:
        labels = np.arange(count, dtype=np.int64) % 3
        pixels = rng.integers(0, 120, (count, 1, SIDE, SIDE))
        for image, label in zip(pixels, labels, strict=True):
            image[:, 4 * label : 4 * label + 4] += 100
        return Images(pixels.astype(np.uint8)), labels

    (train, train_labels), (test, test_labels) = split(), split()
    folds = [np.sort(np.random.default_rng(n).permutation(count)[:45]) for n in range(n_folds)]
    return assemble(
        call=Call(name="easy"),
        title="Easy",
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=("top", "middle", "bottom"),
        content={},
        folds=folds,
    )


def subject_of(dataset: Dataset, learner: Learner) -> Subject:
    """An unsupervised subject whose features are extracted as the harness does."""

    def features(asked: Features) -> np.ndarray:
        images = getattr(dataset, asked.split).take(asked.rows)
        return np.concatenate([codes for (codes,) in extract(learner, images, [asked.view])])

    return Subject(dataset, False, lambda rows: learner, features)


def protocol(call: str = "robustness[mask=[0,0.4,0.8],gaussian=[],salt_and_pepper=[],occlusion=[0.25]]") -> Robustness:
    made = make_protocols([parse_call(call)])[0]
    assert isinstance(made, Robustness)
    return made


def evaluated(learner: Learner, dataset: Dataset | None = None, seed: int = 0, **changes) -> Outcome:
    changed = protocol().model_copy(update={"costs": (1e-3, 1e-1), "inner_folds": 3, **changes})
    return changed.evaluate(subject_of(dataset or easy(), learner), seed)


def value(outcome: Outcome, metric: str, **at: object) -> float:
    (one,) = [m for m in outcome.measurements if m.metric == metric and at.items() <= m.at.items()]
    return one.value


def test_the_identity_is_measured_against_the_clean_image():
    dataset, outcome = easy(), evaluated(Gray())
    clean = dataset.test.pixels(slice(None)) / 255
    for level in (0.4, 0.8):
        masked = corrupted(dataset, "mask", level).pixels(slice(None)) / 255
        error = np.square(masked - clean).mean()
        assert value(outcome, "MSE of the identity", corruption="mask", level=level) == pytest.approx(error, rel=1e-5)
        psnr = value(outcome, "PSNR of the identity", corruption="mask", level=level)
        assert psnr == pytest.approx(-10 * np.log10(error), rel=1e-5)
        # A reconstruction that ignores its input is as good at every level, and compared with the clean image.
        gray = np.square(clean - 0.5).mean()
        assert value(outcome, "MSE", corruption="mask", level=level) == pytest.approx(gray, rel=1e-5)


def test_a_learner_that_copies_is_as_good_as_the_identity_and_perfect_at_level_0():
    outcome = evaluated(Copying())
    by_place = {(m.metric, m.at["corruption"], m.at["level"]): m.value for m in outcome.measurements}
    names = [key for key in by_place if key[0] in ("MSE", "PSNR", "SSIM")]
    assert len(names) == 4 * 3 - 1  # no PSNR without an error
    for name, kind, level in names:
        assert by_place[name, kind, level] == by_place[f"{name} of the identity", kind, level]
    assert by_place["MSE", "mask", 0.0] == 0
    assert by_place["SSIM", "mask", 0.0] == pytest.approx(1)


def test_probes_learn_from_clean_codes_and_classify_corrupted_ones():
    dataset = easy()
    # Salt and pepper on every pixel leaves no trace of the class; on none it is plain.
    outcome = evaluated(Flat(), dataset, mask=(0.0, 1.0), occlusion=(), salt_and_pepper=(0.1, 1.0))
    assert value(outcome, "probe accuracy", corruption="mask", level=0.0, fold=0) == 100
    assert value(outcome, "probe accuracy", corruption="salt-and-pepper", level=0.1, fold=0) > 70
    assert value(outcome, "probe accuracy", corruption="salt-and-pepper", level=1.0, fold=0) < 60
    # Black images are all alike, so they are all given one class; a probe that had been trained on them, too.
    assert value(outcome, "probe accuracy", corruption="mask", level=1.0, fold=0) == pytest.approx(100 / 3)


def test_probes_at_any_level_equal_liblinear_trained_on_clean_pixels():
    from sklearn.svm import LinearSVC

    dataset = easy()
    outcome = evaluated(Flat(), dataset, costs=(0.01,))
    for fold, rows in enumerate(dataset.folds):
        train = dataset.train.pixels(rows).reshape(len(rows), -1) / 255
        spread = np.sqrt(train.var(0) + 0.01 * train.var(0).mean())
        other = LinearSVC(C=0.01, dual=False, tol=1e-9, max_iter=100_000)
        other.fit((train - train.mean(0)) / spread, dataset.train_labels[rows])
        for kind, level in (("mask", 0.0), ("mask", 0.4), ("mask", 0.8), ("occlusion", 0.25)):
            test = corrupted(dataset, kind, level).pixels(slice(None)).reshape(60, -1) / 255
            expected = 100 * other.score((test - train.mean(0)) / spread, dataset.test_labels)
            found = value(outcome, "probe accuracy", corruption=kind, level=level, fold=fold)
            assert found == pytest.approx(expected, abs=1e-9)


def test_level_0_is_the_accuracy_of_the_linear_svm():
    dataset = easy()
    (svm,) = make_protocols([parse_call("linear-svm[costs=[1e-3,1e-1],inner_folds=3]")])
    expected = [m.value for m in svm.evaluate(subject_of(dataset, Flat()), 5).measurements if m.metric == "accuracy"]
    outcome = evaluated(Flat(), dataset, seed=5)
    found = [value(outcome, "probe accuracy", corruption="mask", level=0.0, fold=fold) for fold in range(2)]
    assert found == expected


def test_level_0_is_the_clean_image_for_every_kind_and_no_other_level_is():
    outcome = evaluated(Copying(), mask=(0.0, 0.8), occlusion=(0.0, 0.5), gaussian=(0.0, 1.0))
    for kind, level in (("mask", 0.8), ("gaussian", 1.0), ("occlusion", 0.5)):
        for metric in ("MSE", "MSE of the identity"):
            assert value(outcome, metric, corruption=kind, level=0.0) == 0
            assert value(outcome, metric, corruption=kind, level=level) > 0.01
        for fold in range(2):
            at = {"corruption": kind, "fold": fold}
            assert value(outcome, "probe accuracy", level=0.0, **at) == 100
            assert value(outcome, "probe accuracy", level=level, **at) < 100


def test_a_learner_that_does_not_reconstruct_has_probes_and_a_warning():
    outcome = evaluated(Flat())
    assert any("does not reconstruct" in warning for warning in outcome.warnings)
    assert not {m.metric for m in outcome.measurements} & {"MSE", "PSNR", "SSIM"}
    assert {"probe accuracy", "MSE of the identity"} <= {m.metric for m in outcome.measurements}
    assert {curve.metric for curve in outcome.curves} == {"probe accuracy"}
    assert "does not reconstruct" in outcome.figures["grid"].get_suptitle()
    assert not any("does not reconstruct" in warning for warning in evaluated(Gray()).warnings)


def test_neither_the_batch_size_nor_a_second_run_changes_a_number():
    def numbers(size: int) -> list[Measurement]:
        learner = Copying()
        learner.size = size
        return evaluated(learner).measurements

    assert numbers(256) == numbers(256)
    for one, other in zip(numbers(256), numbers(7), strict=True):
        assert (one.metric, one.at) == (other.metric, other.at)
        assert one.value == pytest.approx(other.value, rel=1e-5)


def test_identity_and_corrupted_images_do_not_depend_on_the_seed():
    one, other = evaluated(Copying(), seed=0), evaluated(Copying(), seed=9)
    assert [m for m in one.measurements if "identity" in m.metric] == [
        m for m in other.measurements if "identity" in m.metric
    ]


def test_corrupted_images_are_encoded_once_for_all_folds():
    learner, dataset = Flat(), easy(n_folds=3)
    evaluated(learner, dataset)
    # Three folds ask for the features of train and test, which the harness would cache; then three corrupted copies.
    train = len(np.unique(np.concatenate(dataset.folds)))
    assert learner.encoded == 3 * (train + 60) + 3 * 60


def test_a_supervised_learner_encodes_each_fold_with_the_fit_of_that_fold():
    dataset = easy()
    learners = {rows.tobytes(): Seeing(5 * n) for n, rows in enumerate(dataset.folds)}
    loaded: Counter[int] = Counter()

    def learner(rows):
        loaded[learners[rows.tobytes()]._turn] += 1
        return learners[rows.tobytes()]

    def features(asked):
        images = getattr(dataset, asked.split).take(asked.rows)
        return np.concatenate([c for (c,) in extract(learners[asked.trained.tobytes()], images, [asked.view])])

    made = protocol().model_copy(update={"supervised_cost": 0.01})
    outcome = made.evaluate(Subject(dataset, True, learner, features), 0)
    # To an SVM the order of the features is nothing, but codes of another fold's fit would be in the wrong order.
    expected = evaluated(Flat(), dataset, costs=(0.01,))
    for level in (0.0, 0.4, 0.8):
        for fold in range(2):
            at = {"corruption": "mask", "level": level, "fold": fold}
            assert value(outcome, "probe accuracy", **at) == value(expected, "probe accuracy", **at)
    assert set(loaded) == {0, 5}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("robustness", {"corruption": "mask", "level": 0.4}),
        ("robustness[mask=[0.2,0.6]]", {"corruption": "mask", "level": 0.6}),
        ("robustness[mask=[],occlusion=[0.1]]", {"corruption": "gaussian", "level": 0.4}),
        ("robustness[mask=[],gaussian=[],salt_and_pepper=[]]", {"corruption": "occlusion", "level": 0.5}),
    ],
)
def test_the_headline_is_the_papers_middle_level_or_the_highest(call, expected):
    assert protocol(call).headline_at == expected


def test_every_measurement_of_the_headline_is_one_fold():
    outcome = evaluated(Flat())
    found = [m.at["fold"] for m in outcome.measurements if m.metric == "probe accuracy"
             and outcome.headlines[0].at.items() <= m.at.items()]  # fmt: skip
    assert found == [0, 1]


@pytest.mark.parametrize("wrong", ["mask=[1.2]", "gaussian=[-0.1]", "salt_and_pepper=[2]", "occlusion=[.5,1.5]"])
def test_levels_out_of_range_are_the_users_mistake(wrong):
    with pytest.raises(UserError, match=wrong.partition("=")[0]):
        protocol(f"robustness[{wrong}]")


def test_no_level_at_all_is_the_users_mistake():
    with pytest.raises(UserError, match="give at least one"):
        protocol("robustness[mask=[],gaussian=[],salt_and_pepper=[],occlusion=[]]")


def test_levels_in_any_order_and_twice_are_the_same_protocol():
    one, other = protocol("robustness[mask=[0.4,0,0.4]]"), protocol("robustness[mask=[0,0.4]]")
    assert one == other


def test_progress_rises_to_the_end_and_curves_find_their_measurements():
    shares: list[float] = []
    subject = subject_of(easy(), Gray())
    subject.progress = lambda what, share: shares.append(share) if "corrupted" in what else None
    outcome = protocol().model_copy(update={"costs": (0.01,)}).evaluate(subject, 0)
    assert shares == sorted(shares) and shares[-1] == 1
    for curve in outcome.curves:
        found = [m for m in outcome.measurements if m.metric == curve.metric and curve.at.items() <= m.at.items()]
        assert found and all(curve.x in m.at for m in found)


# -- common corruptions ------------------------------------------------------------------------------------------------

COMMON = "robustness[mask=[],gaussian=[],salt_and_pepper=[],occlusion=[],common=[jpeg,contrast],severities=[1,5]]"


def test_common_corruptions_have_a_probe_at_each_severity_and_over_all():
    dataset = easy()
    made = protocol(COMMON).model_copy(update={"costs": (0.01,)})
    outcome = made.evaluate(subject_of(dataset, Copying()), 0)
    assert not {m.metric for m in outcome.measurements} & {"MSE", "PSNR", "SSIM", "MSE of the identity"}
    # The common ones are in the order of their definition.
    places = {(m.at["corruption"], m.at["level"]) for m in outcome.measurements if m.metric == "probe accuracy"}
    assert places == {(kind, level) for kind in ("contrast", "jpeg") for level in (0, 1, 5)}
    for fold in range(2):
        found = {}
        for kind in ("contrast", "jpeg"):
            at = {"fold": fold, "corruption": kind}
            found[kind] = np.mean([value(outcome, "probe accuracy", level=level, **at) for level in (1, 5)])
            assert value(outcome, "accuracy over severities", **at) == pytest.approx(found[kind])
            assert value(outcome, "corruption error", **at) == pytest.approx(100 - found[kind])
        over_all = value(outcome, "accuracy over common corruptions", fold=fold)
        assert over_all == pytest.approx(np.mean(list(found.values())))
    assert [(one.metric, one.at) for one in outcome.headlines] == [
        ("probe accuracy", {"corruption": "contrast", "level": 5}),
        ("accuracy over common corruptions", {}),
    ]
    assert set(outcome.figures) == {"common-images", "common-curves"}
    for curve in outcome.curves:
        assert [m for m in outcome.measurements if m.metric == curve.metric and curve.at.items() <= m.at.items()]


def test_the_other_corruptions_have_the_same_numbers_beside_common_ones():
    alone, beside = evaluated(Copying()), evaluated(Copying(), common=("contrast",), severities=(3,))
    own = [m for m in beside.measurements if m.at.get("corruption") in ("mask", "occlusion")]
    assert own == alone.measurements
    assert set(beside.figures) == {"grid", "curves", "common-images", "common-curves"}
    clean = [m for m in beside.measurements if m.at.get("corruption") == "contrast" and m.at.get("level") == 0]
    assert {m.metric for m in clean} == {"probe accuracy"}


def test_all_common_corruptions_can_be_named_at_once():
    made = protocol("robustness[common=all]")
    assert made.common == COMMON_KINDS
    assert made.severities == (1, 2, 3, 4, 5)
    assert protocol("robustness[common=jpeg]") == protocol("robustness[common=[jpeg]]")
    assert protocol("robustness[common=[jpeg,contrast]]") == protocol("robustness[common=[contrast,jpeg,jpeg]]")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ("common=[rain]", "rain"),
        ("common=fog", r"common\.0: Input should be 'gaussian-noise', .* 'pixelate' or 'jpeg', not 'fog'"),
        ("common=all,severities=[6]", "less than or equal to 5"),
        ("common=all,severities=[]", "at least 1"),
        ("severities=[3]", "severities are those of common corruptions"),
    ],
)
def test_wrong_common_corruptions_are_the_users_mistake(wrong, what):
    with pytest.raises(UserError, match=what):
        protocol(f"robustness[{wrong}]")


def test_without_common_corruptions_the_identity_of_an_evaluation_is_that_of_before():
    from reprbench.file_parameter import parameters_by_content

    before = {"layers", "pooling", "grid", "folds", "costs", "inner_folds", "scale", "supervised_cost"}
    own = {"mask", "gaussian", "salt_and_pepper", "occlusion"}
    assert set(parameters_by_content(protocol("robustness"))) == before | own
    named = parameters_by_content(protocol(COMMON))
    assert (named["common"], named["severities"]) == (["contrast", "jpeg"], [1, 5])
    made = Robustness.model_validate(named)
    assert made == protocol(COMMON)
