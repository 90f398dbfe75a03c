"""Small images and short fits, for the tests of the methods."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reprbench.methods.ali import ALI
from reprbench.methods.ameae import AMEAE, DenoisingAMEAE, SparseAMEAE
from reprbench.methods.autoencoders import AE, DAE, SparseAE
from reprbench.methods.barlow_twins import BarlowTwins
from reprbench.methods.bigan import BiGAN
from reprbench.methods.byol import BYOL
from reprbench.methods.controls import PCA, RawPixels, Untrained
from reprbench.methods.dcgan import DCGAN
from reprbench.methods.deconvnet import DeconvNet
from reprbench.methods.dino import DINO
from reprbench.methods.dlif import DLIF
from reprbench.methods.epls import EPLS
from reprbench.methods.hand_made import HOG, ColorHistogram
from reprbench.methods.kmeans import KMeans, RandomPatches
from reprbench.methods.mae import MAE
from reprbench.methods.rbm import RBM
from reprbench.methods.rica import RICA
from reprbench.methods.rotation import Rotation
from reprbench.methods.simclr import SimCLR
from reprbench.methods.simsiam import SimSiam
from reprbench.methods.sparse_coding import SC
from reprbench.methods.sparse_filtering import SparseFiltering
from reprbench.methods.stacked_dae import StackedDAE
from reprbench.methods.supervised import Supervised
from reprbench.methods.timm_models import UntrainedTimm
from reprbench.methods.torchvision_models import UntrainedTorchvision
from reprbench.methods.vae import VAE
from reprbench.methods.vicreg import VICReg
from sklearn.datasets import load_digits

from reprbench.adapters.transformers import Transformer
from reprbench.images import Images
from reprbench.learner import Learner, SupervisedLearner, make
from reprbench.run_context import Budget, Run, seeded

AUTOENCODERS = [AE, DAE, SparseAE, AMEAE, DenoisingAMEAE, SparseAMEAE]
TWO_VIEW = [SimCLR, BYOL, BarlowTwins, VICReg, SimSiam, DINO]
TRAINED = [*AUTOENCODERS, VAE, Rotation, MAE, Supervised, RBM, StackedDAE, DeconvNet, DCGAN, BiGAN, ALI, *TWO_VIEW]
"""Those trained by the shared loop."""
PATCHES = [KMeans, RandomPatches, SC, RICA, SparseFiltering, EPLS, DLIF]
CONTROLS = [Untrained, UntrainedTimm, UntrainedTorchvision, RawPixels, PCA, RandomPatches]
HAND_MADE = [HOG, ColorHistogram]
METHODS = [*TRAINED, *PATCHES, *CONTROLS[:-1], *HAND_MADE, Transformer]
SMALL = {
    "width": 8,
    "batch_size": 8,
    "min_steps": 2,
    "n_hidden": 8,
    "gibbs_steps": 2,
    "widths": (8, 8),
    "corruptions": (0.1, 0.2),
    "maps": (4, 6),
    "lambdas": (2.0, 1.0),
    "receptive_field": 3,
    "n_patches": 150,
    "passes": 3,
    "n_centroids": 10,
    "n_features": 12,
    "iterations": 12,
    "projector_width": 12,
    "projection_length": 8,
    "predictor_width": 6,
    "prototypes": 10,
    "bottleneck": 6,
}
"""Cheap parameters, for the methods that have them."""
SMALL_OF = {
    DLIF: {"n_features": (6, 5), "shift": 2, "n_components": 7, "n_tracks": 30, "frames": 4},
    UntrainedTimm: {"model": "test_resnet", "image_size": 32},
    UntrainedTorchvision: {"model": "resnet18", "image_size": 32},
    MAE: {"width": 32, "depth": 2, "decoder_width": 32, "decoder_depth": 1},
}


def small(cls: type[Learner], **parameters: Any) -> dict[str, Any]:
    """Return `parameters` with those that make `cls` cheap, where it has them."""
    cheap = {**SMALL, **SMALL_OF.get(cls, {})}
    return {**{name: value for name, value in cheap.items() if hasattr(cls, name)}, **parameters}


def blobs(count: int = 20, shape: tuple[int, int, int] = (1, 8, 8), seed: int = 0) -> Images:
    """Return smooth random images."""
    generator = np.random.default_rng(seed)
    channels, height, width = shape
    rows, columns = np.arange(height)[:, None], np.arange(width)
    center = generator.uniform(0, 1, (count, channels, 2, 1, 1)) * np.array([height, width])[:, None, None]
    squares = (rows - center[:, :, 0]) ** 2 + (columns - center[:, :, 1]) ** 2
    return Images((255 * np.exp(-squares / (0.05 * height * width))).astype(np.uint8))


def digits() -> Images:
    """Return the first 512 images of scikit-learn's digits."""
    return Images((load_digits().images[:512, None] * 255 / 16).astype(np.uint8))


def fitted(
    cls: type[Learner], images: Images, *, epochs: int = 1, seed: int = 0, folder: Path | None = None, **parameters: Any
) -> tuple[Learner, Run]:
    """Return a learner made and fitted as by the harness, and its run."""
    with seeded(seed, "weights"):
        learner = make(cls, small(cls, **parameters), images.shape)
    run = Run(seed, Budget(epochs=epochs), folder=folder)
    fit(learner, images, run)
    return learner, run


def fit(learner: Learner, images: Images, run: Run) -> None:
    """Fit with the labels 0, 1, 2, 0, … where there have to be some."""
    if isinstance(learner, SupervisedLearner):
        learner.fit_labeled(images, np.arange(len(images)) % 3, run)
    else:
        learner.fit(images, run)


def take_step(learner: Learner, run: Run, *batch: torch.Tensor) -> Mapping[str, torch.Tensor]:
    """Continue learning after a fit, from one more batch, as the shared loop would have."""
    for value in vars(learner).values():
        if isinstance(value, torch.nn.Module):
            value.train()
    return learner.step(*batch, learner._optimizers, run)


def encoded(learner: Learner, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Encode as by the harness."""
    for value in vars(learner).values():
        if isinstance(value, torch.nn.Module):
            value.eval()
    with torch.inference_mode():
        return dict(learner.encode(x))


def weight_shapes(network: torch.nn.Module) -> list[tuple[int, ...]]:
    """Return the shapes of all matrices and kernels."""
    return [tuple(weight.shape) for weight in network.parameters() if weight.dim() > 1]


def interrupting(after: int):
    """A progress callback that raises on its (after + 1)-th call."""
    calls = iter(range(99))

    def progress(what, share, values):
        if next(calls) == after:
            raise KeyboardInterrupt

    return progress


def with_averages(network: torch.nn.Module) -> torch.nn.Module:
    """Return a network in evaluation mode, with running averages as of a trained one: neither 0 nor 1."""
    for name, buffer in network.eval().named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return network
