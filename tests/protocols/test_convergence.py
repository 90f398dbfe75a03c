"""The differences over the epochs against direct NumPy, on snapshots that are made up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from made_protocols import make_protocols

from reprbench.errors import UserError
from reprbench.protocols.base import Snapshots, Subject
from reprbench.protocols.convergence import Convergence, density
from reprbench.spec import parse_call

EPOCHS = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 60.5]
DATA = SimpleNamespace(folds=(np.arange(5), np.arange(2, 7)))


def snapshots(channels: int = 1, epochs: list[float] = EPOCHS) -> Snapshots:
    generator = np.random.default_rng(0)
    originals = generator.random((8, channels, 12, 10), dtype=np.float32)
    noise = generator.normal(size=(len(epochs), *originals.shape)) + np.arange(channels).reshape(-1, 1, 1)
    shrinking = 0.5 ** np.arange(len(epochs)).reshape(-1, 1, 1, 1, 1)
    return Snapshots(epochs, originals, np.clip(originals + noise * shrinking, 0, 1).astype(np.float32))


def subject(kept: Snapshots | None, supervised: bool = False, learner: object = None) -> Subject:
    return Subject(DATA, supervised, lambda rows: learner, None, snapshots=lambda rows: kept)


def evaluate(kept: Snapshots, **parameters):
    return Convergence(**parameters).evaluate(subject(kept), 0)


@pytest.mark.parametrize(
    ("channels", "names"), [(1, {"gray": 0}), (3, {"red": 0, "green": 1, "blue": 2})], ids=["gray", "color"]
)
@pytest.mark.parametrize("tolerance", [0.05, 0.3])
def test_every_epoch_and_channel_has_its_three_numbers(channels, names, tolerance):
    kept = snapshots(channels)
    expected = {}
    for number, epoch in enumerate(EPOCHS):
        for channel, place in {**names, "all": slice(None)}.items():
            d = (kept.originals.astype(np.float64) - kept.reconstructions[number])[:, place]
            expected["spread", epoch, channel] = np.sqrt((d**2).mean() - d.mean() ** 2)
            expected["|mean|", epoch, channel] = abs(d.mean())
            expected["share within tolerance", epoch, channel] = 100 * np.sum(abs(d) <= tolerance) / d.size
    measurements = evaluate(kept, tolerance=tolerance).measurements
    assert len(measurements) == len(expected)
    found = {(m.metric, m.at["epoch"], m.at["channel"]): m.value for m in measurements}
    assert found == {key: pytest.approx(value, rel=1e-6, abs=1e-9) for key, value in expected.items()}


def test_reconstructions_that_are_the_images_are_all_within_the_tolerance():
    one = snapshots()
    kept = Snapshots([0.0], one.originals, one.originals[None])
    found = {m.metric: m.value for m in evaluate(kept).measurements}
    assert found == {"spread": 0, "|mean|": 0, "share within tolerance": 100}


def test_a_difference_as_large_as_the_tolerance_is_within_it():
    x = np.full((1, 1, 8, 8), 0.5, dtype=np.float32)
    found = evaluate(Snapshots([1.0], x, x[None] - np.float32(0.25)), tolerance=0.25).measurements
    assert {m.value for m in found if m.metric == "share within tolerance"} == {100.0}


def test_the_headline_is_of_all_channels_after_the_last_epoch():
    outcome = evaluate(snapshots(3))
    assert outcome.headlines[0].at == {"epoch": 60.5, "channel": "all"}
    chosen = [
        m for m in outcome.measurements if m.metric == Convergence.headlines[0] and m.at == outcome.headlines[0].at
    ]
    assert len(chosen) == 1
    for curve in outcome.curves:
        assert [
            m.at["epoch"] for m in outcome.measurements if m.metric == curve.metric and curve.at.items() <= m.at.items()
        ] == EPOCHS


@pytest.mark.parametrize("bins", [3, 41, 100])
def test_a_histogram_integrates_to_one_with_what_is_beyond_in_its_outermost_bins(bins):
    values = np.random.default_rng(0).normal(0, 0.4, 1000)
    middles, heights = density(values, bins)
    width = 1 / bins
    assert heights.sum() * width == pytest.approx(1)
    assert middles[0] == pytest.approx(-0.5 + width / 2)
    assert heights[0] * width == pytest.approx((values < -0.5 + width).mean())
    assert heights[-1] * width == pytest.approx((values >= 0.5 - width).mean())


def titles(outcome) -> list[str]:
    return [title for axes in outcome.figures["figure2"].axes if (title := axes.get_title())]


@pytest.mark.parametrize(
    ("recorded", "asked", "shown"),
    [
        (EPOCHS, (), ["0", "1", "5", "10", "50", "60.5"]),
        (EPOCHS[:3], (), ["0", "1", "2"]),
        ([0.0], (), ["0"]),
        ([30.0], (), ["30"]),
        (EPOCHS, (60.5, 0, 5), ["0", "5", "60.5"]),
        (EPOCHS, tuple(EPOCHS), ["0", "1", "2", "5", "10", "20", "50", "60.5"]),
    ],
)
def test_the_figure_shows_at_most_six_epochs_or_the_requested_ones(recorded, asked, shown):
    outcome = evaluate(snapshots(epochs=recorded), epochs=asked)
    assert titles(outcome) == ["original x", *(f"epoch {epoch}" for epoch in shown)]


@pytest.mark.parametrize(("channels", "lines"), [(1, ["gray"]), (3, ["red", "green", "blue"])])
def test_the_figure_has_a_histogram_per_channel_under_each_column_of_reconstructions(channels, lines):
    kept = snapshots(channels)
    axes = np.reshape(evaluate(kept).figures["figure2"].axes, (4, 7))
    assert np.allclose(axes[1, 0].images[0].get_array(), kept.originals[1].transpose(1, 2, 0).squeeze())
    last = axes[2, -1].images[0].get_array()
    assert np.allclose(last, kept.reconstructions[-1, 2].transpose(1, 2, 0).squeeze())
    for panel in axes[-1, 1:]:
        assert [line.get_label() for line in panel.lines] == lines
    differences = (kept.originals - kept.reconstructions[-1])[:, 0]
    counts, _ = np.histogram(differences, np.linspace(-0.5, 0.5, 42))
    assert np.allclose(axes[-1, -1].lines[0].get_ydata(), counts / counts.sum() * 41)


@pytest.mark.parametrize(("channels", "lines"), [(1, ["gray"]), (3, ["red", "green", "blue", "all"])])
def test_the_course_shows_every_recorded_epoch(channels, lines):
    panels = evaluate(snapshots(channels)).figures["course"].axes
    assert len(panels) == 3
    for panel in panels:
        assert [line.get_label() for line in panel.lines] == lines
        assert [line.get_xdata().tolist() for line in panel.lines] == [EPOCHS] * len(lines)


def test_an_epoch_that_was_not_recorded_is_the_users_mistake():
    with pytest.raises(UserError, match=r"nothing was recorded after 3, 7.5 epochs; set epochs to some of 0, 1, 2, 5"):
        evaluate(snapshots(), epochs=(7.5, 3, 5))


def test_a_fit_that_kept_nothing_has_no_numbers_and_says_why():
    learner = type("Closed", (), {"method_name": "closed-form"})()
    outcome = Convergence().evaluate(subject(None, learner=learner), 0)
    assert outcome.missing == "convergence: the fit of closed-form keeps no reconstructions as it learns"
    assert outcome.measurements == [] and outcome.figures == {}


@pytest.mark.parametrize("supervised", [False, True])
def test_one_fit_is_looked_at(supervised):
    asked = []

    def kept(rows):
        asked.append(rows)
        return snapshots()

    Convergence().evaluate(Subject(DATA, supervised, None, None, snapshots=kept), 0)
    assert len(asked) == 1
    assert asked[0] is (DATA.folds[0] if supervised else None)


@pytest.mark.parametrize("call", ["convergence[tolerance=0]", "convergence[bins=2]", "convergence[epochs=[-1]]"])
def test_parameters_have_bounds(call):
    with pytest.raises(UserError, match=call.partition("[")[2].partition("=")[0]):
        make_protocols([parse_call(call)])
