"""Layer-wise learning with the shared loop, each layer with its share of the budget."""

from __future__ import annotations

from typing import Any

from reprbench import Images, Run, TorchLearner

from .iterations import whose_turn


class LayerwiseLearner(TorchLearner):
    """A learner whose layers learn in turn; its `step` must call `turn` exactly once."""

    def fit(self, images: Images, run: Run) -> None:
        """Learn with the shared loop, one layer after another."""
        self._done, self._total = 0, run.budget.steps(len(images), min(self.batch_size, len(images)))
        super().fit(images, run)

    def turn(self, run: Run, layers: int) -> int:
        """Return which of the `layers`, from 0, learns in this step, and count the step."""
        self._done += 1
        return whose_turn(run, self._done - 1, self._total, layers)

    def training_state(self) -> dict[str, Any]:
        """Return the number of steps made, which determines whose turn it is, besides networks and optimizers."""
        return {**super().training_state(), "done": self._done}

    def load_training_state(self, state: dict[str, Any]) -> None:
        """Restore the number of steps, too."""
        super().load_training_state(state)
        self._done = state["done"]
