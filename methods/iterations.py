"""Learning by passes over what is held in memory: progress, log, checkpoints and the end of the budget's seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reprbench import Run

LBFGS_HISTORY = 20
LBFGS_CHUNK = 10
"""Iterations between two looks at the clock: each chunk evaluates the objective once more than it would have to."""

State = dict[str, Any]
"""What goes from one iteration to the next: nested dicts and lists of tensors and plain values."""


def iterate(run: Run, total: int, state: State, step: Callable[[State], tuple[State, Mapping[str, float]]]) -> State:
    """Call ``state, values = step(state)`` `total` times, or until the budget's seconds are used up.

    The values are logged. An interrupted fit goes on from its last checkpoint, bit for bit, if `step` depends on
    nothing but the state, the run's generators, and what is the same for every fit with the same seed.
    """
    done = 0
    if (saved := run.restore_checkpoint()) is not None:
        done, state = saved["done"], saved["state"]
    seconds = math.inf if run.budget.seconds is None else run.budget.seconds
    while done < total and run.elapsed < seconds:
        state, values = step(state)
        done += 1
        run.log(done, **values)
        run.progress(done / total, **values)
        if run.checkpoint_due():
            run.save_checkpoint({"done": done, "state": state})
    return state


def minimise(objective: Callable[[Tensor], Tensor], start: Tensor, iterations: int, run: Run) -> Tensor:
    """Minimise a full-batch objective by L-BFGS with a strong Wolfe line search (PyTorch's) and return the weights.

    Parameters
    ----------
    objective : returns the 0-d objective of the weights and leaves its gradient, by autograd or by hand, in their
        ``grad``; it may work through its data in chunks.
    start : the weights to begin with; they are not changed.
    iterations : the most iterations; fewer are made where the objective no longer falls.
    """
    weights = nn.Parameter(start.clone())
    optimiser = torch.optim.LBFGS([weights], history_size=LBFGS_HISTORY, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        weights.grad = None
        return objective(weights)

    def step(state: State) -> tuple[State, Mapping[str, float]]:
        # Loaded anew for every chunk, so that a fit that was interrupted takes no other way than one that was not.
        weights.data.copy_(state["weights"])
        if state["optimiser"]:
            optimiser.load_state_dict(state["optimiser"])
        made = min(LBFGS_CHUNK, iterations - state["iterations"])
        optimiser.param_groups[0]["max_iter"] = made
        optimiser.param_groups[0]["max_eval"] = 2 * made
        value = float(optimiser.step(closure))  # type: ignore[arg-type]
        following = {"weights": weights.detach(), "optimiser": optimiser.state_dict()}
        return {**following, "iterations": state["iterations"] + made}, {"objective": value}

    begin: State = {"weights": start, "optimiser": {}, "iterations": 0}
    final: Tensor = iterate(run, math.ceil(iterations / LBFGS_CHUNK), begin, step)["weights"]
    return final.to(start.device)
