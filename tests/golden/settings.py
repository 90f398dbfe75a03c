"""The parameters that golden values are computed with.

The first of a method or protocol are the smallest sensible ones: few steps and few numbers, so that rounding has no
time to grow. Each of the others changes some of the first. What has none here is run with its defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

DEFAULT = "default"
"""In the place of a value: the method's own."""

# Default learning rates are among them, so that one that changes is noticed. They move little in four steps, though:
# with larger ones, more digits show what is learned. `ali` begins with a larger one, as what it learns by its own is so
# little that rounding decides which images are nearest.
NETWORK = {"width": 4, "batch_size": 25}
NOISELESS = {**NETWORK, "instance_noise": 0}
GAN = {**NETWORK, "code_size": 4}
PATCHES = {"receptive_field": 4, "n_patches": 500}
CENTROIDS = {**PATCHES, "n_centroids": 6}
FEATURES = {**PATCHES, "n_features": 6}
PROJECTOR = {**NETWORK, "projector_width": 6}
PROJECTED = {**PROJECTOR, "projection_length": 5}
METHODS: dict[str, list[dict[str, Any]]] = {
    "ae": [NETWORK, {"lr": 0.01}],
    "ali": [{**GAN, "width": 16, "lr": 0.003, "updates": "alternating"}, {"lr": DEFAULT, "updates": DEFAULT}],
    "ameae": [
        NOISELESS,
        {"statistics": "separate", "lr": 0.01},
        {"statistics": "joint", "lr": 0.01},
        {"detach_reconstruction": False, "lr": 0.01},
    ],
    "barlow-twins": [PROJECTED],
    "bigan": [GAN, {"updates": "alternating", "width": 16, "lr": 0.01}],
    "byol": [PROJECTED, {"augmentation": "byol-cifar"}],
    "dae": [NETWORK, {"corruption": "gaussian"}],
    "dcgan": [GAN, {"updates": "simultaneous", "lr": 0.01}],
    "deconvnet": [{"maps": (4, 3), "lambdas": (2.0, 1.0), "kernel": 3, "batch_size": 25, "ista_steps": 3}],
    "denoising-ameae": [NOISELESS],
    "dino": [{**PROJECTOR, "bottleneck": 5, "prototypes": 7}],
    "dlif": [
        {
            "receptive_field": 4,
            "shift": 2,
            "n_features": (4, 3),
            "n_components": 4,
            "n_tracks": 50,
            "frames": 4,
            "iterations": 2,
        }
    ],
    "epls": [{**FEATURES, "passes": 1}, {"encoder": "logistic"}, {"strict": False}],
    "kmeans": [
        {**CENTROIDS, "iterations": 2},
        {"encoder": "hard"},
        {"stride": 2, "downsample": 2, "receptive_field": 2},
    ],
    "mae": [
        {"width": 32, "depth": 1, "decoder_width": 32, "decoder_depth": 1, "batch_size": 25},
        {"normalize": False, "mask_share": 0.5, "lr": 0.01},
    ],
    "pca": [{"n_components": 6}, {"whiten": True}],
    "random-patches": [CENTROIDS],
    "rbm": [{"n_hidden": 6, "gibbs_steps": 2, "batch_size": 25}],
    "rica": [{**FEATURES, "iterations": 2}],
    "rotation": [NETWORK, {"lr": 0.01}],
    "sc": [{**FEATURES, "iterations": 2}, {"training": "sparse-coding"}, {"encoder": "sparse-coding"}],
    "simclr": [PROJECTED, {"augmentation": "simclr"}, {"augmentation": "digits"}],
    "simsiam": [{**PROJECTOR, "predictor_width": 4}],
    "sparse-ae": [{**NETWORK, "sparsity": 0.001}],
    "sparse-ameae": [{**NOISELESS, "sparsity": 0.001}],
    "sparse-filtering": [{**FEATURES, "iterations": 2}],
    "sklearn": [
        {"estimator": "sklearn.random_projection.GaussianRandomProjection", "n_components": 6},
        {"estimator": "sklearn.decomposition.TruncatedSVD"},
    ],
    "stacked-dae": [{"widths": (6, 5), "corruptions": (0.1, 0.2), "batch_size": 25}],
    "supervised": [{**NETWORK, "min_steps": 8}, {"lr": 0.01}],
    "untrained": [{"width": 4, "calibration_images": 50}],
    "untrained-timm": [{"model": "resnet10t", "image_size": 32, "calibration_images": 50}],
    "untrained-torchvision": [{"model": "resnet18", "image_size": 32, "calibration_images": 50}],
    "vae": [NETWORK, {"likelihood": "bernoulli", "lr": 0.01}],
    "vicreg": [PROJECTED],
}

SVM = {"costs": (0.01, 1.0), "inner_folds": 2}
PROTOCOLS: dict[str, list[dict[str, Any]]] = {
    "clustering": [{"runs": 2, "n_init": 2}, {"metric": "cosine"}],
    "embedding": [{"perplexity": 5.0}],
    "few-labels": [{**SVM, "labels": (1, 3, 8)}],
    "fine-tune": [
        {**SVM, "epochs": 2, "batch_size": 25},
        {"learning_rates": (0.001, 0.03), "grid": 2, "pooling": "max", "folds": "none"},
    ],
    "geometry": [
        {"images": 30, "views": 3},
        {"layers": "all", "transformations": ("flip", "gaussian")},
    ],
    "interpolation": [{"measured_pairs": 10, "steps": 4}, {"classes": ((0, 1), (2, 7))}],
    "knn": [
        {},
        {"k": 3},
        {"metric": "cosine"},
        {"layers": "all", "pooling": "mean", "folds": "none"},
        {"k": 5, "weighted": True},
    ],
    "linear-svm": [SVM, {"layers": "all", "pooling": "l2", "grid": 3}],
    "logistic": [SVM, {"scale": "common"}],
    "optimal-classifier": [{"width": 8, "batch_size": 25, "epochs": 3}, {"learning_rate": 0.03}],
    "reconstruction": [{"steps": 6, "width": 4, "batch_size": 25}, {"lr": 0.03}],
    "retrieval": [{}, {"k": (2,), "metric": "euclidean"}],
    "robustness": [
        {**SVM, "mask": (0.0, 0.4), "gaussian": (0.2,), "salt_and_pepper": (0.2,), "occlusion": (0.25,)},
    ],
    "similarity": [{"images": 50}, {"pooling": "max", "grid": 2}],
    "transfer": [{**SVM, "to": "mosaics"}],
}
ACCURACIES = {"linear-svm": SVM, "knn": {}}
"""What the features of every method are judged by."""


def variants(settings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield parameters, and the prefix of their groups' names: how they differ from the first."""
    first, *others = settings
    yield "", dict(first)
    for changes in others:
        given = {name: value for name, value in {**first, **changes}.items() if value != DEFAULT}
        yield ", ".join(f"{name}={value}" for name, value in changes.items()) + ": ", given
