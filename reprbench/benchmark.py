"""Benchmark files: dataset, methods, protocols, seeds, budget and published values, from YAML."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from reprbench.errors import UserError, did_you_mean
from reprbench.spec import Budget, Call, CallField, check_name, mistakes

PACKAGE = "reprbench.benchmarks"


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Reference(_Form):
    """A published value, and what differs between its protocol and ours."""

    value: float
    """Accuracy in percent."""
    spread: float | None = None
    """Standard deviation over folds, in points."""
    tolerance: Annotated[float, Field(ge=0)] | None = None
    """Points that may lie between the published value and one that counts as reproduced, whatever the intervals say."""
    citation: str
    differences: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The citation, and what differs between that protocol and ours."""
        return f"{self.citation} ({'; '.join(self.differences)})" if self.differences else self.citation


class BenchmarkRow(_Form):
    """One row of a benchmark: a method, what the paper says of it, and what it alone does differently."""

    method: CallField
    label: str | None = None
    group: str = ""
    """Under which heading the row stands in a report that has headings."""
    reference: Reference | None = None
    budget: Budget | None = None
    protocols: tuple[CallField, ...] | None = None

    @property
    def name(self) -> str:
        """What the row is called: its label, or its method as it is called."""
        return self.label or str(self.method)


class Benchmark(_Form):
    """Dataset, methods, protocols, seeds, budget and the published values."""

    name: str
    title: str
    dataset: CallField
    protocols: tuple[CallField, ...] = (Call(name="linear-svm"),)
    methods: Annotated[tuple[BenchmarkRow, ...], Field(min_length=1)]
    budget: Budget
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0,)
    limit: PositiveInt | None = None


def load_benchmark(path: Path) -> Benchmark:
    """Read a benchmark file; its name is the file's.

    Raises
    ------
    UserError
        With all mistakes of the file at once.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"benchmark {path}: {error.strerror}; expected a readable YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"benchmark {path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(
            f"benchmark {path}: expected a mapping with title, dataset, methods and budget; it is empty or a list"
        )
    content = {"name": check_name(path.stem, f"benchmark {path}"), **content}
    try:
        return Benchmark.model_validate(content)
    except ValidationError as error:
        raise UserError("\n".join(mistakes(error, f"benchmark {path}", Benchmark.model_fields))) from None


def benchmark_files() -> dict[str, Path]:
    """Return the benchmarks that come with reprbench: names and files."""
    found = sorted(Path(str(item)) for item in files(PACKAGE).iterdir() if item.name.endswith(".yaml"))
    return {path.stem: path for path in found}


def find_benchmark(name: str) -> Benchmark:
    """Return the benchmark called `name`, or the one in the file of that path."""
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} or path.parent != Path():
        return load_benchmark(path)
    known = benchmark_files()
    if name not in known:
        near = did_you_mean(name, known)
        raise UserError(f"unknown benchmark {name!r}.{near} Known: {', '.join(known)}; or the path of a YAML file")
    return load_benchmark(known[name])
