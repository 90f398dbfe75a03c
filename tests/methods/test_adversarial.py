"""The adversarial game against a slow implementation with a separate forward pass for every loss."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from fits import blobs, fitted, take_step
from reprbench.methods.adversarial import (
    AdversarialLearner,
    detached,
    discriminator_loss,
    generator_loss,
    recording,
    start_normal,
    uniform_codes,
)
from reprbench.methods.ali import ALI
from reprbench.methods.bigan import BiGAN
from reprbench.methods.dcgan import DCGAN
from torch import nn

from reprbench import UserError
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded

CLASSES = [DCGAN, BiGAN, ALI]
each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.method_name)
each_order = pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
SHAPE = (3, 9, 11)


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def run_anew():
    return Run(5, Budget(epochs=1))


def ready(cls, **parameters):
    """A learner whose weights neither drown its gradients in rounding nor saturate its logits."""
    with seeded(3, "weights"):
        learner = make(cls, {"width": 3, **parameters}, SHAPE)
    for network in networks(learner).values():
        for weight in network.parameters():
            deviation = 1 / math.sqrt(weight[0].numel()) if weight.dim() > 1 else 0.3
            nn.init.normal_(weight, std=deviation, generator=torch.Generator().manual_seed(weight.numel()))
    learner.prepare(run_anew())
    return learner


def networks(learner):
    return {name: value for name, value in vars(learner).items() if isinstance(value, nn.Module)}


def snapshot(learner):
    return copy.deepcopy({name: network.state_dict() for name, network in networks(learner).items()})


def put_back(learner, state):
    for name, network in networks(learner).items():
        network.load_state_dict(state[name])


def images(count=5):
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(1))


def plain_probabilities(learner, x, run, passes=1):
    """The discriminator's probabilities after `passes` passes, each over originals, then fakes."""
    originals, fakes = learner.play(x, run)
    for _ in range(passes):
        real, fake = (torch.sigmoid(learner.judge(inputs, run)) for inputs in (originals, fakes))
    return real, fake


def plain_discriminator_gradient(learner, x):
    real, fake = plain_probabilities(learner, x, run_anew())
    objective = real.log().mean() + (1 - fake).log().mean()
    return torch.autograd.grad(-objective, list(learner.discriminator.parameters()))


def plain_generator_gradient(learner, x, run, logits):
    real, fake = logits(learner, x, run)
    objective = fake.log().mean() + ((1 - real).log().mean() if learner.infers else 0)
    weights = [weight for network in learner.players()["generator"] for weight in network.parameters()]
    return torch.autograd.grad(-objective, weights)


def in_turn(learner, x, run):
    """As `plain_probabilities`, but the dropout of the generator's move comes after that of the discriminator's.

    In that move the pass over fakes is the first.
    """
    originals, fakes = learner.play(x, run)
    for inputs in (originals, fakes):
        learner.judge(inputs, run)
    fake, real = (torch.sigmoid(learner.judge(inputs, run)) for inputs in (fakes, originals))
    return real, fake


def test_losses_are_those_computed_by_hand():
    real, fake = torch.tensor([0.0, math.log(3)]), torch.tensor([0.0, -math.log(3)])
    # σ(0) = 1/2, σ(ln 3) = 3/4; −ln(1/2) and −ln(3/4) for originals, the same for fakes.
    by_hand = (math.log(2) + math.log(4 / 3)) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(2 * by_hand)
    # −ln(1/2) and −ln(1/4).
    fooled = (math.log(2) + math.log(4)) / 2
    assert generator_loss(fake).item() == pytest.approx(fooled)
    assert generator_loss(fake, real).item() == pytest.approx(2 * fooled)


def test_losses_of_extreme_logits_are_finite_with_gradients():
    fake = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = generator_loss(fake, torch.tensor([-1e4, 1e4]))
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert fake.grad.tolist() == [-0.5, 0.0]


@pytest.mark.usefixtures("double")
@each_class
@each_order
def test_a_step_takes_the_gradients_of_the_written_objectives(cls, updates):
    learner, x = ready(cls, updates=updates, lr=0.05), images()
    start = snapshot(learner)
    take_step(learner, run_anew(), x)
    ours = {player: [weight.grad.clone() for weight in learner._weights(player)] for player in learner.players()}
    moved = snapshot(learner)
    put_back(learner, start)
    torch.testing.assert_close(ours["discriminator"], list(plain_discriminator_gradient(learner, x)))
    if updates == "alternating":
        at_old_weights = plain_generator_gradient(learner, x, run_anew(), in_turn)
        learner.discriminator.load_state_dict(moved["discriminator"])
        expected = plain_generator_gradient(learner, x, run_anew(), in_turn)
        assert not torch.allclose(expected[0], at_old_weights[0], rtol=1e-2)
    else:
        expected = plain_generator_gradient(learner, x, run_anew(), plain_probabilities)
        learner.discriminator.load_state_dict(moved["discriminator"])
        at_new_weights = plain_generator_gradient(learner, x, run_anew(), plain_probabilities)
        assert not torch.allclose(expected[0], at_new_weights[0], rtol=1e-2)
    torch.testing.assert_close(ours["generator"], list(expected))
    assert all(gradient.abs().max() > 1e-12 for gradients in ours.values() for gradient in gradients)


@pytest.mark.usefixtures("double")
@each_class
def test_gradients_are_finite_differences_of_the_loss_that_is_logged(cls):
    learner, x = ready(cls, updates="simultaneous"), images()
    start = snapshot(learner)
    take_step(learner, run_anew(), x)
    probes = [("discriminator", "discriminator_loss"), ("generator", "generator_loss")]
    slopes = {player: learner._weights(player)[0].grad.clone() for player, _ in probes}
    for player, loss in probes:
        weight, index = (
            learner._weights(player)[0],
            torch.unravel_index(slopes[player].abs().argmax(), slopes[player].shape),
        )
        values = []
        for shift in (1e-5, -1e-5):
            put_back(learner, start)
            with torch.no_grad():
                weight[index] += shift
            values.append(take_step(learner, run_anew(), x)[loss])
        assert ((values[0] - values[1]) / 2e-5).item() == pytest.approx(slopes[player][index].item(), rel=1e-4)


@each_class
@each_order
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_a_player_moves_its_own_weights_alone(cls, updates, player):
    learner = ready(cls, updates=updates)
    resting = next(iter(set(learner.players()) - {player}))
    learner._optimizers[resting].step = lambda: None
    before = {name: [w.clone() for w in learner._weights(name)] for name in learner.players()}
    take_step(learner, run_anew(), images())
    assert all(torch.equal(old, new) for old, new in zip(before[resting], learner._weights(resting), strict=True))
    assert not any(torch.equal(old, new) for old, new in zip(before[player], learner._weights(player), strict=True))


@each_class
def test_the_players_share_out_all_weights(cls):
    learner = ready(cls)
    owned = [id(weight) for player in learner.players() for weight in learner._weights(player)]
    assert sorted(owned) == sorted(id(w) for network in networks(learner).values() for w in network.parameters())
    assert learner._optimizers.keys() == {"discriminator", "generator"}
    for optimizer in learner._optimizers.values():
        assert optimizer.defaults["betas"] == (0.5, 0.999)
        assert optimizer.defaults["weight_decay"] == learner.weight_decay


@pytest.mark.parametrize("cls", [DCGAN, BiGAN], ids=lambda cls: cls.method_name)
@each_order
def test_running_averages_of_the_discriminator_are_those_of_originals_once_per_step(cls, updates):
    learner, x = ready(cls, updates=updates), images()
    twin = copy.deepcopy(learner)
    take_step(learner, run_anew(), x)
    originals, _ = twin.play(x, run_anew())
    twin.judge(originals, run_anew())
    expected, found = twin.discriminator.state_dict(), learner.discriminator.state_dict()
    averages = [name for name in expected if "running" in name or "tracked" in name]
    assert averages
    for name in averages:
        torch.testing.assert_close(found[name], expected[name])


@each_class
@each_order
def test_the_other_networks_record_one_pass_per_step(cls, updates):
    learner = ready(cls, updates=updates)
    for _ in range(3):
        take_step(learner, run_anew(), images())
    counts = [
        int(count)
        for network in learner.players()["generator"]
        for name, count in network.state_dict().items()
        if name.endswith("tracked")
    ]
    assert counts and set(counts) == {3}


def test_unrecorded_batches_are_normalized_by_their_own_statistics():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False))
    before = copy.deepcopy(network.state_dict())
    with recording(network, False):
        normalized = network(torch.rand(50, 3) + 7)
    torch.testing.assert_close(normalized.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    with recording(network, True):
        network(torch.rand(50, 3))
    assert network[1].num_batches_tracked == 1
    with pytest.raises(KeyError), recording(network, False):
        raise KeyError
    assert network[1].track_running_stats


@each_class
def test_the_values_of_an_undecided_discriminator_are_those_of_a_coin(cls):
    learner = ready(cls)
    nn.init.zeros_(learner.discriminator.last.weight)
    if learner.discriminator.last.bias is not None:
        nn.init.zeros_(learner.discriminator.last.bias)
    values = take_step(learner, run_anew(), images())
    assert values["discriminator_loss"].item() == pytest.approx(2 * math.log(2))
    assert values["discriminator_accuracy"].item() == 0


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        (1.0, "had won"),
        (0.98, "had won"),
        (0.97, ""),
        (0.53, ""),
        (0.515, "at chance"),
        (0.485, "at chance"),
        (0.4, ""),
    ],
)
def test_a_game_without_a_contest_is_reported(accuracy, words):
    history = [{"discriminator_accuracy": 0.7}, {"discriminator_accuracy": accuracy}]
    warnings = DCGAN().warnings(history)
    assert [words in sentence for sentence in warnings] == ([True] if words else [])
    assert DCGAN().warnings([]) == []


def test_a_single_image_is_refused():
    with pytest.raises(UserError, match="two images"):
        fitted(BiGAN, blobs(1))


def test_weights_start_normal_and_codes_are_uniform():
    network = nn.Sequential(nn.Linear(200, 300), nn.ConvTranspose2d(30, 40, 5), nn.BatchNorm2d(40))
    start_normal(network, 0.02)
    for layer in network[:2]:
        assert layer.weight.mean().abs() < 1e-3
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
        assert not layer.bias.any()
    assert (network[2].weight == 1).all()
    codes = uniform_codes(500, 100, torch.Generator().manual_seed(0))
    assert codes.shape == (500, 100) and codes.min() >= -1 and codes.max() <= 1
    assert codes.var().item() == pytest.approx(1 / 3, rel=0.02)


def test_detached_inputs_are_constants():
    tensor = torch.ones(2, requires_grad=True) * 2
    (constant,) = detached((tensor,))
    assert torch.equal(constant, tensor) and not constant.requires_grad


def test_the_bases_are_not_methods_themselves():
    assert AdversarialLearner.method_name == ""
