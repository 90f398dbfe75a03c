"""Learning by iterations over data in memory, with progress, log, checkpoints and the budget's seconds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from reprbench import Run

LBFGS_HISTORY = 20
LBFGS_CHUNK = 10
"""Iterations between two looks at the clock: each chunk evaluates the objective once more than necessary."""

State = dict[str, Any]
"""The state passed from one iteration to the next: nested dicts and lists of tensors and plain values."""


class Stages:
    """The successive stages of one fit: its checkpoints keep the results of finished ones.

    Create it after counting the images that the fit will see in the run, as a checkpoint restores that number; and
    each stage must draw from generators of its own, as a resumed fit starts those of later stages from the beginning.

    Parameters
    ----------
    run : of the fit; its seconds are divided equally between the stages, and the next stage may use what one left.
    count : how many stages there will be.
    """

    def __init__(self, run: Run, count: int = 1) -> None:
        self._run, self._count = run, count
        self._finished: list[State] = []
        self._saved = run.restore_checkpoint()

    def iterate(self, total: int, state: State, step: Callable[[State], tuple[State, Mapping[str, float]]]) -> State:
        """Run the next stage, see `iterate`."""
        run, saved, stage = self._run, self._saved, len(self._finished)
        done, finished = 0, [] if saved is None else saved["finished"]
        if stage < len(finished):
            done, state = total, finished[stage]
        elif saved is not None and stage == len(finished):
            done, state = saved["done"], saved["state"]
        seconds = math.inf if run.budget.seconds is None else run.budget.seconds * (stage + 1) / self._count
        while done < total and run.elapsed < seconds:
            with run.work.step(f"stage {stage}"):
                state, values = step(state)
            done += 1
            run.log(len(run.history) + 1, **({"stage": stage + 1} if self._count > 1 else {}), **values)
            run.progress((stage + done / total) / self._count, **values)
            if run.checkpoint_due():
                run.save_checkpoint({"finished": self._finished, "done": done, "state": state})
        self._finished.append(state)
        return state


def iterate(
    run: Run,
    total: int,
    state: State,
    step: Callable[[State], tuple[State, Mapping[str, float]]],
    stages: Stages | None = None,
) -> State:
    """Call ``state, values = step(state)`` `total` times, or until the budget's seconds are used up.

    The values are logged. An interrupted fit resumes from its last checkpoint, bit for bit, if `step` depends only on
    the state, the run's generators, and what is the same for every fit with the same seed. A fit that iterates more
    than once passes the same `Stages` to each call, in the same order in every fit.
    """
    return (stages or Stages(run)).iterate(total, state, step)


def minimize(
    objective: Callable[[Tensor], Tensor], start: Tensor, iterations: int, run: Run, stages: Stages | None = None
) -> Tensor:
    """Minimize a full-batch objective by L-BFGS with a strong Wolfe line search (PyTorch's) and return the weights.

    Parameters
    ----------
    objective : returns the 0-d objective of the weights and leaves its gradient, by autograd or by hand, in their
        ``grad``; it may work through its data in chunks.
    start : the initial weights, which are not changed.
    iterations : the most iterations; fewer if the objective no longer falls.
    stages : those of the fit, if it iterates more than once; see `iterate`.
    """
    weights = nn.Parameter(start.clone())
    optimizer = torch.optim.LBFGS([weights], history_size=LBFGS_HISTORY, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        weights.grad = None
        return objective(weights)

    def step(state: State) -> tuple[State, Mapping[str, float]]:
        # Loaded for every chunk, so that an interrupted fit takes the same path as one that was not.
        weights.data.copy_(state["weights"])
        if state["optimizer"]:
            optimizer.load_state_dict(state["optimizer"])
        made = min(LBFGS_CHUNK, iterations - state["iterations"])
        optimizer.param_groups[0]["max_iter"] = made
        optimizer.param_groups[0]["max_eval"] = 2 * made
        value = float(optimizer.step(closure))  # type: ignore[arg-type]
        run.work.steps += made - 1  # beside the one that the chunk counts as
        following = {"weights": weights.detach(), "optimizer": optimizer.state_dict()}
        return {**following, "iterations": state["iterations"] + made}, {"objective": value}

    begin: State = {"weights": start, "optimizer": {}, "iterations": 0}
    final: Tensor = iterate(run, math.ceil(iterations / LBFGS_CHUNK), begin, step, stages)["weights"]
    return final.to(start.device)


def whose_turn(run: Run, step: int, total: float, count: int) -> int:
    """Return which of `count` layers that learn in turn, from 0, learns from `step` of `total`, from 0.

    Their numbers of steps differ by at most one. If the budget's seconds run out first, these are shared instead.
    """
    by_time = count * run.elapsed / run.budget.seconds if run.budget.seconds else 0.0
    return min(int(max(count * step / total, by_time)), count - 1)
