from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from fits import blobs, encoded, fitted, take_step
from pydantic import ValidationError
from reprbench.methods.rbm import RBM, BoltzmannMachine
from scipy.special import expit, logsumexp
from sklearn.neural_network import BernoulliRBM

from reprbench import Decodes, Images, Reconstructs, Resumes, UserError
from reprbench.learner import make
from reprbench.run_context import Budget, Run, seeded
from reprbench.state import learner_state
from reprbench.testing import check_learner

SMALL = {"n_hidden": 6, "gibbs_steps": 3, "batch_size": 8}


def machine(visible: int, hidden: int, seed: int = 0) -> BoltzmannMachine:
    """A machine in float64 whose weights and biases all matter."""
    torch.manual_seed(seed)
    made = BoltzmannMachine(visible, hidden).double()
    torch.nn.init.normal_(made.visible_bias)
    torch.nn.init.normal_(made.hidden_bias)
    return made


def arrays(made: BoltzmannMachine):
    return [p.detach().double().numpy() for p in (made.weight, made.visible_bias, made.hidden_bias)]


def states(units: int) -> np.ndarray:
    """All binary vectors of `units` units, (2^units, units)."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def log_joint(made: BoltzmannMachine) -> np.ndarray:
    """log p(v, h) of all pairs of states, by enumeration."""
    weight, b, c = arrays(made)
    v, h = states(len(b)), states(len(c))
    exponents = (v @ b)[:, None] + h @ c + np.array([[one @ weight @ other for other in h] for one in v])
    return exponents - logsumexp(exponents)


def log_likelihood(made: BoltzmannMachine, data: np.ndarray) -> float:
    """Mean log p(v) of binary `data`, by enumeration."""
    marginals = logsumexp(log_joint(made), axis=1)
    index = (data @ 2.0 ** np.arange(data.shape[1])[::-1]).astype(int)
    return float(marginals[index].mean())


def independent_gap(weight, b, c, data, model) -> float:
    """mean F(data) − mean F(model), unit by unit."""

    def free_energy(v):
        hidden = sum(np.logaddexp(0, c[j] + v @ weight[:, j]) for j in range(len(c)))
        return -v @ b - hidden

    return float(np.mean([free_energy(v) for v in data]) - np.mean([free_energy(v) for v in model]))


def scikit(made: BoltzmannMachine, **parameters) -> BernoulliRBM:
    weight, b, c = arrays(made)
    other = BernoulliRBM(n_components=len(c), **parameters)
    other.components_, other.intercept_visible_, other.intercept_hidden_ = weight.T.copy(), b.copy(), c.copy()
    return other


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def test_the_free_energy_is_the_sum_over_all_hidden_states(random):
    made = machine(5, 4)
    weight, b, c = arrays(made)
    v = np.concatenate([states(5), random.random((9, 5))])
    exponents = [[b @ one + c @ h + one @ weight @ h for h in states(4)] for one in v]
    ours = made.free_energy(torch.from_numpy(v)).detach().numpy()
    np.testing.assert_allclose(ours, -logsumexp(exponents, axis=1), rtol=1e-12)
    np.testing.assert_allclose(ours, scikit(made)._free_energy(v), rtol=1e-12)


def test_the_conditionals_are_those_of_the_joint_distribution():
    made = machine(4, 3)
    joint = np.exp(log_joint(made))
    given_v = joint @ states(3) / joint.sum(1, keepdims=True)
    given_h = joint.T @ states(4) / joint.sum(0)[:, None]
    np.testing.assert_allclose(made(torch.from_numpy(states(4))).detach(), given_v, rtol=1e-10)
    np.testing.assert_allclose(made.down(torch.from_numpy(states(3))).detach(), given_h, rtol=1e-10)


def test_gibbs_sampling_draws_visible_and_hidden_units_from_the_joint_distribution():
    made, count = machine(3, 2), 20_000
    with torch.no_grad():
        made.weight.mul_(0.5)
    v, h = made.gibbs(torch.zeros(count, 2, dtype=torch.float64), 25, torch.Generator().manual_seed(0))
    index = torch.cat([v, h], 1) @ 2.0 ** torch.arange(4, -1, -1, dtype=torch.float64)
    shares = np.bincount(index.long().numpy(), minlength=32).reshape(8, 4) / count
    # Four standard deviations of the likeliest share.
    np.testing.assert_allclose(shares, np.exp(log_joint(made)), atol=4 * np.sqrt(0.25 / count))


def test_the_gradient_is_that_of_finite_differences_of_an_independent_gap(random):
    made = machine(5, 3)
    data, model = random.random((4, 5)), states(5)[[3, 17, 30]]
    gap = made.contrast(torch.from_numpy(data), torch.from_numpy(model))
    weights = arrays(made)
    assert float(gap) == pytest.approx(independent_gap(*weights, data, model), rel=1e-12)
    for array, parameter in zip(weights, (made.weight, made.visible_bias, made.hidden_bias), strict=True):
        numeric = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            start, values = array[place], []
            for shift in (1e-5, -1e-5):
                array[place] = start + shift
                values.append(independent_gap(*weights, data, model))
            array[place] = start
            numeric[place] = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(parameter.grad, numeric, atol=1e-8)


def test_the_gradient_is_that_of_autograd(random):
    made = machine(30, 7)
    data, model = torch.from_numpy(random.random((9, 30))), torch.from_numpy((random.random((5, 30)) < 0.5) * 1.0)
    gap = made.contrast(data, model)
    expected = made.free_energy(data).mean() - made.free_energy(model).mean()
    torch.testing.assert_close(gap, expected.detach())
    gradients = torch.autograd.grad(expected, list(made.parameters()))
    for parameter, gradient in zip(made.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_against_all_states_it_is_the_gradient_of_the_likelihood():
    """With the model's half of the gradient taken over states in their exact shares, nothing is approximate."""
    made = machine(3, 2)
    with torch.no_grad():
        # All states are equally likely then.
        made.weight.zero_()
        made.visible_bias.zero_()
    data = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    made.contrast(torch.from_numpy(data), torch.from_numpy(states(3)))
    for parameter in made.parameters():
        numbers, gradient = parameter.detach().view(-1), parameter.grad.view(-1)
        for index in range(len(numbers)):
            start, values = float(numbers[index]), []
            for shift in (1e-5, -1e-5):
                numbers[index] = start + shift
                values.append(-log_likelihood(made, data))
            numbers[index] = start
            assert float(gradient[index]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8)


def test_a_change_of_the_weights_is_the_same_as_in_scikit_learn(random):
    made = machine(6, 4)
    data, hidden = random.random((5, 6)), (random.random((5, 4)) < 0.5) * 1.0
    other = scikit(made, learning_rate=0.3)
    model = other._sample_visibles(hidden, np.random.RandomState(1)) * 1.0  # what _fit will draw
    other.h_samples_ = hidden
    other._fit(data, np.random.RandomState(1))
    made.contrast(torch.from_numpy(data), torch.from_numpy(model))
    torch.optim.SGD(made.parameters(), lr=0.3).step()
    for ours, theirs in zip(
        arrays(made), (other.components_.T, other.intercept_visible_, other.intercept_hidden_), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_the_start_is_that_of_the_tutorials():
    torch.manual_seed(0)
    made = BoltzmannMachine(300, 200)
    bound = 4 * (6 / 500) ** 0.5
    weight = made.weight.detach()
    assert 0.99 * bound < weight.abs().max() <= bound
    assert weight.std() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert not made.visible_bias.any() and not made.hidden_bias.any()


def test_learning_raises_the_exact_likelihood():
    # Three pairs of equal pixels: no distribution gives these more than -3 log 2 = -2.08 nats per image, none of
    # independent pixels more than -6 log 2 = -4.16.
    data = states(3).repeat(2, axis=1).repeat(10, axis=0)
    images = Images((255 * data).astype(np.uint8).reshape(-1, 1, 2, 3))
    likelihoods = []
    for epochs in (1, 100, 400):
        learner, _ = fitted(RBM, images, epochs=epochs, n_hidden=6, gibbs_steps=5, batch_size=80, lr=0.3)
        likelihoods.append(log_likelihood(learner.machine.double(), data))
    assert likelihoods == sorted(likelihoods)
    assert -3 < likelihoods[-1] < -3 * np.log(2)


def test_the_chains_go_on_where_they_were():
    images = blobs()
    learner, run = fitted(RBM, images, **SMALL)
    chains, weights = learner._chains.clone(), {n: t.clone() for n, t in learner_state(learner).items()}
    generator = torch.Generator()
    generator.set_state(run.generator("gibbs").get_state())
    take_step(learner, run, images.batch(slice(0, 8)))
    before = BoltzmannMachine(64, 6)
    before.load_state_dict({name.removeprefix("machine."): tensor for name, tensor in weights.items()})
    v, h = before.gibbs(chains, SMALL["gibbs_steps"], generator)
    assert torch.equal(learner._chains, h) and not torch.equal(h, chains)
    before.contrast(images.batch(slice(0, 8)).flatten(1), v)
    for ours, expected in zip(learner.machine.parameters(), before.parameters(), strict=True):
        assert torch.equal(ours.grad, expected.grad)


def test_an_interrupted_fit_goes_on_bit_for_bit_and_so_do_its_chains(tmp_path, monkeypatch):
    monkeypatch.setenv("REPRBENCH_CHECKPOINT_SECONDS", "0")
    images = blobs(24)
    undisturbed, _ = fitted(RBM, images, epochs=3, **SMALL)
    with seeded(0, "weights"):
        interrupted = make(RBM, SMALL, images.shape)
    step, steps = interrupted.step, iter(range(99))
    interrupted.step = lambda *batch: interrupt() if next(steps) == 5 else step(*batch)
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(images, Run(0, Budget(epochs=3), folder=tmp_path))
    resumed, _ = fitted(RBM, images, epochs=3, folder=tmp_path, **SMALL)
    assert isinstance(resumed, Resumes)
    assert torch.equal(undisturbed._chains, resumed._chains)
    for one, other in zip(undisturbed.machine.parameters(), resumed.machine.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_encodes_decodes_and_reconstructs_color_images_of_odd_sizes():
    images = blobs(12, (3, 9, 11))
    learner, run = fitted(RBM, images, **SMALL)
    assert isinstance(learner, Reconstructs) and isinstance(learner, Decodes)
    x = images.batch(slice(0, 5))
    weight, b, c = arrays(learner.machine)
    # Pixels in the order (channel, row, column).
    pixels = images.pixels(slice(0, 5)).reshape(5, 3 * 9 * 11) / 255
    h = expit(c + pixels @ weight)
    expected = expit(b + h @ weight.T).reshape(5, 3, 9, 11)
    (name, code), *others = encoded(learner, x).items()
    assert name == "hidden" and not others
    np.testing.assert_allclose(code, h, rtol=1e-4, atol=1e-6)
    with torch.inference_mode():
        shown = [learner.reconstruct(x), learner.reconstruct(x, "hidden"), learner.decode(code)]
    for images_shown in shown:
        np.testing.assert_allclose(images_shown, expected, rtol=1e-4, atol=1e-6)
    logged = take_step(learner, run, x)["reconstruction"]
    clipped = expected.clip(1e-300, 1 - 1e-16)
    targets = pixels.reshape(expected.shape)
    entropy = -(targets * np.log(clipped) + (1 - targets) * np.log1p(-clipped)).sum() / 5
    assert float(logged) == pytest.approx(entropy, rel=1e-4)
    with pytest.raises(UserError, match="'hidden', not from 'layer2'"):
        learner.reconstruct(x, "layer2")


def test_it_keeps_the_promises_of_a_learner():
    assert not [finding for finding in check_learner(RBM, SMALL) if finding.problem]


@pytest.mark.parametrize("wrong", [{"n_hidden": 0}, {"gibbs_steps": 0}, {"lr": 0}, {"batch_size": 0}, {"width": 3}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValidationError):
        RBM(**wrong)


def interrupt():
    raise KeyboardInterrupt
