"""The supervised row of Table 1: the encoder of the autoencoders, trained only on the labels of a fold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from reprbench import FeatureMaps, Images, ImageShape, Labels, Run, TorchSupervisedLearner, register

from .autoencoders import adam
from .networks import Architecture, Encoder, global_average

HEAD_DEVIATION = 0.01


@register("supervised")
class Supervised(TorchSupervisedLearner):
    """The encoder of `ae` and a linear classifier on its globally averaged code, trained by cross-entropy.

    Table 1 of AME-AE (X. Gao, H. Xiong) calls it "supervised, same architecture". The encoder and the optimizer are
    those of `ae`; the head, its initial weights from N(0, 0.01²), and training without augmentation or weight decay are
    our choices. It is fitted once per fold, on that fold's images, and its epochs are passes over these.

    Parameters
    ----------
    width, lr, batch_size : as in `ae`.

    Notes
    -----
    The history has ``loss``, the cross-entropy, and ``accuracy``, both on the training images.
    """

    version: ClassVar[int] = 1

    width: PositiveInt | None = None
    lr: PositiveFloat = 1e-4

    encoder: Encoder

    def build(self, shape: ImageShape) -> None:
        """Make the encoder."""
        self._architecture = Architecture.of(shape, self.width)
        self.encoder = Encoder(self._architecture)

    def optimizers(self) -> Optimizer:
        """Return one Adam for encoder and head."""
        return adam(self.lr, self.encoder, self._head)

    def fit_labeled(self, images: Images, labels: Labels, run: Run) -> None:
        """Add a head for the classes in `labels`, and learn."""
        # The head is not part of the representation, so that it is neither saved nor made in `build`.
        self._head = nn.Linear(self._architecture.code_channels, int(labels.max()) + 1, device=run.device)
        nn.init.normal_(self._head.weight, std=HEAD_DEVIATION, generator=run.generator("head"))
        nn.init.zeros_(self._head.bias)
        super().fit_labeled(images, labels, run)

    def loss(self, x: Tensor, y: Tensor, run: Run) -> Mapping[str, Tensor]:
        """Return the cross-entropy and the accuracy."""
        logits = self._head(global_average(self.encoder.code(x)))
        return {"loss": functional.cross_entropy(logits, y), "accuracy": (logits.argmax(1) == y).float().mean()}

    def encode(self, x: Tensor) -> FeatureMaps:
        """Return all layers of the encoder; the last is the code."""
        feature_maps: FeatureMaps = self.encoder(x)
        return feature_maps
