"""Fine-tuning: a copy is trained, by the stated rule, on nothing but a fold."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from common import values
from made_protocols import make_protocols
from reprbench.methods.autoencoders import AE
from reprbench.methods.controls import PCA, RawPixels
from torch import nn

from reprbench.data.dataset import Dataset, assemble
from reprbench.features import View, extract
from reprbench.images import Images
from reprbench.learner import Learner, SupervisedLearner, make
from reprbench.probes.fine_tuning import FineTuned, spread_of, why_not
from reprbench.probes.heads import accuracy_of_head
from reprbench.protocols.base import Features, Outcome, Subject
from reprbench.protocols.fine_tune import FineTune
from reprbench.run_context import Run, seeded
from reprbench.spec import Budget, Call, parse_call
from reprbench.state import learner_state

SIDE, VIEW = 8, View(pooling="mean", grid=1)


class Convolving(Learner):
    """A small network with batch normalization and dropout, as it was initialized."""

    factor = 1.0

    def build(self, shape):
        self.network = nn.Sequential(
            nn.BatchNorm2d(shape[0]), nn.Conv2d(shape[0], 6, 3, padding=1), nn.ReLU(), nn.Dropout(0.1)
        )
        self.unused = nn.Linear(2, 2)

    def fit(self, images, run):
        """Nothing."""

    def encode(self, x):
        return {"maps": self.factor * self.network(x)}


class Larger(Convolving):
    factor = 4096.0


class Closed(Convolving):
    def encode(self, x):
        with torch.no_grad():
            return super().encode(x)


class Wide(SupervisedLearner):
    def fit_labeled(self, images, labels, run):
        """Nothing."""

    build, encode, factor = Convolving.build, Convolving.encode, 1.0


def stripes(seed: int = 0, count: int = 90, test_seed: int = 1) -> Dataset:
    """Three classes by the direction of a stripe anywhere in noise: what mean pixels do not tell."""

    def split(number: int) -> tuple[Images, np.ndarray]:
        rng = np.random.default_rng(number)
        labels = np.arange(count, dtype=np.int64) % 3
        pixels = rng.integers(0, 150, (count, 1, SIDE, SIDE))
        for image, label in zip(pixels, labels, strict=True):
            place, steps = rng.integers(0, SIDE), np.arange(SIDE)
            where = [(place, steps), (steps, place), (steps, (steps + place) % SIDE)][label]
            image[0][where] += 100
        return Images(pixels.astype(np.uint8)), labels

    (train, train_labels), (test, test_labels) = split(seed), split(test_seed)
    return assemble(
        call=Call(name="stripes"),
        title="Stripes",
        train=train,
        train_labels=train_labels,
        test=test,
        test_labels=test_labels,
        classes=("across", "down", "diagonal"),
        content={},
        folds=[np.arange(60, dtype=np.int64), np.arange(30, 90, dtype=np.int64)],
    )


def built(cls: type[Learner], seed: int = 0, **parameters) -> Learner:
    with seeded(seed, "weights"):
        return make(cls, parameters, (1, SIDE, SIDE))


def subject_of(learner, dataset: Dataset | None = None, supervised: bool = False) -> Subject:
    dataset = dataset or stripes()
    chosen = learner if callable(learner) else lambda rows: learner

    def features(asked: Features) -> np.ndarray:
        images = getattr(dataset, asked.split).take(asked.rows)
        return np.concatenate([codes for (codes,) in extract(chosen(asked.trained), images, [asked.view])])

    return Subject(dataset, supervised, chosen, features)


def protocol(**changes) -> FineTune:
    (made,) = make_protocols([parse_call("fine-tune[epochs=15,batch_size=20,learning_rates=[0.02],costs=[0.01]]")])
    return made.model_copy(update=changes)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return protocol().evaluate(subject_of(built(Convolving)), 0)


def test_what_the_frozen_features_do_not_tell_is_learned(outcome):
    assert np.mean(values(outcome, "accuracy")) > np.mean(values(outcome, "frozen accuracy")) + 10
    assert [m.at for m in outcome.measurements if m.metric == "accuracy"] == [{"fold": 0}, {"fold": 1}]
    assert values(outcome, "learning rate") == [0.02, 0.02] and outcome.missing == ""


def test_nothing_of_the_learner_changes():
    learner = built(Convolving)
    learner.network[1].bias.requires_grad_(False)
    learner.network.eval()
    before = copy.deepcopy(learner_state(learner))
    protocol().evaluate(subject_of(learner), 0)
    after = learner_state(learner)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    modules = list(learner.network.modules())
    assert not any(module.training for module in modules) and learner.unused.training
    assert all(weight.grad is None for weight in learner.network.parameters())
    assert not learner.network[1].bias.requires_grad


def test_the_same_seed_gives_the_same_bits_and_another_one_others(outcome):
    again = protocol().evaluate(subject_of(built(Convolving)), 0)
    assert again.measurements == outcome.measurements
    other = protocol().evaluate(subject_of(built(Convolving)), 1)
    assert values(other, "training accuracy") != values(outcome, "training accuracy")


def test_it_is_blind_to_the_scale_of_the_features(outcome):
    larger = protocol().evaluate(subject_of(built(Larger)), 0)
    assert values(larger, "accuracy") == values(outcome, "accuracy")
    assert values(larger, "training accuracy") == values(outcome, "training accuracy")


@pytest.mark.parametrize(
    ("learner", "reason"),
    [
        (RawPixels(), "raw-pixels cannot be fine-tuned: its features come from no network with weights"),
        (PCA(n_components=4), "pca cannot be fine-tuned: its features come from no network with weights"),
        (built(Closed), "Closed cannot be fine-tuned: no gradient of its features reaches the weights of its networks"),
    ],
)
def test_a_learner_that_cannot_be_fine_tuned_gets_an_empty_row_that_says_why(learner, reason):
    dataset = stripes()
    if isinstance(learner, PCA):
        learner.fit(dataset.train, Run(0, Budget(epochs=1)))
    found = protocol().evaluate(subject_of(learner, dataset), 0)
    assert (found.missing, found.measurements) == (reason, [])


def test_a_method_of_the_shared_loop_can_be_fine_tuned():
    learner = built(AE, width=2)
    assert why_not(learner, VIEW, torch.rand(2, 1, SIDE, SIDE)) == ""
    found = protocol(epochs=1).evaluate(subject_of(learner), 0)
    assert len(values(found, "accuracy")) == 2


def test_the_rate_is_chosen_inside_the_fold():
    rates = (1e-2, 2e-2, 500.0)
    found = protocol(learning_rates=rates).evaluate(subject_of(built(Convolving)), 0)
    chosen = values(found, "learning rate")
    assert set(chosen) <= {1e-2, 2e-2} and len(values(found, "inner accuracy")) == 2
    # Another test split changes no choice.
    other = protocol(learning_rates=rates).evaluate(subject_of(built(Convolving), stripes(test_seed=5)), 0)
    for metric in ("learning rate", "inner accuracy", "training accuracy"):
        assert values(other, metric) == values(found, metric)
    edges = sum(rate == 1e-2 for rate in chosen)
    said = f"learning rate at the edge of its grid in {edges} of 2 folds"
    assert (said in found.warnings) == bool(edges)
    # Of equal accuracies the smallest rate is taken.
    tied = protocol(learning_rates=(1e-9, 2e-9)).evaluate(subject_of(built(Convolving)), 0)
    assert values(tied, "learning rate") == [1e-9, 1e-9]


def test_each_fold_of_a_supervised_learner_is_tuned_from_its_own_fit():
    fits = {30: built(Wide, 1), 0: built(Wide, 2)}
    asked: list[int] = []

    def chosen(rows):
        asked.append(int(rows[0]))
        return fits[int(rows[0])]

    found = protocol(epochs=1).evaluate(subject_of(chosen, supervised=True), 0)
    assert set(asked) == {0, 30} and len(values(found, "accuracy")) == 2
    assert any("frozen accuracy: C = 1, not chosen" in warning for warning in found.warnings)


# -- the training, against a plain loop --------------------------------------------------------------------------------


def tuned(learner: Learner, dataset: Dataset, epochs: int = 3) -> FineTuned:
    features = np.concatenate([codes for (codes,) in extract(learner, dataset.train, [VIEW])])
    made = FineTuned(learner, VIEW, features, 3, batch_size=20, learning_rate=0.01)
    with seeded(0, "fit"):
        made.fit_labeled(dataset.train, dataset.train_labels, Run(0, Budget(epochs=epochs)))
    return made


def test_it_is_adam_along_half_a_cosine():
    dataset, learner = stripes(), built(Convolving)
    learner.network[3].p = 0.0
    found = tuned(learner, dataset)
    encoder = copy.deepcopy(learner.network).train()
    norm, head = nn.BatchNorm1d(6, affine=False), nn.Linear(6, 3)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    x, y = dataset.train.batch(slice(None)), torch.from_numpy(dataset.train_labels)
    with torch.no_grad():
        features = copy.deepcopy(learner.network).eval()(x).mean((2, 3)).double()
    spread = math.sqrt(float((features - features.mean(0)).square().mean()))
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3 * 4)
    run = Run(0, Budget(epochs=3))
    for epoch in range(3):
        order = run.numpy_generator(f"order/{epoch}").permutation(90)
        for rows in np.split(order[:80], 4):
            optimizer.zero_grad()
            logits = head(norm(encoder(x[rows]).mean((2, 3)) / spread))
            nn.functional.cross_entropy(logits, y[rows]).backward()
            optimizer.step()
            schedule.step()
    for own, plain in ((found.network.head, head), (found.network.learner.network[1], encoder[1])):
        assert torch.allclose(own.weight, plain.weight, atol=2e-5)
        assert not torch.equal(own.weight, torch.zeros_like(own.weight))


def test_batch_normalizations_are_measured_anew():
    dataset, learner = stripes(), built(Convolving)
    found = tuned(learner, dataset)
    x = dataset.train.batch(slice(None))
    assert found.network.learner.network[0].running_mean.item() == pytest.approx(x.mean().item(), rel=1e-5)
    assert not any(module.training for module in found.network.modules())
    with torch.no_grad():
        pooled = found.network.learner.network(x).mean((2, 3)) / found.network.spread
    assert torch.allclose(found.network.norm.running_mean, pooled.mean(0), rtol=1e-3)
    right = (found.network(x).argmax(1).numpy() == dataset.train_labels).mean()
    assert accuracy_of_head(found, dataset.train, dataset.train_labels, "cpu") == pytest.approx(right)


def test_the_common_scale():
    rng = np.random.default_rng(0)
    features = rng.normal(3, 5, (1000, 4)).astype(np.float32)
    assert spread_of(features) == pytest.approx(5, rel=0.05)
    assert spread_of(8 * features) == 8 * spread_of(features)
    assert spread_of(np.ones((5, 3), np.float32)) == 1
