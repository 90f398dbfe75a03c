"""The models of torchvision as frozen encoders, with weights from a file or torch's own cache, or with random ones.

Source: TorchVision maintainers, "TorchVision: PyTorch's computer vision library", https://pytorch.org/vision.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, cast

from pydantic import AfterValidator
from torch import Tensor, nn

from reprbench import FeatureMaps, File, UserError, register

from .frozen import (
    POOLED,
    FrozenNetwork,
    ModelInput,
    RandomNetwork,
    checkpoint,
    found_by,
    load_weights,
    read_weights,
    suggestion,
)

GROUPS = ("features", "blocks", "trunk_output")
"""The modules of models that hold their stages."""


def _known(model: str) -> str:
    """Return the name of a classification model of torchvision."""
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise ValueError(f"torchvision has no classification model {model!r}{suggestion(model, known)}")
    return model


def _cached(model: str) -> Path:
    """Return the file of the default weights in the cache of torch; nothing is downloaded."""
    from torchvision import models

    url = models.get_model_weights(model).DEFAULT.url
    file = checkpoint(url)
    if file.is_file():
        return file
    raise UserError(
        f"no weights of {model} in the cache of torch ({file}), and nothing is downloaded; give a file: weights=FILE"
    )


class TorchvisionNetwork(FrozenNetwork):
    """A classification model of torchvision, whose layers are its stages, and what its classifier is given.

    Parameters
    ----------
    model : its name in torchvision, such as resnet18; its input is that of the default weights.
    """

    model: Annotated[str, AfterValidator(_known)] = "resnet18"

    def make_network(self) -> tuple[nn.Module, ModelInput]:
        """Return the model without its classifier, and its input as torchvision's default weights take it."""
        from torchvision import models

        preset = models.get_model_weights(self.model).DEFAULT.transforms()
        (side,) = preset.crop_size
        own = ModelInput((3, side, side), tuple(preset.mean), tuple(preset.std), preset.interpolation.value)
        network = models.get_model(self.model, weights=None, **self._choices())
        self._stages = () if isinstance(network, models.SwinTransformer) else tuple(_stages(network))  # channels last
        self._classifier = _without_classifier(network, self.model)
        return network, own

    def _choices(self) -> dict[str, Any]:
        """Return the further parameters of some models."""
        if self.model in ("googlenet", "inception_v3"):
            return {"init_weights": True, "transform_input": True}  # as with pretrained weights
        if self.image_size and self.model.startswith("vit_"):
            return {"image_size": self.image_size}
        if self.image_size and self.model.startswith("maxvit_"):
            return {"input_size": (self.image_size, self.image_size)}
        return {}

    def layers(self, x: Tensor) -> FeatureMaps:
        """Return the stages that give maps, by torchvision's names, and the vector that the classifier is given."""
        found: dict[str, Tensor] = {}
        modules = {name: self.network.get_submodule(name) for name in self._stages}
        hooks = [
            module.register_forward_hook(lambda _, __, output, name=name: found.__setitem__(name, output))
            for name, module in modules.items()
        ]
        try:
            vector: Tensor = self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return {**{name: one for name, one in found.items() if one.ndim == 4}, POOLED: vector.flatten(1)}


def _stages(network: nn.Module) -> Iterator[str]:
    """Yield the names of the modules that are made of others, which an operation in place does not change later."""
    for name, child in network.named_children():
        inner = [f"{name}.{one}" for one, module in child.named_children() if [*module.children()]]
        if name in GROUPS and inner:
            yield from inner
        elif [*child.children()]:
            yield name


def _without_classifier(network: nn.Module, model: str) -> str:
    """Replace the last linear layer, which classifies, by the identity, and return its name."""
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise UserError(f"torchvision's {model} has no linear classifier, whose input would be the representation")
    owner, _, name = linear[-1].rpartition(".")
    setattr(network.get_submodule(owner), name, nn.Identity())
    return linear[-1]


@register("torchvision")
class Torchvision(TorchvisionNetwork):
    """A pretrained model of torchvision, frozen: its own input size, mean and standard deviation, its stages as layers.

    Images are resized to the model's input on their device, without the crop of its own evaluation, and gray ones are
    repeated to its channels; the row says so.

    Parameters
    ----------
    model : its name in torchvision, such as resnet18; its input is that of the default weights.
    weights : a file of PyTorch, as .safetensors or .pth; by default the one in torch's cache, if it is there.
    image_size : the side of the images that it is given; by default the one in the model's own configuration.
    """

    version: ClassVar[int] = 1

    weights: Annotated[File | None, found_by(_cached)] = None

    def make_network(self) -> tuple[nn.Module, ModelInput]:
        """Return the model with the weights of the file, and its input."""
        network, own = super().make_network()
        file = cast(Path, self.weights)  # given, or found by the validator
        load_weights(network, read_weights(file), [self._classifier], file)
        return network, own


@register("untrained-torchvision")
class UntrainedTorchvision(TorchvisionNetwork, RandomNetwork):
    """A model of torchvision with random weights from the trial's seed: the contribution of its architecture alone.

    The statistics of its batch normalizations are measured, as by `untrained`. Residual blocks that torchvision
    scales with nearly 0 at first are scaled with 1. Source: our choice.

    Parameters
    ----------
    model : its name in torchvision, such as resnet18.
    image_size : the side of the images that it is given; by default the one in the model's own configuration.
    calibration_images : the most images on which the statistics of batch normalizations are measured.
    """

    kind = "control"
    version: ClassVar[int] = 2
