"""The work of a fit: its steps, and the floating-point operations (FLOPs) that torch counts in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any


class Work:
    """Counts the steps of a fit and their FLOPs.

    Attributes
    ----------
    steps : so far; 0 also if nobody counts them.
    flops : two for each multiply-accumulate of the products and convolutions of these steps, gradients included.

    Examples
    --------
    >>> import torch
    >>> from reprbench.work import Work
    >>> work, a, b = Work(), torch.ones(2, 3), torch.ones(3, 5)
    >>> for _ in range(10):
    ...     with work.step():
    ...         c = a @ b
    >>> work.steps, work.flops
    (10, 600)
    """

    def __init__(self) -> None:
        self.steps = 0
        self.flops = 0
        self._of_a_step: dict[str, int] = {}

    @contextmanager
    def step(self, kind: str = "") -> Iterator[None]:
        """Count the block as one step. The FLOPs of the first of a `kind` are counted, and taken for those of each."""
        if kind in self._of_a_step:
            yield
        else:
            with _counted() as total:
                yield
            self._of_a_step[kind] = total[0]
        self.steps += 1
        self.flops += self._of_a_step[kind]

    def state(self) -> dict[str, int]:
        """Return what `restore` needs to go on."""
        return {"steps": self.steps, "flops": self.flops}

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on from a state."""
        self.steps, self.flops = state["steps"], state["flops"]

    def add(self, other: Work) -> None:
        """Count the work of another fit, too."""
        self.steps += other.steps
        self.flops += other.flops


def _counted() -> AbstractContextManager[list[int]]:
    """Return a context whose list holds the FLOPs of what is computed in it.

    Unlike torch's `FlopCounterMode` it does not hook into modules, which not every learner's step survives.
    """
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):  # type: ignore[misc, no-untyped-call, unused-ignore]
        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call, unused-ignore]
            self.total = [0]

        def __enter__(self) -> Any:
            super().__enter__()  # type: ignore[no-untyped-call, unused-ignore]
            return self.total

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            if (formula := flop_registry.get(func._overloadpacket)) is not None:
                self.total[0] += int(formula(*args, **(kwargs or {}), out_val=found))
            return found

    counter: AbstractContextManager[list[int]] = Counter()
    return counter
