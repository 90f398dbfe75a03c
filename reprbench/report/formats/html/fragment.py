"""Tables as a piece of HTML that stands on its own, for notebooks: no script, no style sheet, no figures."""

from __future__ import annotations

from collections.abc import Sequence

from reprbench.printable import printable_lines
from reprbench.report.formats.html.cells import page_table
from reprbench.report.formats.html.environment import environment
from reprbench.report.table import Table


def as_fragment(tables: Sequence[Table]) -> str:
    """Return the tables with their footnotes; every text in them is shown literally."""
    template = environment().get_template("fragment.html.j2")
    return printable_lines(template.render(tables=[(table, page_table(table)) for table in tables]), None)
