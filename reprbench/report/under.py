"""The lines under a table: what its signs mean, how it was measured and tested, and on what data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from reprbench.learner import Kind
from reprbench.measurement import Headline
from reprbench.report.best import ALPHA, BestTest
from reprbench.report.measured import fold_count
from reprbench.report.statistics import POWER
from reprbench.report.table import Table, unit_of
from reprbench.report.text import contents_text, decimals_for, fixed, folds_text, place_text

Emphasis = Literal["", "best", "tie"]


@dataclass(frozen=True)
class KindSign:
    """A sign after the names of rows, and its meaning."""

    sign: str
    meaning: str


KINDS: Mapping[Kind, KindSign] = {
    "supervised": KindSign(
        "†", "supervised: fitted once per fold, with that fold's labels; does not compete for the best"
    ),
    "control": KindSign("‡", "control: learns nothing from an objective of its own"),
    "pretrained": KindSign("§", "pretrained: frozen weights or hand-made features; learns nothing from these images"),
}


BESIDE = "∥"
"""The sign of a fit beside others."""


@dataclass(frozen=True)
class UnderLine:
    """A line under a table; if it explains an emphasis, which one: each format shows that in its own way."""

    text: str
    explains: Emphasis = ""


def under_lines(table: Table) -> list[UnderLine]:
    """Return what a reader must know to judge a table, except for footnotes."""
    kinds = {row.kind for row in table.rows}
    lines = [UnderLine(f"{kind.sign} {kind.meaning}") for name, kind in KINDS.items() if name in kinds]
    if any(row.beside for row in table.rows):
        lines.append(UnderLine(f"{BESIDE} measured while other trials ran on the machine; alone it may take less"))
    lines += map(UnderLine, _measured(table))
    lines += _tests(table)
    lines += map(UnderLine, [*_seeds(table), *table.explanations, _made_of(table)])
    if table.superseded:
        s, are = ("", "is") if table.superseded == 1 else ("s", "are")
        lines.append(
            UnderLine(
                f"{table.superseded} trial{s} superseded by later trials of the same row{s} {are} not shown; "
                "--all shows all"
            )
        )
    if table.settings:
        s, are = ("", "is") if table.settings == 1 else ("s", "are")
        lines.append(UnderLine(f"{table.settings} other trial{s} of sweeps {are} not shown; --sweep shows all"))
    return lines


def _made_of(table: Table) -> str:
    """Return the line on protocol and data."""
    data = table.data
    codes = f" {', '.join(map(str, table.codes))}" if table.codes else ""
    mixed = " (mixed: run the benchmark again)" if len(table.codes) > 1 else ""
    of_data = f"data {data.title}, digest {data.digest[:12]} ({contents_text(data)})"
    return f"protocol {table.protocol}{codes}{mixed}; {of_data}"


def headline_text(headline: Headline, unit: str) -> str:
    """Return what a headline measures, with its unit and where."""
    at = f" at {place_text(headline.at.items())}" if headline.at else ""
    return f"{headline.metric}{f' in {unit}' if unit else ''}{at}"


def _measured(table: Table) -> Iterator[str]:
    folds = {fold_count(result.by_fold) for row in table.rows for result in row.results if result}
    if not folds:
        return
    what = "; ".join(headline_text(one, unit_of(table.rows, place)) for place, one in enumerate(table.headlines))
    yield f"{what}: {folds_text(folds)}"
    if max(folds) > 1:
        yield (
            "95 % intervals: Student's t, of the mean over draws of the labeled images, corrected for their overlap"
            f"{', and over seeds' if any(len(row.seeds) > 1 for row in table.rows) else ''}; "
            "percentages are cut off at 0 and 100"
        )


def _tests(table: Table) -> Iterator[UnderLine]:
    decimals = headline_decimals(table)
    for place, (name, tested) in enumerate(zip(table.headline_names, table.comparisons, strict=True)):
        if tested is None:
            continue
        where = f"{name}: " if len(table.headlines) > 1 else ""
        how = _how(tested, unit_of(table.rows, place), decimals[place])
        found = {result.standing.place for row in table.rows if (result := row.results[place])}
        if not tested.over_seeds:
            yield UnderLine(f"{where}one seed: folds only; they say nothing about other fits, so no row is the best")
        if "best" in found:
            yield UnderLine(f"{where}better than every other row that competes: {how}", "best")
        elif "tie" in found:
            yield UnderLine(f"{where}the best mean ({tested.best}), or not told apart from it: {how}", "tie")
        if tested.untold:
            few = "fewer than two seeds" if tested.over_seeds else "fewer than two folds"
            yield UnderLine(f"{where}{few} in common with {tested.best}, so not told apart: {', '.join(tested.untold)}")


def headline_decimals(table: Table) -> list[int]:
    """Return the number of decimals shown for each headline."""
    return [
        decimals_for(
            (result.summary.mean for row in table.rows if (result := row.results[place])), unit_of(table.rows, place)
        )
        for place in range(len(table.headlines))
    ]


def _how(tested: BestTest, unit: str, decimals: int) -> str:
    """Return which test it was, on what, and what it could have told apart."""
    folds = f"{_numbers(tested.folds)} fold{'s' if tested.folds != (1,) else ''}"
    over = f"paired by seed, over {_numbers(tested.seeds)} seeds and {folds}" if tested.over_seeds else f"on {folds}"
    names = {
        "t": f"t-test of differences {over} (overlap ratio {tested.ratio:.3g})",
        "wilcoxon": f"Wilcoxon's signed ranks of differences {over}, as if all were independent",
    }
    text = f"{names[tested.test]}, adjusted for all pairs of {tested.methods} rows, p < {ALPHA}"
    if tested.detectable is None:
        return text
    if unit == "%" and tested.detectable > 100:
        return f"{text}; no difference would be told apart with a probability of {100 * POWER:.0f} %: run more seeds"
    size = f"{fixed(tested.detectable, decimals)}{f' {unit}' if unit not in ('', '%') else ''}"
    return f"{text}; a difference of {size} would be told apart with a probability of {100 * POWER:.0f} %"


def _numbers(counts: tuple[int, ...]) -> str:
    return "/".join(map(str, counts))


def _seeds(table: Table) -> list[str]:
    means = (row.mean for row in table.rows)
    decimals = decimals_for(means, table.unit) + 1
    return [
        f"{spread.label}, seeds {', '.join(map(str, spread.seeds))}: mean {fixed(spread.mean, decimals)}, "
        f"standard deviation (ddof = 0) over seeds {fixed(spread.std_seeds, decimals)}, "
        f"over folds {fixed(spread.std_folds, decimals)}"
        for spread in table.seeds
    ]
