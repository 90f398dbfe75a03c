"""The tables of stores, for the command line and for `LoadedStore.report`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reprbench.benchmark import is_file_name, load_benchmark
from reprbench.errors import UserError
from reprbench.store import Store, check_exists

if TYPE_CHECKING:
    from reprbench.report.select import Wanted
    from reprbench.report.table import Settings, Table
    from reprbench.trial import Trial

Names = str | Iterable[str]


def several(names: Names) -> tuple[str, ...]:
    """Return the names; a single one as a tuple of one."""
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def wanted_rows(
    benchmarks: Sequence[str], methods: Sequence[str], datasets: Sequence[str], protocols: Sequence[str]
) -> Wanted:
    """Return what selects rows; a benchmark may be the file of one's own."""
    from reprbench.report.select import Wanted

    files = tuple(map(load_benchmark, filter(is_file_name, map(Path, benchmarks))))
    names = tuple(name for name in benchmarks if not is_file_name(Path(name)))
    return Wanted(names, tuple(methods), tuple(datasets), tuple(protocols), files)


def report_tables(
    stores: Sequence[Path], wanted: Wanted, settings: Settings, warn: Callable[[str], None]
) -> tuple[list[Trial], list[Table]]:
    """Return the selected trials of the stores, and their tables; `warn` is called with what cannot be read."""
    from reprbench.report.select import known_benchmarks, select_tables, select_trials
    from reprbench.report.table import make_tables

    found = [trial for store in stores for trial in _read(store, warn)]
    chosen = select_trials(found, wanted)
    # The newest last: rows that differ in nothing else are in the order of their trials.
    chosen.sort(key=lambda trial: trial.order)
    tables = make_tables(chosen, known_benchmarks(chosen, wanted), settings, among=found)
    if not tables:
        raise UserError(
            "all selected trials are superseded by later ones of the same rows, or settings of sweeps that were not "
            "chosen; --all shows them"
        )
    return chosen, select_tables(tables, wanted)


def _read(store: Path, warn: Callable[[str], None]) -> list[Trial]:
    """Return the trials of a store; `warn` is called for each file that is not one."""
    check_exists(store)
    trials, problems = Store(store).read()
    for problem in problems:
        warn(problem)
    if not trials:
        raise UserError(f"store {store}: no trials in it; expected <benchmark>/<method>/<seed>-<hash>/trial.json")
    return trials


def tables_text(
    tables: Sequence[Table],
    form: str,
    stores: Sequence[Path],
    folder: Path,
    pivot: str | None = None,
    relative_to: str = "",
) -> str:
    """Return tables, or with `pivot` any measurement against the methods, as a text.

    Parameters
    ----------
    form : "table", "markdown", "latex", "csv", "json" or "html".
    stores, folder : where the tables are from, and where a page will be: it links to the trials.
    """
    if form == "html":
        from reprbench.report.formats.html import as_html

        return as_html(list(tables), tuple(stores), folder)
    from reprbench.report.formats import FORMATS
    from reprbench.report.pivot import make_pivots, parse_question

    if form not in FORMATS:
        raise UserError(f"format {form!r}: expected one of {', '.join((*FORMATS, 'html'))}")
    return FORMATS[form](make_pivots(parse_question(pivot), tables, relative_to) if pivot else list(tables))
