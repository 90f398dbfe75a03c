from __future__ import annotations

import numpy as np
import pytest
import torch
from fits import interrupting
from reprbench.methods.iterations import Stages, iterate, minimize
from scipy import optimize

from reprbench.run_context import Budget, Run

pytestmark = pytest.mark.usefixtures("checkpoints")


def new_run(folder=None, progress=None, **budget) -> Run:
    return Run(0, Budget(**(budget or {"epochs": 1})), folder=folder, progress=progress)


def walk(run: Run, total: int, steps: list[int] | None = None) -> torch.Tensor:
    """A random walk that depends on the state and on the run's generator."""

    def step(state):
        if steps is not None:
            steps.append(state["number"])
        noise = torch.randn(3, generator=run.generator("walk"))
        place = 0.9 * state["inner"]["place"] + noise
        return {"inner": {"place": place}, "number": state["number"] + 1}, {"size": float(place.norm())}

    return iterate(run, total, {"inner": {"place": torch.zeros(3)}, "number": 0}, step)["inner"]["place"]


def test_it_calls_step_the_given_number_of_times_and_logs_every_value():
    told = []
    run, steps = new_run(progress=lambda what, share, values: told.append((share, values))), []
    place = walk(run, 4, steps)
    assert steps == [0, 1, 2, 3]
    assert [row["step"] for row in run.history] == [1, 2, 3, 4]
    assert run.history[-1]["size"] == float(place.norm())
    assert [share for share, _ in told] == [0.25, 0.5, 0.75, 1.0]
    assert told[-1][1] == {"size": float(place.norm())}


@pytest.mark.parametrize("after", [1, 3])
def test_interrupted_iterations_go_on_bit_for_bit(after, tmp_path):
    undisturbed = new_run()
    place = walk(undisturbed, 6)
    with pytest.raises(KeyboardInterrupt):
        walk(new_run(tmp_path, interrupting(after)), 6)
    run, steps = new_run(tmp_path), []
    assert torch.equal(walk(run, 6, steps), place)
    assert steps == list(range(after, 6))
    assert [row["size"] for row in run.history] == [row["size"] for row in undisturbed.history]


def test_what_is_finished_is_not_done_again(tmp_path):
    place = walk(new_run(tmp_path), 3)
    steps = []
    assert torch.equal(walk(new_run(tmp_path), 3, steps), place)
    assert steps == []


def test_the_seconds_of_the_budget_end_it(monkeypatch):
    run = new_run(seconds=5)
    now = [0.0]
    monkeypatch.setattr(Run, "elapsed", property(lambda self: now[0]))

    def step(state):
        now[0] += 2
        return {"number": state["number"] + 1}, {}

    assert iterate(run, 100, {"number": 0}, step) == {"number": 3}


def test_no_step_is_made_when_there_is_no_time():
    run = new_run(seconds=1e-9)
    assert iterate(run, 100, {"number": 0}, lambda state: pytest.fail("a step was made")) == {"number": 0}


def quadratic(size: int = 6):
    """A least-squares objective in float64, its exact solution, and where to begin."""
    generator = np.random.default_rng(0)
    matrix, target = generator.normal(size=(20, size)), generator.normal(size=20)
    a, b = torch.from_numpy(matrix), torch.from_numpy(target)

    def objective(weights):
        value = (a @ weights - b).square().mean()
        value.backward()
        return value.detach()

    return objective, torch.from_numpy(np.linalg.lstsq(matrix, target, rcond=None)[0])


def rosenbrock(evaluations: list[float] | None = None):
    """The Rosenbrock function with its gradient by hand, as an objective."""

    def objective(weights):
        value = optimize.rosen(weights.detach().numpy())
        weights.grad = torch.from_numpy(optimize.rosen_der(weights.detach().numpy()))
        if evaluations is not None:
            evaluations.append(value)
        return torch.tensor(value)

    return objective


BEGIN = torch.tensor([-1.2, 1.0, -0.5, 0.8], dtype=torch.float64)


def test_it_finds_the_solution_of_a_least_squares_problem():
    objective, solution = quadratic()
    found = minimize(objective, torch.zeros(6, dtype=torch.float64), 100, new_run())
    # It stops where the objective falls by less than 1e-9.
    assert objective(found.requires_grad_()) == pytest.approx(float(objective(solution.requires_grad_())), abs=1e-8)
    torch.testing.assert_close(found, solution, atol=1e-4, rtol=0, check_stride=False)


def test_it_agrees_with_scipy_on_rosenbrock():
    start = BEGIN.clone()
    found = minimize(rosenbrock(), start, 200, new_run())
    scipy = optimize.minimize(optimize.rosen, BEGIN.numpy(), jac=optimize.rosen_der, method="L-BFGS-B", tol=1e-12)
    np.testing.assert_allclose(found, scipy.x, atol=1e-4)
    np.testing.assert_allclose(found, 1, atol=1e-4)
    assert torch.equal(start, BEGIN)
    assert not found.requires_grad


def test_chunks_do_not_forget_the_history():
    # Steepest descent is nowhere near by then.
    values: list[float] = []
    minimize(rosenbrock(values), BEGIN, 60, new_run())
    assert values[-1] < 1e-8


@pytest.mark.parametrize("iterations", [1, 7, 10, 13, 20])
def test_it_makes_no_more_iterations_than_given(iterations, monkeypatch):
    made = []
    step = torch.optim.LBFGS.step

    def counting(self, closure):
        value = step(self, closure)
        made.append(self.state[self.param_groups[0]["params"][0]]["n_iter"])
        return value

    monkeypatch.setattr(torch.optim.LBFGS, "step", counting)
    run = new_run()
    minimize(rosenbrock(), BEGIN, iterations, run)
    assert made[-1] == iterations
    assert len(run.history) == len(made) == -(-iterations // 10)


def test_the_history_has_the_objective_before_every_chunk():
    run = new_run()
    minimize(rosenbrock(), BEGIN, 30, run)
    values = [row["objective"] for row in run.history]
    assert values[0] == optimize.rosen(BEGIN.numpy())
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("after", [1, 2])
def test_an_interrupted_search_goes_on_bit_for_bit(after, tmp_path):
    undisturbed = new_run()
    found = minimize(rosenbrock(), BEGIN, 35, undisturbed)
    with pytest.raises(KeyboardInterrupt):
        minimize(rosenbrock(), BEGIN, 35, new_run(tmp_path, interrupting(after)))
    run, evaluations = new_run(tmp_path), []
    assert torch.equal(minimize(rosenbrock(evaluations), BEGIN, 35, run), found)
    assert [row["objective"] for row in run.history] == [row["objective"] for row in undisturbed.history]
    # It goes on from the checkpoint, and not from the beginning.
    assert max(evaluations) < optimize.rosen(BEGIN.numpy())


def test_it_goes_on_bit_for_bit_in_float32_with_weights_of_an_odd_number(tmp_path):
    # Sums of float32 depend on where in memory a tensor begins, and one read from a file may begin anywhere.
    targets = torch.linspace(-1, 1, 61)

    def objective(weights):
        value = ((weights[1:] - weights[:-1].square()).square().sum() + (weights - targets).square().sum()) / 61
        value.backward()
        return value.detach()

    found = minimize(objective, torch.zeros(61), 30, new_run())
    with pytest.raises(KeyboardInterrupt):
        minimize(objective, torch.zeros(61), 30, new_run(tmp_path, interrupting(1)))
    assert torch.equal(minimize(objective, torch.zeros(61), 30, new_run(tmp_path)), found)


def test_where_it_begins_at_the_minimum_it_stays():
    found = minimize(rosenbrock(), torch.ones(4, dtype=torch.float64), 25, new_run())
    assert torch.equal(found, torch.ones(4, dtype=torch.float64))


def count_up(run: Run, stages: Stages, name: str, total: int) -> float:
    def step(state):
        return {"sum": state["sum"] + torch.rand((), generator=run.generator(name))}, {}

    return float(iterate(run, total, {"sum": torch.zeros(())}, step, stages)["sum"])


@pytest.mark.parametrize("after", range(1, 7))
def test_stages_of_any_length_go_on_where_they_were(after, tmp_path):
    def fit(run):
        stages = Stages(run, 3)
        return [count_up(run, stages, name, total) for name, total in (("a", 1), ("b", 2), ("c", 4))]

    undisturbed = fit(Run(0, Budget(epochs=1)))
    assert len(set(undisturbed)) == 3
    shares = []
    with pytest.raises(KeyboardInterrupt):
        fit(Run(0, Budget(epochs=1), folder=tmp_path, progress=interrupting(after)))
    run = Run(0, Budget(epochs=1), folder=tmp_path, progress=lambda what, share, values: shares.append(share))
    assert fit(run) == undisturbed
    assert shares == pytest.approx([1 / 3, 1 / 2, 2 / 3, 3 / 4, 5 / 6, 11 / 12, 1][after:])


def test_the_seconds_are_divided_between_the_stages(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(Run, "elapsed", property(lambda self: now[0]))

    def step(state):
        now[0] += 1
        return {"made": state["made"] + 1}, {}

    run = Run(0, Budget(seconds=10))
    stages = Stages(run, 2)
    assert [iterate(run, total, {"made": 0}, step, stages)["made"] for total in (2, 99)] == [2, 8]
    now[0], stages = 0.0, Stages(run, 2)
    assert [iterate(run, 99, {"made": 0}, step, stages)["made"] for _ in range(2)] == [5, 5]


def test_iterations_and_their_operations_are_counted():
    run, data = new_run(), torch.rand(40, 6)

    def step(state):
        return {"products": data @ data.T}, {}

    iterate(run, 5, {}, step)
    assert (run.work.steps, run.work.flops) == (5, 5 * 2 * 40 * 40 * 6)
    run = new_run()

    def objective(weights):
        value = (data @ weights).square().sum() + (weights - 1).square().sum()
        value.backward()
        return value.detach()

    minimize(objective, torch.zeros(6, 2), 12, run)
    assert run.work.steps == 12
    assert run.work.flops > 12 * 2 * 40 * 6 * 2
