"""The protocol geometry: what is measured of which images, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_protocols import make_protocols

from reprbench.data.augmented import augmented
from reprbench.data.folds import named_generator, random_rows
from reprbench.images import Images
from reprbench.probes import spectra
from reprbench.probes.hypersphere import alignment, uniformity
from reprbench.probes.spectra import lidar, power_law, rank_me, spectrum
from reprbench.protocols.base import Outcome, Subject
from reprbench.protocols.geometry import Geometry
from reprbench.spec import parse_call


class Projection:
    """A map of the image's pixels times `factor`, and its means over the rows, from which order takes some."""

    encode_batch_size = 7

    def __init__(self, factor: float = 1.0, order: slice | list[int] = slice(None)) -> None:
        self.factor, self.order = factor, order

    def encode(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"maps": x, "rows": self.factor * x.mean(3).flatten(1)[:, self.order]}


class Data:
    name = "toy"
    test = Images(np.random.default_rng(0).integers(0, 256, (60, 2, 8, 8), dtype=np.uint8))
    folds = (np.array([2, 5]), np.array([1, 3]))


def codes_of(images: Images, learner: Projection) -> np.ndarray:
    return learner.encode(images.batch(slice(None)))["rows"].numpy()


def evaluated(call: str = "geometry[images=20,views=3]", learner: Projection | None = None, data=Data) -> Outcome:
    (protocol,) = make_protocols([parse_call(call)])
    return protocol.evaluate(Subject(data(), False, lambda rows: learner or Projection()), 0)


def values(outcome: Outcome) -> dict[str, float]:
    return {one.metric: one.value for one in outcome.measurements}


def test_all_numbers_are_those_of_the_codes_of_images_and_of_their_views():
    outcome = evaluated("geometry[images=20,views=3,transformations=[flip,gaussian]]")
    codes, every = codes_of(Data.test, Projection()), np.arange(16)
    rows = random_rows(60, 20, named_generator("toy geometry images"))
    copies = [augmented(Data.test.take(rows), ("flip", "gaussian"), "toy", number) for number in range(3)]
    views = np.stack([codes_of(images, Projection()) for images in copies], axis=1)
    assert values(outcome) == {
        "RankMe": pytest.approx(rank_me(spectrum(codes, every, centered=False))),
        "alpha": pytest.approx(power_law(spectrum(codes, every, centered=True)).alpha),
        "uniformity": pytest.approx(uniformity(codes)),
        "alignment": pytest.approx(alignment(views)),
        "LiDAR": pytest.approx(lidar(views)),
    }
    assert [one.metric for one in outcome.headlines] == ["RankMe", "LiDAR", "alpha", "alignment", "uniformity"]
    assert outcome.warnings == []


@pytest.mark.parametrize(
    "learner", [Projection(1024), Projection(2.0**-20), Projection(order=[*range(8, 16), *range(8)])]
)
def test_scaling_or_permuting_all_features_changes_nothing(learner):
    assert values(evaluated(learner=learner)) == pytest.approx(values(evaluated()), rel=1e-4)


def test_the_figure_shows_the_spectrum_and_the_power_law():
    outcome = evaluated()
    (axes,) = outcome.figures["spectrum"].axes
    drawn, fitted = axes.lines
    expected = spectrum(codes_of(Data.test, Projection()), np.arange(16), centered=True)
    assert drawn.get_ydata() == pytest.approx(expected)
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert fitted.get_label() == f"α = {values(outcome)['alpha']:.2f}"
    assert fitted.get_xdata().tolist() == [11, 16]


def test_a_small_code_has_no_exponent():
    outcome = evaluated(learner=Projection(order=slice(0, 5)))
    assert "alpha" not in values(outcome)
    assert outcome.warnings == ["alpha is not measured: only 5 eigenvalues are positive"]
    assert "alpha" not in [one.metric for one in outcome.headlines]
    assert len(outcome.figures["spectrum"].axes[0].lines) == 1


def test_of_a_wide_layer_some_features_are_measured_and_the_row_says_so(monkeypatch):
    monkeypatch.setattr(spectra, "MOST_UNITS", 14)
    outcome = evaluated()
    assert outcome.warnings == ["all numbers are those of 14 of the 16 features"]
    assert values(outcome)["RankMe"] <= 14.01


def test_codes_that_are_all_the_same_are_not_measured():
    class Constant(Projection):
        def encode(self, x):
            return {"rows": torch.full((len(x), 5), 0.1)}

    assert evaluated(learner=Constant()).missing == "geometry: all images have the same code"

    class One(Data):
        test = Images(np.zeros((1, 1, 8, 8), np.uint8))

    assert evaluated(data=One).missing == "geometry needs two test images"


@pytest.mark.parametrize("supervised", [False, True])
def test_what_is_read_is_the_test_split_of_the_first_fit(supervised):
    (named,) = Geometry().reads(Data(), supervised)
    assert (named.split, named.rows.tolist()) == ("test", list(range(60)))
    assert (named.view.pooling, named.view.grid) == ("mean", 1)
    assert (None if named.trained is None else named.trained.tolist()) == ([2, 5] if supervised else None)
