"""Tables and pivots as text: for the terminal, and as GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reprbench.printable import cell, printable
from reprbench.report.escape import markdown
from reprbench.report.grid import Grid, GridCell
from reprbench.report.under import Emphasis, UnderLine


@dataclass(frozen=True)
class Style:
    """How a text format looks.

    Attributes
    ----------
    table : the name of the format in tabulate.
    heading, group : the patterns of the title, and of headings inside of the table.
    emphasis : patterns of cells.
    explains : patterns of the lines that explain the emphasis.
    between : separates the lines under the table.
    escape : makes text appear literally.
    """

    table: str
    heading: str
    group: str
    emphasis: Mapping[Emphasis, str]
    explains: Mapping[Emphasis, str]
    between: str
    escape: Callable[[str], str]


TERMINAL = Style(
    "simple",
    "{}",
    "{}:",
    {"best": "* {}", "tie": "≈ {}", "": "{}"},
    {"best": "* {}", "tie": "≈ {}", "": "{}"},
    "\n",
    printable,
)
MARKDOWN = Style(
    "github",
    "### {}",
    "*{}*",
    {"best": "**{}**", "tie": "≈ {}", "": "{}"},
    {"best": "bold: {}", "tie": "≈ {}", "": "{}"},
    "\n\n",
    markdown,
)


def as_terminal(grids: Sequence[Grid], after: Sequence[str] = ()) -> str:
    """Return the tables for a terminal, and the lines that come after all of them."""
    return "\n\n".join([*(_text(grid, TERMINAL) for grid in grids), *map(printable, after)])


def as_markdown(grids: Sequence[Grid], after: Sequence[str] = ()) -> str:
    """Return the tables as GitHub's Markdown, and the lines that come after all of them."""
    return "\n\n".join([*(_text(grid, MARKDOWN) for grid in grids), *map(markdown, after)]) + "\n"


def _text(grid: Grid, style: Style) -> str:
    """Return one table: heading, rows, and under it everything a reader needs to judge it."""
    from tabulate import tabulate

    body = tabulate(
        [line for heading, lines in grid.blocks for line in _block(heading, lines, style)],
        [style.escape(cell(header)) for header in grid.headers],
        tablefmt=style.table,
        disable_numparse=True,
        colalign=["left" if left else "right" for left in grid.left],
    )
    under = style.between.join(_under(line, style) for line in grid.under)
    titles = [style.heading.format(style.escape(grid.title)), *filter(None, [style.escape(grid.subtitle)])]
    return f"{style.between.join(titles)}\n\n{body}\n\n{under}"


def _block(heading: str, lines: Sequence[Sequence[GridCell]], style: Style) -> list[list[str]]:
    """Return the lines of a block as texts, below a line with its heading if it has one."""
    texts = [[style.emphasis[one.emphasis].format(style.escape(cell(one.text))) for one in line] for line in lines]
    return [[style.group.format(style.escape(cell(heading)))], *texts] if heading else texts


def _under(line: UnderLine, style: Style) -> str:
    return style.explains[line.explains].format(style.escape(line.text))
