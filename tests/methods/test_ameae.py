"""The adversarial mechanism against an implementation with one backward pass per player."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from fits import blobs, digits, fitted, interrupting, take_step
from reprbench.methods.ameae import AMEAE, LARGEST_GAIN, DenoisingAMEAE, SparseAMEAE, turned
from reprbench.methods.autoencoders import AE, DAE, SparseAE
from torch import nn
from torch.nn import functional

from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded
from reprbench.state import learner_state

PAIRS = [(AMEAE, AE), (DenoisingAMEAE, DAE), (SparseAMEAE, SparseAE)]
OPTIONS = list(itertools.product(["originals", "separate", "joint"], [True, False]))


class NaiveEncoder:
    """The encoder written out by hand; the statistics of every normalization can be given."""

    def __init__(self, encoder: nn.Module) -> None:
        self.encoder = encoder

    def __call__(self, x, given=None):
        self.statistics, self.given = [], iter(given) if given else None
        x = self.unit(self.encoder.stem, x).relu()
        for block in self.encoder.blocks:
            residual = self.unit(block.stride, self.unit(block.reduce, x).relu()).relu()
            residual = self.unit(block.expand, residual)
            x = (residual + self.unit(block.project, functional.avg_pool2d(x, 2, ceil_mode=True))).relu()
        code = self.unit(self.encoder.last, x).relu()
        return code.flatten(1) if self.encoder.vector_code else code

    def unit(self, unit, x):
        y = functional.conv2d(x, unit.conv.weight, None, unit.conv.stride, unit.conv.padding, groups=unit.conv.groups)
        own = (y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True))
        mean, variance = next(self.given) if self.given else own
        self.statistics.append((mean, variance))
        scale, offset = unit.scale.view(1, -1, 1, 1), unit.offset.view(1, -1, 1, 1)
        return (y - mean) / (variance + 1e-5).sqrt() * scale + offset


def naive_gradients(learner, x, shown):
    """Return the gradients of both players' objectives, each from a forward pass of its own.

    The objectives are the paper's, with the summed squared error, divided by the numbers of an image. The third
    gradients are those of the decoder's objective without the reconstruction error.
    """
    encoder, size = NaiveEncoder(learner.encoder), x[0].numel()
    generator = Run(0, Budget(epochs=1)).generator("instance noise")
    noise = [learner.instance_noise * torch.randn(x.shape, generator=generator) for _ in range(2)]

    def objectives(x_hat_for_c):
        h = encoder(shown)
        x_hat = learner.decoder(h)
        judged = (x_hat.detach() if x_hat_for_c == "detached" else x_hat) + noise[1]
        if learner.statistics == "joint":
            real, fake = learner.classifier(encoder(torch.cat([x + noise[0], judged]))).chunk(2)
        else:
            real = learner.classifier(encoder(x + noise[0]))
            given = encoder.statistics if learner.statistics == "originals" else None
            fake = learner.classifier(encoder(judged, given))
        common = learner.lambda_rec * ((x - x_hat) ** 2).sum((1, 2, 3)).mean() / size
        sparsity = getattr(learner, "sparsity", 0) * h.mean()
        discrimination = -(torch.sigmoid(real).log() + (1 - torch.sigmoid(fake)).log()).mean()
        generation = -torch.sigmoid(fake).log().mean()
        deceit = learner.lambda_dis * generation / size
        return common + sparsity + learner.lambda_dis * discrimination / size, common + deceit, deceit

    first, *_ = objectives("detached" if learner.detach_reconstruction else "attached")
    players = [*learner.encoder.parameters(), *learner.classifier.parameters()]
    encoding = torch.autograd.grad(first, players)
    _, second, deceit = objectives("attached")
    weights = list(learner.decoder.parameters())
    return encoding, *(torch.autograd.grad(one, weights, retain_graph=True) for one in (second, deceit))


def doubled(cls, shape=(3, 9, 11), **parameters):
    with seeded(3, "weights"):
        learner = make(cls, {"width": 4, **parameters}, shape)
    for network in (learner.encoder, learner.decoder, learner.classifier):
        network.double()
        for weight in network.parameters():
            # Scales of 1 and offsets of 0 would hide mistakes.
            # Were C surer, nothing would be left of its gradients.
            std = 0.02 if network is learner.classifier else 0.5
            nn.init.normal_(weight, std=std, generator=torch.Generator().manual_seed(weight.numel()))
    return learner


@pytest.mark.parametrize("cls", [AMEAE, DenoisingAMEAE, SparseAMEAE], ids=lambda cls: cls.method_name)
@pytest.mark.parametrize(("statistics", "detach"), OPTIONS)
@pytest.mark.parametrize(
    ("shape", "noise"),
    [((3, 9, 11), 0.0), ((3, 9, 11), 0.3), ((1, 32, 33), 0.0)],
    ids=["vector code", "vector code with noise", "map code"],
)
def test_both_players_get_the_gradients_of_their_own_objectives(cls, statistics, detach, shape, noise):
    weights = {"lambda_dis": 0.7 * math.prod(shape), "lambda_rec": 1.3}
    options = {"statistics": statistics, "detach_reconstruction": detach, "instance_noise": noise, **weights}
    learner = doubled(cls, shape, **options, **({"sparsity": 0.2} if cls is SparseAMEAE else {}))
    x = torch.rand(4, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = learner.backward(x, Run(0, Budget(epochs=1)))
    # A new run draws the same noise again.
    shown = learner.corrupt(x, Run(0, Budget(epochs=1)))
    encoding, decoding, deceit = naive_gradients(learner, x, shown)
    ours = [weight.grad for network in (learner.encoder, learner.classifier) for weight in network.parameters()]
    torch.testing.assert_close(ours, list(encoding))
    torch.testing.assert_close([weight.grad for weight in learner.decoder.parameters()], list(decoding))
    assert all(gradient.abs().max() > 1e-9 for gradient in [*ours, *decoding])
    # Both parts of the decoder's gradient are seen.
    assert all(1e-4 < part.norm() / whole.norm() < 0.9 for part, whole in zip(deceit, decoding, strict=True))
    assert 0 <= values["classifier_accuracy"] <= 1


@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_gain_and_ratio_are_those_of_autograd(detach, noise):
    options = {"lambda_dis": 200.0, "lambda_rec": 1.3, "detach_reconstruction": detach, "instance_noise": noise}
    learner, shape = doubled(AMEAE, **options), (3, 9, 11)
    x = torch.rand(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = learner.backward(x, Run(0, Budget(epochs=1)))
    encoder, generator = NaiveEncoder(learner.encoder), Run(0, Budget(epochs=1)).generator("instance noise")
    x_hat = learner.decoder(encoder(x)).detach().requires_grad_()
    encoder(x + noise * torch.randn(x.shape, generator=generator))
    statistics = [(mean.detach(), variance.detach()) for mean, variance in encoder.statistics]
    logits = learner.classifier(encoder(x_hat + noise * torch.randn(x.shape, generator=generator), statistics))
    (slopes,) = torch.autograd.grad(logits.sum(), x_hat, retain_graph=True)
    gains = slopes.flatten(1).norm(dim=1)
    assert values["classifier_gain"].item() == pytest.approx(gains.median().item(), rel=1e-5)
    adversarial = 200 * functional.softplus(-logits).mean()
    error = 1.3 * (x - x_hat).square().sum((1, 2, 3)).mean()
    one, other = (torch.autograd.grad(term, x_hat, retain_graph=True)[0].norm() for term in (adversarial, error))
    assert values["gradient_ratio"].item() == pytest.approx((one / other).item(), rel=1e-5)


@pytest.mark.parametrize("without", ["lambda_dis", "lambda_rec"])
def test_without_one_of_the_gradients_there_is_no_ratio(without):
    _, run = fitted(AMEAE, blobs(), **{without: 0})
    assert {"classifier_gain", "gradient_ratio"}.isdisjoint(run.history[0])


def test_the_weights_are_those_of_the_paper():
    assert AMEAE().lambda_dis == AMEAE().lambda_rec == 1


def test_instance_noise_is_drawn_only_where_it_is_wanted_and_resumes(tmp_path, monkeypatch):
    images = blobs(40)
    noisy, quiet = (fitted(AMEAE, images, **given)[1] for given in ({}, {"instance_noise": 0}))
    assert "instance noise" in noisy._generators.keys() - quiet._generators.keys()
    whole, _ = fitted(AMEAE, images, epochs=3, instance_noise=0.2)
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr("reprbench.run_context.CHECKPOINT_SHARE", 0)
    monkeypatch.setattr("reprbench.training.REPORT_SECONDS", 0.0)
    with seeded(0, "weights"):
        broken = make(AMEAE, {"width": 8, "batch_size": 8, "instance_noise": 0.2}, images.shape)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(images, Run(0, Budget(epochs=3), folder=tmp_path, progress=interrupting(7)))
    again, run = fitted(AMEAE, images, epochs=3, folder=tmp_path, instance_noise=0.2)
    assert run.resumed
    ours, theirs = learner_state(whole), learner_state(again)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("gain", "exploded"), [(LARGEST_GAIN, False), (LARGEST_GAIN + 1, True)])
def test_a_gain_that_exploded_by_the_last_epoch_is_reported(gain, exploded):
    history = [{"classifier_gain": 1e6}, {"classifier_gain": gain}]
    assert ["gain exploded" in warning for warning in AMEAE().warnings(history)] == [True] * exploded


@pytest.mark.parametrize(("cls", "partner"), PAIRS, ids=lambda cls: cls.method_name)
@pytest.mark.parametrize("statistics", ["originals", "separate", "joint"])
def test_without_discrimination_a_method_is_its_partner_bit_for_bit(cls, partner, statistics):
    images = blobs()
    adversarial, _ = fitted(cls, images, epochs=2, lambda_dis=0, statistics=statistics)
    plain, _ = fitted(partner, images, epochs=2)
    ours, theirs = learner_state(adversarial), learner_state(plain)
    assert set(ours) - set(theirs) == {name for name in ours if name.startswith("classifier.")}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("cls", "partner"), PAIRS, ids=lambda cls: cls.method_name)
def test_a_pair_differs_by_the_mechanism_alone(cls, partner):
    own = {"lambda_dis", "lambda_rec", "instance_noise", "statistics", "detach_reconstruction"}
    assert {name: value for name, value in cls().parameters().items() if name not in own} == partner().parameters()


def weights_of(network):
    return torch.cat([weight.detach().flatten() for weight in network.parameters()])


def test_the_players_share_out_all_weights():
    learner, _ = fitted(AMEAE, blobs())
    optimizers = learner.optimizers()
    owned = {player: {id(w) for w in optimizer.param_groups[0]["params"]} for player, optimizer in optimizers.items()}
    own = {name: {id(w) for w in getattr(learner, name).parameters()} for name in ("encoder", "classifier", "decoder")}
    assert owned == {"encoder": own["encoder"] | own["classifier"], "decoder": own["decoder"]}


@pytest.mark.parametrize("player", ["encoder", "decoder"])
def test_the_step_of_a_player_does_not_move_the_other(player):
    images = blobs()
    learner, run = fitted(AMEAE, images)
    networks = {name: getattr(learner, name) for name in ("encoder", "decoder", "classifier")}
    before = {name: weights_of(network) for name, network in networks.items()}
    learner._optimizers = {player: learner._optimizers[player]}
    take_step(learner, run, images.batch(slice(0, 8)))
    moved = {name for name, network in networks.items() if not torch.equal(before[name], weights_of(network))}
    assert moved == ({"encoder", "classifier"} if player == "encoder" else {"decoder"})


@pytest.mark.parametrize(("cls", "partner"), PAIRS, ids=lambda cls: cls.method_name)
@pytest.mark.parametrize(("statistics", "detach"), OPTIONS)
def test_running_averages_come_from_the_pass_for_the_code_alone(cls, partner, statistics, detach):
    images = blobs()
    learner, run = fitted(cls, images, epochs=1, lambda_dis=5, statistics=statistics, detach_reconstruction=detach)
    with seeded(1, "weights"):
        plain = make(partner, {"width": 8}, images.shape)
    for name in ("encoder", "decoder"):
        getattr(plain, name).load_state_dict(getattr(learner, name).state_dict())
    x = images.batch(slice(0, 8))
    learner.prepare(run)
    learner.backward(x, run)
    other = Run(0, Budget(epochs=1))
    other.generator("noise").set_state(fitted(cls, images, epochs=1)[1].generator("noise").get_state())
    plain.prepare(other)
    plain.loss(x, other)
    ours, theirs = learner_state(learner), learner_state(plain)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs if "running" in name)


def test_turning_the_blame_of_extreme_logits_stays_finite():
    logits = torch.tensor([-200.0, -50.0, 0.0, 50.0, 200.0])
    blame = torch.sigmoid(logits).view(-1, 1, 1, 1)
    deceit = turned(blame, logits).flatten()
    assert deceit.isfinite().all()
    torch.testing.assert_close(deceit[1:], -torch.sigmoid(-logits[1:]))


def test_the_values_of_an_undecided_classifier_are_those_of_a_coin():
    images = blobs()
    learner, run = fitted(AMEAE, images)
    for weight in learner.classifier.layers[2].parameters():
        nn.init.zeros_(weight)
    nn.init.constant_(learner.classifier.layers[2].bias, 1e-6)
    values = take_step(learner, run, images.batch(slice(0, 8)))
    assert values["classifier_accuracy"].item() == 0.5
    assert values["discrimination"].item() == pytest.approx(2 * math.log(2), rel=1e-4)
    assert values["generation"].item() == pytest.approx(math.log(2), rel=1e-4)


@pytest.mark.parametrize(
    ("accuracy", "at_chance"), [(0.5, True), (0.54, True), (0.46, True), (0.56, False), (0.4, False)]
)
def test_a_classifier_at_chance_in_the_last_epoch_is_reported(accuracy, at_chance):
    history = [{"classifier_accuracy": 1 - accuracy / 2}, {"classifier_accuracy": accuracy}]
    assert bool(AMEAE().warnings(history)) == at_chance
    assert AMEAE().warnings([]) == []


def test_the_classifier_learns_to_tell_digits_from_their_reconstructions():
    _, run = fitted(AMEAE, digits(), epochs=4, width=16, lr=1e-3)
    accuracies = [row["classifier_accuracy"] for row in run.history]
    losses = [row["reconstruction"] for row in run.history]
    assert max(accuracies) > 0.6
    assert losses[-1] < 0.7 * losses[0]
