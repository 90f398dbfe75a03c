"""Benchmark files: dataset, methods, protocols, seeds, budget and published values, from YAML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from reprbench.errors import UserError, did_you_mean
from reprbench.grammar import LARGEST_INTEGER, brief
from reprbench.limit import LimitField
from reprbench.measurement import LARGEST
from reprbench.spec import Budget, Call, CallField, Line, Name, check_line, mistakes
from reprbench.sweep import Sweep, Tune, parse_method
from reprbench.yaml_files import read_yaml

PACKAGE = "reprbench.benchmarks"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Value = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
"""A published number; the squares of larger ones are not finite."""

Seed = Annotated[int, Field(strict=True, ge=0, le=LARGEST_INTEGER)]

Protocols = Annotated[tuple[CallField, ...], Field(min_length=1)]

Spread = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=LARGEST)]


class Reference(_Form):
    """A published value, and the differences between its protocol and ours."""

    value: Value
    """Accuracy in percent."""
    spread: Spread | None = None
    """Standard deviation over folds, in points."""
    tolerance: Spread | None = None
    """Within this many points of the published value a result counts as reproduced; if not given, twice the spread."""
    citation: str
    differences: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The citation, and the differences between that protocol and ours."""
        return f"{self.citation} ({'; '.join(self.differences)})" if self.differences else self.citation


def _in_lines(reference: Reference) -> Reference:
    """Check the texts of a benchmark's file; those of a stored trial are shown as they are."""
    lines = {"citation": check_line(reference.citation), "differences": tuple(map(check_line, reference.differences))}
    return reference.model_copy(update=lines)


class BenchmarkRow(_Form):
    """One row of a benchmark: a method, its published value, and its own protocols and budget if it has any."""

    method: CallField
    tune: Tune | None = None
    """The parameters of the method that are swept; in a file also written ``method: ae[lr=1e-3|1e-4]``."""
    label: Line | None = None
    group: Line | Literal[""] = ""
    """The heading under which the row appears in a report that has headings."""
    reference: Annotated[Reference, AfterValidator(_in_lines)] | None = None
    budget: Budget | None = None
    protocols: Protocols | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_alternatives(cls, given: Any) -> Any:
        """Make a sweep of a call whose parameters have alternatives."""
        if not (isinstance(given, dict) and isinstance(given.get("method"), str)):
            return given
        try:
            method = parse_method(given["method"])
        except UserError as error:
            raise ValueError(f"method: {error}") from None
        if isinstance(method, Call):
            return given
        if given.get("tune") is not None:
            raise ValueError("method has several values for a parameter, and there is a tune; write them in tune")
        return {**given, "method": method.call, "tune": method.tune}

    @model_validator(mode="after")
    def _is_tuned_once(self) -> BenchmarkRow:
        if twice := [name for name in self.tune.parameters if name in self.method.parameters] if self.tune else []:
            raise ValueError(f"{twice[0]} is given in method and in tune; remove one")
        return self

    @property
    def name(self) -> str:
        """The row's name: its label, or else the call of its method, with the values that are swept."""
        return self.label or str(self.swept)

    @property
    def swept(self) -> Call | Sweep:
        """The method as it would be typed."""
        return Sweep(self.method, self.tune) if self.tune else self.method


def row_of(method: Call | Sweep) -> BenchmarkRow:
    """Return a row of its own for a method of the command line."""
    if isinstance(method, Sweep):
        return BenchmarkRow(method=method.call, tune=method.tune)
    return BenchmarkRow(method=method)


DEFAULT_PROTOCOLS = (Call(name="linear-svm"),)
"""Where none is named."""


class Benchmark(_Form):
    """Dataset, methods, protocols, seeds, budget and the published values."""

    name: Name
    title: Line
    dataset: CallField
    protocols: Protocols = DEFAULT_PROTOCOLS
    methods: Annotated[tuple[BenchmarkRow, ...], Field(min_length=1)]
    budget: Budget
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    limit: LimitField | None = None


def load_benchmark(path: Path) -> Benchmark:
    """Read a benchmark file; the benchmark is named after the file.

    Raises
    ------
    UserError
        Lists all mistakes in the file.
    """
    content, wrong = read_yaml(path, f"benchmark {path}")
    if not isinstance(content, dict):
        raise UserError(
            f"benchmark {path}: expected a mapping with title, dataset, methods and budget; it is empty or a list"
        )
    try:
        benchmark = Benchmark.model_validate({"name": path.stem, **content})
        names = [row.name for row in benchmark.methods]
    except ValidationError as error:
        wrong += mistakes(error, f"benchmark {path}", Benchmark.model_fields)
        names = list(_names(content.get("methods")))
    wrong += [f"benchmark {path}: {line}" for line in repeated_names(names)]
    if wrong:
        raise UserError("\n".join(wrong))
    return benchmark


def repeated_names(names: Iterable[str]) -> list[str]:
    """Return a message for each name that several rows have."""
    counts = Counter(names).items()
    return [
        f"{count} rows are called {brief(name)}; give each a label of its own" for name, count in counts if count > 1
    ]


def _names(rows: Any) -> Iterator[str]:
    """Yield the names of the rows, as far as they can be read."""
    for row in rows if isinstance(rows, list) else ():
        with suppress(ValidationError):
            yield BenchmarkRow.model_validate(row).name


def benchmark_files() -> dict[str, Path]:
    """Return the names and files of the benchmarks that come with reprbench."""
    found = sorted(Path(str(item)) for item in files(PACKAGE).iterdir() if item.name.endswith(".yaml"))
    return {path.stem: path for path in found}


def is_file_name(path: Path) -> bool:
    """Return whether a user means the file of a benchmark, not its name."""
    return path.suffix in {".yaml", ".yml"} or path.parent != Path()


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark called `name`, or the one in the file at that path."""
    path = Path(name)
    if is_file_name(path):
        return load_benchmark(path)
    known = benchmark_files()
    if name not in known:
        near = did_you_mean(name, known)
        raise UserError(f"unknown benchmark {brief(name)}.{near} Known: {', '.join(known)}; or the path of a YAML file")
    return load_benchmark(known[name])
