"""The state of a fitted learner, networks and arrays: saved, loaded, counted, moved, put in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from reprbench.learner import Learner


def learner_state(learner: Learner) -> dict[str, Tensor]:
    """Return the state of a learner as a flat dict of tensors.

    Raises
    ------
    TypeError
        If a public attribute is neither a parameter nor something that can be saved.
    """
    import torch

    state: dict[str, Tensor] = {}
    for name, value in _state_attributes(learner).items():
        if isinstance(value, torch.nn.Module):
            state.update((f"{name}.{key}", tensor) for key, tensor in value.state_dict().items())
        elif isinstance(value, torch.Tensor):
            state[name] = value
        elif isinstance(value, np.ndarray):
            state[name] = torch.from_numpy(value)
        else:
            raise TypeError(
                f"{type(learner).__name__}.{name} is a {type(value).__name__}, which cannot be saved with the learner; "
                f"make it a tensor, or rename it to _{name} and rebuild it in build()"
            )
    return state


def load_learner_state(learner: Learner, state: Mapping[str, Tensor]) -> None:
    """Put `state` into a learner whose networks are built.

    Raises
    ------
    TypeError
        If a network of the state was not made by `build`.
    """
    networks = {n: v for n, v in _state_attributes(learner).items() if hasattr(v, "load_state_dict")}
    for name, network in networks.items():
        prefix = f"{name}."
        network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})
    for key, tensor in state.items():
        owner, dot, _ = key.partition(".")
        if owner in networks:
            continue
        if dot:
            raise TypeError(f"{type(learner).__name__} has no network {owner!r} to load; make it in build(shape)")
        setattr(learner, key, tensor)


def _state_attributes(learner: Learner) -> dict[str, Any]:
    parameters = learner.parameters()
    return {n: v for n, v in vars(learner).items() if n not in parameters and not n.startswith("_")}


def parameter_count(learner: Learner) -> int:
    """Return how many numbers were learned or drawn: parameters of the networks and elements of the arrays."""
    import torch

    total = 0
    for value in _state_attributes(learner).values():
        if isinstance(value, torch.nn.Module):
            total += sum(parameter.numel() for parameter in value.parameters())
        else:
            total += int(np.prod(value.shape))
    return total


def encode_flops(learner: Learner, x: Tensor) -> int:
    """Return the FLOPs of encoding the single image `x`: two for each multiply-accumulate that torch counts."""
    from torch.utils.flop_counter import FlopCounterMode

    with evaluating(learner), FlopCounterMode(display=False) as counter:
        learner.encode(x)
    return int(counter.get_total_flops())


@contextmanager
def evaluating(learner: object) -> Iterator[None]:
    """Put every network that the learner holds in evaluation mode and disable gradients, for the block."""
    import torch

    networks = list(networks_of(vars(learner)))
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training


def networks_of(value: Any) -> Iterator[nn.Module]:
    """Yield the networks in `value`, including those in lists and dicts."""
    import torch

    if isinstance(value, torch.nn.Module):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from networks_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from networks_of(item)


def device_of(learner: Learner) -> torch.device:
    """Return the device of the first weight or tensor of the learner; the CPU if it has none."""
    import torch

    for network in networks_of(vars(learner)):
        for tensor in (*network.parameters(), *network.buffers()):
            return tensor.device
    tensors = (value for value in vars(learner).values() if isinstance(value, torch.Tensor))
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def to_device(learner: Learner, device: torch.device | str) -> None:
    """Move the networks and tensors that the learner holds as attributes."""
    import torch

    for network in networks_of(vars(learner)):
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, value in vars(learner).items():
        if isinstance(value, torch.Tensor):
            setattr(learner, name, value.to(device))
