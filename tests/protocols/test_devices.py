"""Protocols compute on the subject's device: what they call is asked for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made_protocols import make_protocols

from reprbench.images import Images
from reprbench.probes import knn, linear_svm, ranking, spectra
from reprbench.protocols.base import Subject
from reprbench.spec import parse_call


class Data:
    """Two folds of six examples in two classes."""

    name = "made"
    train = test = unlabeled = Images(np.arange(12 * 64).reshape(12, 1, 8, 8).astype(np.uint8))
    train_labels = test_labels = np.arange(12) % 2
    classes = ("a", "b")
    folds = (np.arange(6), np.arange(6, 12))


class Asked(Exception):
    """The device that a probe was asked to compute on."""


@pytest.mark.parametrize(
    ("call", "module", "probe"),
    [
        ("linear-svm", linear_svm, "train_fold"),
        ("few-labels[labels=[2]]", linear_svm, "train_fold"),
        ("logistic", linear_svm, "train_with"),
        ("knn", knn, "nearest"),
        ("knn[weighted=true]", knn, "nearest_cosines"),
        ("retrieval[k=[1]]", ranking, "rank"),
        ("geometry", spectra, "spectrum"),
    ],
)
def test_a_probe_is_asked_for_the_device_of_the_subject(
    call: str, module: Any, probe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*given: Any, **named: Any) -> None:
        raise Asked(named.get("device", given[-1]))

    monkeypatch.setattr(module, probe, ask)
    (protocol,) = make_protocols([parse_call(call)])
    features = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    subject = Subject(Data(), False, lambda rows: None, lambda wanted: features[wanted.rows], device="cuda:1")
    with pytest.raises(Asked, match="^cuda:1$"):
        protocol.evaluate(subject, 0)
