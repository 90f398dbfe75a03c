"""Few labels: nested subsets that everybody shares, and the SVM of Table 1 on them."""

from __future__ import annotations

import numpy as np
import pytest
from made_protocols import make_protocols
from sklearn.svm import LinearSVC

from reprbench.errors import UserError
from reprbench.probes import linear_svm
from reprbench.protocols.base import Outcome, Subject
from reprbench.protocols.few_labels import FewLabels, ranks_in_class
from reprbench.spec import parse_call


class Data:
    """Two folds of ten examples of each of three classes, and features of their classes with noise."""

    name = "toy"
    classes = ("a", "b", "c")
    train_labels = np.arange(60) % 3
    test_labels = np.arange(90) % 3
    train, test = range(60), range(90)
    folds = (np.arange(30), np.arange(30, 60))


CENTERS = np.random.default_rng(1).normal(size=(3, 20))


def feature_matrix(split: str) -> np.ndarray:
    labels = getattr(Data, f"{split}_labels")
    noise = np.random.default_rng(len(split)).normal(size=(len(labels), 20))
    return (CENTERS[labels] + 1.5 * noise).astype(np.float32)


def subject(data: object = Data, supervised: bool = False) -> Subject:
    return Subject(data, supervised, lambda rows: None, lambda asked: feature_matrix(asked.split)[asked.rows])


def evaluated(call: str, data: object = Data, supervised: bool = False, seed: int = 0) -> Outcome:
    (protocol,) = make_protocols([parse_call(call)])
    return protocol.evaluate(subject(data, supervised), seed)


def accuracies(outcome: Outcome) -> dict[tuple[int, int], float]:
    return {(m.at["fold"], m.at["labels"]): m.value for m in outcome.measurements if m.metric == "accuracy"}


def costs(outcome: Outcome) -> dict[tuple[int, int], float]:
    return {(m.at["fold"], m.at["labels"]): m.value for m in outcome.measurements if m.metric == "C"}


def trained_on(monkeypatch, call: str, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray, dict]]:
    """The features, labels and options of every SVM that the protocol trains."""
    asked = []
    train_fold = linear_svm.train_fold

    def spy(x, labels, *given, **named):
        asked.append((x, labels, named))
        return train_fold(x, labels, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(linear_svm, "train_fold", spy)
        evaluated(call, seed=seed)
    return asked


def test_ranks_count_each_class_in_an_order_that_is_drawn():
    labels = np.random.default_rng(0).integers(0, 4, 50)
    ranks = ranks_in_class(labels, np.random.default_rng(1))
    for label in range(4):
        assert sorted(ranks[labels == label]) == list(range((labels == label).sum()))
    assert not np.array_equal(ranks, ranks_in_class(labels, np.random.default_rng(2)))


def test_subsets_are_balanced_nested_and_the_same_for_every_seed(monkeypatch):
    one = trained_on(monkeypatch, "few-labels[labels=[1,3,7],costs=[0.1]]")
    other = trained_on(monkeypatch, "few-labels[labels=[1,3,7],costs=[0.1]]", seed=5)
    assert len(one) == 6
    for (x, labels, _), (again, _, _) in zip(one, other, strict=True):
        assert np.array_equal(x, again)
        assert np.ptp(np.bincount(labels, minlength=3)) == 0
    for fold in (one[:3], one[3:]):
        rows = [{tuple(row) for row in x.tolist()} for x, _, _ in fold]
        assert [len(found) for found in rows] == [3, 9, 21]
        assert rows[0] < rows[1] < rows[2]


def test_features_keep_their_labels_and_accuracy_is_that_of_liblinear(monkeypatch):
    outcome = evaluated("few-labels[labels=[5],costs=[0.01]]")
    train = feature_matrix("train")
    for fold, (x, labels, _) in enumerate(trained_on(monkeypatch, "few-labels[labels=[5],costs=[0.01]]")):
        for row, label in zip(x, labels, strict=True):
            (place,) = np.flatnonzero((train == row).all(1))
            assert place in Data.folds[fold] and Data.train_labels[place] == label
        spread = np.sqrt(x.var(0) + 0.01 * x.var(0).mean())
        other = LinearSVC(C=0.01, dual=False, tol=1e-9, max_iter=100_000).fit((x - x.mean(0)) / spread, labels)
        expected = 100 * other.score((feature_matrix("test") - x.mean(0)) / spread, Data.test_labels)
        assert accuracies(outcome)[fold, 5] == pytest.approx(expected)


def test_all_labels_of_the_fold_are_the_linear_svm():
    call = "[costs=[1e-4,1e-2,1],inner_folds=4]"
    (linear,) = make_protocols([parse_call(f"linear-svm{call}")])
    expected = [m.value for m in linear.evaluate(subject(), 3).measurements if m.metric == "accuracy"]
    outcome = evaluated(f"few-labels[labels=[10],{call[1:]}", seed=3)
    assert list(accuracies(outcome).values()) == expected


def test_one_label_takes_the_smallest_cost_and_few_labels_as_many_inner_folds(monkeypatch):
    call = "few-labels[labels=[1,2,3,10],costs=[1,0.001,0.1],inner_folds=5]"
    asked = trained_on(monkeypatch, call)
    assert [named["inner_folds"] for _, _, named in asked[1:4]] == [2, 3, 5]
    found = costs(evaluated(call))
    assert found[0, 1] == found[1, 1] == 0.001
    assert set(found.values()) <= {1, 0.001, 0.1}


def test_numbers_that_a_class_lacks_are_left_out_with_a_warning():
    class Short(Data):
        folds = (np.arange(30), np.arange(30, 51))  # ten and seven of each class

    outcome = evaluated("few-labels[labels=[5,10,20],costs=[0.1]]", Short)
    assert set(accuracies(outcome)) == {(0, 5), (1, 5), (0, 10)}
    assert outcome.warnings == [
        "10 labels per class left out in 1 of 2 folds: a class has fewer images there",
        "20 labels per class left out in 2 of 2 folds: a class has fewer images there",
    ]
    nothing = evaluated("few-labels[labels=[20],costs=[0.1]]", Short)
    assert nothing.missing and not nothing.measurements and not nothing.figures


@pytest.mark.parametrize(("labels", "headline"), [("[1,5,10]", 10), ("[1,6,9]", 9), ("[1,2]", 2), ("[10,20]", 10)])
def test_the_headline_is_ten_labels_or_the_nearest(labels, headline):
    outcome = evaluated(f"few-labels[labels={labels},costs=[0.1]]")
    assert outcome.headlines[0].at == {"labels": headline}


def test_more_labels_are_better_on_data_that_has_classes():
    found = accuracies(evaluated("few-labels[labels=[1,10],costs=[0.01]]"))
    assert all(found[fold, 10] > found[fold, 1] > 100 / 3 for fold in (0, 1))


def test_a_supervised_learner_saw_more_labels_and_the_row_says_so():
    call = "few-labels[labels=[1,2],costs=[0.1]]"
    assert any("saw all labels of each fold" in warning for warning in evaluated(call, supervised=True).warnings)
    assert evaluated(call).warnings == []


def test_ticks_are_the_numbers_of_labels():
    (panel,) = evaluated("few-labels[labels=[1,3,10],costs=[0.1]]").figures["curve"].axes
    assert panel.get_xscale() == "log"
    assert panel.get_xticks().tolist() == [1, 3, 10]


@pytest.mark.parametrize("wrong", ["labels=[0]", "labels=[]", "inner_folds=1"])
def test_wrong_parameters_are_the_users_mistake(wrong):
    with pytest.raises(UserError, match=wrong.partition("=")[0]):
        make_protocols([parse_call(f"few-labels[{wrong}]")])


def test_labels_in_any_order_and_twice_are_the_same_protocol():
    assert FewLabels(labels=(5, 1, 5)) == FewLabels(labels=(1, 5))
