"""Statistics of a learner's codes, layer by layer: how many directions and units they use, and how sparsely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reprbench.features import View
from reprbench.probes.layer_stats import LayerStats, layer_stats
from reprbench.protocols.base import Curve, Features, Headline, Measurement, Outcome, Protocol, Subject
from reprbench.protocols.layers import layer_matrices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from reprbench.data.dataset import Dataset


class CodeStats(Protocol):
    """Statistics of the code of every layer on the test images; neither direction is better, and no labels are read.

    A unit is a channel of a map, its value the mean over all positions, or an entry of a vector.

    Metrics, each at {"layer", "depth"}
    -----------------------------------
    RankMe : of the matrix of images × units, not centered (Q. Garrido et al., "RankMe", 2023): the exponential of the
        entropy of its singular values, not their squares, divided by their sum, 1e-7 being added to each share; but for
        that, their effective rank (O. Roy, M. Vetterli 2007). A layer of more than 4096 units is represented by 4096
        random ones, the same for every method and seed.
    units : how many.
    dead units (%) : those that are constant over all test images.
    lifetime sparsity, population sparsity : S = (1 − (E|a|)²/E[a²]) / (1 − 1/n) in [0, 1] (E. Rolls, M. Tovee 1995; W.
        Vinje, J. Gallant 2000), of magnitudes, as values may be negative: over the n images for every live unit, then
        the mean over units; over the n live units for every image, then the mean over images. Images for which all
        live units are 0 are left out of the latter.
    """

    name = "code-stats"
    version = 2
    headlines = ("RankMe",)

    def reads(self, dataset: Dataset, supervised: bool) -> list[Features]:
        """Return the channel means of all layers on the whole test split."""
        return [Features.of_split(dataset, supervised, "test", View(layers="all", pooling="mean", grid=1))]

    def evaluate(self, subject: Subject, seed: int) -> Outcome:
        """Return the statistics of every layer, from the input to the code."""
        (wanted,) = self.reads(subject.dataset, subject.supervised)
        matrices = layer_matrices(subject, wanted)
        found: dict[str, LayerStats] = {}
        for name, matrix in matrices.items():
            subject.progress(self.name, len(found) / len(matrices))
            found[name] = layer_stats(matrix, subject.device)
        outcome = Outcome(
            [one for depth, name in enumerate(found, 1) for one in _measurements(found[name], name, depth)],
            warnings=_warnings(found),
            figures={"layers": layers_figure(found)},
            headlines=[Headline("RankMe", {"layer": list(found)[-1]})],
        )
        if len(found) > 1:
            measured = {m.metric for m in outcome.measurements}
            outcome.curves = [Curve(metric, "depth", x_label="layer") for metric in sorted(measured - {"units"})]
        return outcome


def _measurements(stats: LayerStats, layer: str, depth: int) -> list[Measurement]:
    at: dict[str, Any] = {"layer": layer, "depth": depth}
    found = [
        Measurement("RankMe", stats.rank_me, at=at),
        Measurement("units", stats.units, at=at),
        Measurement("dead units", 100 * stats.dead / stats.units, "%", at=at),
    ]
    if stats.lifetime_sparsity is not None:
        found.append(Measurement("lifetime sparsity", stats.lifetime_sparsity, at=at))
    if stats.population_sparsity is not None:
        found.append(Measurement("population sparsity", stats.population_sparsity, at=at))
    return found


def _warnings(found: Mapping[str, LayerStats]) -> list[str]:
    warnings = [
        f"RankMe of layer {name} is that of {stats.ranked} of its {stats.units} units"
        for name, stats in found.items()
        if stats.ranked < stats.units
    ]
    if silent := [name for name, stats in found.items() if stats.dead == stats.units]:
        warnings.append(f"all units are dead in {', '.join(silent)}")
    return warnings


def layers_figure(found: Mapping[str, LayerStats]) -> Figure:
    """Return a figure with four small panels against the layers: rank and dead units as shares, and both sparsities."""
    from reprbench.plotting import new_axes, new_figure

    panels: list[tuple[str, list[float | None]]] = [
        ("RankMe (% of units)", [100 * stats.rank_me / stats.ranked for stats in found.values()]),
        ("dead units (%)", [100 * stats.dead / stats.units for stats in found.values()]),
        ("lifetime sparsity", [stats.lifetime_sparsity for stats in found.values()]),
        ("population sparsity", [stats.population_sparsity for stats in found.values()]),
    ]
    names = list(found)
    # Names of layers are written vertically below the panels; about 0.065 inches per letter.
    figure = new_figure(max(4.6, 0.7 + 0.42 * len(names)), 3.4 + 0.065 * max(map(len, names)))
    axes = new_axes(figure, 2, 2, sharex=True)
    for number, (panel, (label, values)) in enumerate(zip(axes.flat, panels, strict=True)):
        _draw_panel(panel, names, label, values, number)
    return figure


def _draw_panel(panel: Axes, names: Sequence[str], label: str, values: Sequence[float | None], number: int) -> None:
    """Draw the known values of the layers: a line, or a bar if there is only one layer."""
    from reprbench.plotting import COLORS, line

    known = [(place, value) for place, value in enumerate(values) if value is not None]
    x, y = [place for place, _ in known], [value for _, value in known]
    if len(names) == 1:
        panel.bar(x, y, width=0.4, color=COLORS[number])
    else:
        line(panel, x, y, label, number)
    top = 100 if "%" in label else 1
    panel.set_title(label, fontsize=9)
    panel.set(ylim=(-0.04 * top, 1.04 * top), xlim=(-0.5, len(names) - 0.5))
    panel.set_xticks(range(len(names)), names, rotation=90 if len(names) > 1 else 0)
    panel.grid(False, axis="x")
