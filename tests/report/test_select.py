from __future__ import annotations

import pytest
from trials import evaluation, method, trial

from reprbench.errors import UserError
from reprbench.report.select import Wanted, known_benchmarks, select_tables, select_trials
from reprbench.report.table import make_tables

KMEANS = method("kmeans[n_centroids=8]")
TRIALS = [
    trial("AE", benchmark="mine", evaluations=[evaluation([1.0])]),
    trial("K-means", digest="b" * 64, benchmark="yours", method=KMEANS, protocols=["linear-svm[pooling=sum]", "knn"]),
]


@pytest.mark.parametrize(
    ("wanted", "labels"),
    [
        (Wanted(), ["AE", "K-means"]),
        (Wanted(benchmarks=("mine",)), ["AE"]),
        (Wanted(methods=("k-means",)), ["K-means"]),
        (Wanted(methods=("kmeans",)), ["K-means"]),
        (Wanted(methods=("kmeans[n_centroids=8]", "AE")), ["AE", "K-means"]),
        (Wanted(datasets=("digits",)), ["AE", "K-means"]),
    ],
)
def test_trials_are_chosen_by_any_of_their_names(wanted, labels):
    assert [one.label for one in select_trials(TRIALS, wanted)] == labels


@pytest.mark.parametrize(("protocols", "count"), [((), 3), (("linear-svm",), 2), (("linear-svm[pooling=sum]",), 1)])
def test_tables_are_chosen_by_protocol(protocols, count):
    assert len(select_tables(make_tables(TRIALS), Wanted(protocols=protocols))) == count


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(benchmarks=("mien",)), ["--benchmark 'mien'", "Did you mean 'mine'"]),
        (Wanted(methods=("kmean",)), ["--method 'kmean'", "Did you mean 'kmeans'"]),
        (Wanted(datasets=("mnist",)), ["--dataset 'mnist'", "Known: Digits, digits"]),
        (Wanted(benchmarks=("mine",), methods=("kmeans",)), ["no trial matches all"]),
    ],
)
def test_what_is_not_there_is_named(wanted, words):
    with pytest.raises(UserError) as caught:
        select_trials(TRIALS, wanted)
    for word in words:
        assert word in str(caught.value)


def test_a_protocol_that_is_not_there_is_named():
    with pytest.raises(UserError, match="--protocol 'kn'.*Did you mean 'knn'"):
        select_tables(make_tables(TRIALS), Wanted(protocols=("kn",)))


def test_a_trial_in_two_stores_is_one():
    assert len(select_trials([*TRIALS, *TRIALS], Wanted())) == 2


def test_a_benchmark_is_narrowed_to_the_wanted_methods():
    stl = [trial("AE", benchmark="table1-stl10")]
    assert len(known_benchmarks(stl, Wanted())["table1-stl10"].methods) > 10
    narrow = known_benchmarks(stl, Wanted(methods=("ae",)))["table1-stl10"].methods
    assert [row.label for row in narrow] == ["AE"]
    assert known_benchmarks(TRIALS, Wanted()) == {}
