"""The models of timm as frozen encoders, with weights from a file or timm's own cache, or with random ones.

Source: R. Wightman, "PyTorch image models", https://github.com/huggingface/pytorch-image-models.
"""

from __future__ import annotations

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


def _known(model: str) -> str:
    """Return the name of a model that timm itself has: those of a hub it would download."""
    import timm

    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        own_name = architecture.rpartition(":")[2].rpartition("/")[2]
        raise ValueError(f"timm has no model {model!r}{suggestion(own_name, timm.list_models())}")
    tags = [name.partition(".")[2] for name in timm.list_models(f"{architecture}.*", pretrained=True)]
    if tag and tag not in tags:
        raise ValueError(f"timm has no weights {tag!r} of {architecture}; it has {', '.join(tags) or 'none'}")
    return model


def _cached(model: str) -> Path:
    """Return the file of the weights in the cache of timm; nothing is downloaded."""
    import timm
    from huggingface_hub import constants, try_to_load_from_cache

    about = timm.get_pretrained_cfg(model)
    hub = Path(constants.HF_HUB_CACHE, f"models--{(about.hf_hub_id or '').replace('/', '--')}")
    for name in ("model.safetensors", "pytorch_model.bin") if about.hf_hub_id else ():
        found = try_to_load_from_cache(about.hf_hub_id, name)
        if isinstance(found, str):
            return Path(found)
    file = checkpoint(about.url or "")
    if about.url and file.is_file():
        return file
    looked = " or ".join(str(path) for path, there in ((hub, about.hf_hub_id), (file, about.url)) if there)
    raise UserError(
        f"no weights of {model} in the cache of timm ({looked or 'it knows none'}), and nothing is downloaded; "
        "give a file: weights=FILE"
    )


class TimmNetwork(FrozenNetwork):
    """A model of timm, whose layers are those of its `features_only`, and what its classifier is given.

    Parameters
    ----------
    model : its name in timm, such as resnet18.a1_in1k, which also names the configuration of its input.
    """

    extra: ClassVar[str | None] = "timm"

    model: Annotated[str, AfterValidator(_known)] = "resnet18.a1_in1k"

    def make_network(self) -> tuple[nn.Module, ModelInput]:
        """Return the model without its classifier, and its input as timm configures it."""
        from timm.data import resolve_model_data_config

        network = self.create(num_classes=0)
        found = resolve_model_data_config(network)
        own = {name: found[name] for name in ("mean", "std", "interpolation")}
        return network, ModelInput(shape=tuple(found["input_size"]), **own)

    def create(self, **keywords: Any) -> Any:
        """Return a new model with random weights, for images of the size that is asked for."""
        import timm

        about = timm.get_pretrained_cfg(self.model)
        if self.image_size and about.fixed_input_size:  # others take images of any size
            keywords["img_size"] = self.image_size
        return timm.create_model(self.model, **{"pretrained": False, **keywords})

    def layers(self, x: Tensor) -> FeatureMaps:
        """Return the maps by timm's names for them, and the pooled vector."""
        network: Any = self.network
        last, maps = network.forward_intermediates(x)
        names = [one["module"] for one in network.feature_info]
        return {**dict(zip(names, maps, strict=True)), POOLED: network.forward_head(last, pre_logits=True).flatten(1)}


@register("timm")
class Timm(TimmNetwork):
    """A pretrained model of timm, frozen: its own input size, mean and standard deviation, its layers by timm's names.

    Images are resized to the model's input on their device, without the crop of its own evaluation, and gray ones are
    repeated to its channels; the row says so.

    Parameters
    ----------
    model : its name in timm, such as resnet18.a1_in1k, which also names the configuration of its input.
    weights : a file of timm or PyTorch, as .safetensors or .pth; by default the one in timm's cache, if it is there.
    image_size : the side of the images that it is given; by default the one in the model's own configuration.
    """

    version: ClassVar[int] = 1
    extra: ClassVar[str | None] = "timm"

    weights: Annotated[File | None, found_by(_cached)] = None

    def make_network(self) -> tuple[nn.Module, ModelInput]:
        """Return the model with the weights of the file, and its input."""
        network, own = super().make_network()
        file = cast(Path, self.weights)  # given, or found by the validator
        classifiers = network.default_cfg.get("classifier") or ()
        named = [classifiers] if isinstance(classifiers, str) else list(classifiers)
        try:
            load_weights(network, read_weights(file), named, file)
        except UserError:
            if (converted := self._converted()) is None:
                raise
            network = converted
        return network, own

    def _converted(self) -> nn.Module | None:
        """Return the model with weights that timm itself has to convert, such as those for another image size."""
        try:
            network = self.create(pretrained=True, pretrained_cfg_overlay={"file": str(self.weights)})
        except Exception:  # timm's own conversions raise any error on weights of another model
            return None
        network.reset_classifier(0)
        return cast(nn.Module, network)


@register("untrained-timm")
class UntrainedTimm(TimmNetwork, RandomNetwork):
    """A model of timm with random weights from the trial's seed: the contribution of its architecture alone.

    The statistics of its batch normalizations are measured, as by `untrained`. Residual blocks that timm scales with 0
    at first, or nearly so, are scaled with 1. Source: our choice.

    Parameters
    ----------
    model : its name in timm, such as resnet18.
    image_size : the side of the images that it is given; by default the one in the model's own configuration.
    calibration_images : the most images on which the statistics of batch normalizations are measured.
    """

    kind = "control"
    version: ClassVar[int] = 2
    extra: ClassVar[str | None] = "timm"
