"""Modules of torch as learners: at hand, or as a program that `torch.export` wrote."""

from __future__ import annotations

import contextlib
import io
import logging
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from reprbench.errors import UserError, did_you_mean
from reprbench.file_parameter import File
from reprbench.learner import FeatureMaps, ImageShape, Learner
from reprbench.registry import register
from reprbench.texts import reason

if TYPE_CHECKING:
    from reprbench.images import Images
    from reprbench.run_context import Run

OUTPUT = "output"
"""The only layer, where none are named."""


class Layers(nn.Module):
    """A module of which one pass gives the outputs of the modules in it that are named.

    Parameters
    ----------
    module : takes images (N, C, H, W) in [0, 1].
    names : as `torch.nn.Module.named_modules` has them; none for the module's own output, a tensor or a mapping.
    """

    def __init__(self, module: nn.Module, names: Sequence[str] = ()) -> None:
        super().__init__()
        known = [name for name, _ in module.named_modules() if name]
        for name in names:
            if name not in known:
                raise UserError(f"{type(module).__name__} has no layer {name!r}.{did_you_mean(name, known)}")
        self.module, self.names = module, tuple(names)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the layers by name, in the order of `names`."""
        found: dict[str, Any] = {}
        with contextlib.ExitStack() as hooks:
            for name in self.names:
                hooks.enter_context(_recorded(self.module.get_submodule(name), name, found))
            output = self.module(x)
        if not self.names:
            return _layers(output, type(self.module).__name__)
        if left := [name for name in self.names if name not in found]:
            raise UserError(f"layer {left[0]!r} of {type(self.module).__name__} does not run when images are encoded")
        return _layers({name: found[name] for name in self.names}, type(self.module).__name__)


def _layers(output: Any, owner: str) -> dict[str, Tensor]:
    """Return what a module returned as layers by name; raise a `UserError` if it is neither a tensor nor some."""
    found = dict(output) if isinstance(output, Mapping) else {OUTPUT: output}
    for name, layer in found.items():
        if not isinstance(layer, Tensor):
            where = f"layer {name!r} of {owner}" if isinstance(output, Mapping) else owner
            raise UserError(
                f"{where} returns a {type(layer).__name__}; a layer is a tensor, and a module returns one, or a dict "
                "of tensors by layer; change what it returns, or name modules in it that return a tensor as `layers`"
            )
    return found


@contextlib.contextmanager
def _recorded(module: nn.Module, name: str, found: dict[str, Any]) -> Iterator[None]:
    """Keep a copy of what a module returns, which a later operation in place may change."""

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        if name in found:
            raise UserError(f"layer {name!r} runs more than once in a pass; name the module that contains it")
        found[name] = output.clone() if isinstance(output, Tensor) else output

    handle = module.register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()


class WrappedModule(Learner):
    """A module at hand; see `reprbench.wrap`."""

    kind = "pretrained"

    network: Layers

    def __init__(self, module: nn.Module, layers: Sequence[str] = (), shape: ImageShape | None = None) -> None:
        super().__init__()
        self.network = Layers(module, layers)
        self._shape = shape

    def fit(self, images: Images, run: Run) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the module's layers."""
        layers: dict[str, Tensor] = self.network(x)
        return layers

    def program(self) -> bytes:
        """Return the module as a program that other processes can run, always the same bytes for the same module."""
        if self._shape is None:
            raise UserError("wrap: a run needs to know the images: wrap(module, shape=(channels, height, width))")
        with _quiet():
            exported = _exported(self.network, self._shape)
        for node in _nodes(exported.graph_module):
            node.meta.pop("stack_trace", None)  # names files of this machine
        content = io.BytesIO()
        torch.export.save(exported, content)
        return content.getvalue()


def _nodes(network: nn.Module) -> Iterator[torch.fx.Node]:
    """Yield the operations of the graphs in an exported network."""
    for part in network.modules():
        if isinstance(graph := getattr(part, "graph", None), torch.fx.Graph):
            yield from graph.nodes


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch logs and prints about code that it cannot follow: the error says it."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _exported(network: Layers, shape: ImageShape) -> torch.export.ExportedProgram:
    """Return the program of a network in evaluation mode, for batches of any size."""
    first = next((tensor for tensor in (*network.parameters(), *network.buffers())), torch.zeros(()))
    x, modes = torch.zeros(2, *shape, device=first.device), [(m, m.training) for m in network.modules()]
    network.eval()
    try:
        sizes = ({0: torch.export.Dim("n")},)
        with torch.no_grad():
            exported = torch.export.export(network, (x,), dynamic_shapes=sizes, strict=False)
    except UserError:
        raise
    except Exception as error:  # the module's own, or what torch.export says of code that it cannot follow
        raise UserError(
            f"wrap: {type(network.module).__name__} cannot be exported for a run ({reason(error, 200)}); write a "
            "Learner class, or compute its features and use the method 'features'"
        ) from error
    finally:
        for module, training in modes:
            module.training = training
    return exported


@register("module")
class ProgramModule(Learner):
    """A frozen module of torch, from the program that `torch.export.save` wrote; `reprbench.wrap` makes one.

    Its only input is a batch of any size of images in [0, 1], (N, C, H, W), and its output a tensor, or a dict of them
    by layer. It was exported in evaluation mode, in which its batch normalizations and dropout stay, also while
    `fine-tune` trains its weights.

    Parameters
    ----------
    program : the file.
    """

    kind = "pretrained"
    version: ClassVar[int] = 1

    program: File

    network: nn.Module

    def build(self, shape: ImageShape) -> None:
        """Load the program."""
        exported = _loaded(self.program)
        inputs = exported.graph_signature.user_inputs
        taken = [tuple(node.meta["val"].shape[1:]) for node in exported.graph.nodes if node.name in inputs]
        if taken != [tuple(shape)]:
            raise UserError(f"{self.program}: takes {' and '.join(map(str, taken))}, not images of {tuple(shape)}")
        self.network = torch.export.unflatten(exported)
        for node in _nodes(self.network):
            node.meta.clear()  # values of symbolic size, which cannot be copied, as fine-tuning does

    def fit(self, images: Images, run: Run) -> None:
        """Learn nothing."""

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return the program's layers."""
        return _layers(self.network(x), str(self.program))


def _loaded(path: Path) -> torch.export.ExportedProgram:
    """Return a program; raise a `UserError` if the file is none, or holds a pickle of more than tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                # torch.export.load itself runs a pickle that is not of tensors alone.
                if "custom_obj" in name:
                    raise ValueError(f"it holds {name}")
                if name.endswith(".pt"):
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
        with torch.device("cpu"):  # while a run is planned, it is torch's meta device, on which nothing can be loaded
            return torch.export.load(path)
    except Exception as error:  # whatever torch raises on a file of another kind
        raise UserError(f"{path}: no program that torch.export.save wrote: {reason(error, 200)}") from error
