"""What ``--executor`` says: which executor, and what it asks of its cluster for each trial."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reprbench.errors import UserError, did_you_mean
from reprbench.grammar import brief, bytes_of
from reprbench.spec import Count, mistakes
from reprbench.yaml_files import read_yaml

Name = Literal["local", "ray", "slurm"]


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("expected an amount like 16GB")
    return bytes_of(value)


def _address(value: str) -> str:
    # ray:// would be Ray Client, which cannot stream what trials write.
    if not re.fullmatch(r"auto|[\w.-]+:[0-9]{1,5}", value, re.ASCII):
        raise ValueError("expected auto, or HOST:PORT of the cluster's head")
    return value


_OF: dict[str, tuple[Name, ...]] = {
    "resources": ("ray", "slurm"),
    "rows": ("ray", "slurm"),
    "retries": ("ray", "slurm"),
    "address": ("ray",),
    "runtime_env": ("ray",),
    "slurm": ("slurm",),
    "cluster": ("slurm",),
}
"""The executors that an entry means something to."""


class Resources(BaseModel):
    """What a trial needs; None is what the executor takes by default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpus: Count | None = None
    """CPU cores, which are also the threads of the trial; 1 by default."""
    gpus: Annotated[float, Field(strict=True, ge=0, le=64, allow_inf_nan=False)] | None = None
    """GPUs: 1 by default on a cluster of Ray that has some, and otherwise 0. Parts, such as 0.5, are for Ray alone."""
    memory: Annotated[int, BeforeValidator(_bytes)] | None = None
    """Bytes, given as text such as ``16GB``; ``--memory`` by default."""


class ExecutorSettings(BaseModel):
    """The content of the file that ``--executor`` names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    executor: Name
    resources: Resources = Resources()
    """Of every trial."""
    rows: dict[str, Resources] = {}
    """Of single rows, by label or method; what one of them leaves out is that of `resources`."""
    retries: Annotated[int, Field(strict=True, ge=0, le=100)] = 3
    """How often a trial is started again whose machine died or was taken away."""
    address: Annotated[str, AfterValidator(_address)] = "auto"
    """Of the cluster of Ray: ``auto`` is the one that this machine belongs to, or a new one of this machine alone."""
    runtime_env: dict[str, Any] = {}
    """Of Ray: what its nodes get before a trial, see Ray's documentation."""
    slurm: dict[str, Any] = {}
    """Parameters of submitit's ``AutoExecutor``, such as ``timeout_min`` and ``slurm_partition``."""
    cluster: Literal["slurm", "local"] = "slurm"
    """Where submitit runs jobs: ``local`` is on this machine, to try it."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        wrong = [
            f"{name} is for {' and '.join(_OF[name])}, not for {self.executor}"
            for name in type(self).model_fields
            if name in self.model_fields_set and self.executor not in _OF.get(name, (self.executor,))
        ]
        places = {"resources": self.resources, **{f"rows.{label}": own for label, own in self.rows.items()}}
        parts = {name: own.gpus for name, own in places.items() if own.gpus and own.gpus % 1}
        if self.executor == "slurm":
            wrong += [f"{name}.gpus: parts of a GPU, like {gpus:g}, are for ray" for name, gpus in parts.items()]
        else:
            several = {name: gpus for name, gpus in parts.items() if gpus > 1}
            wrong += [f"{name}.gpus: {gpus:g} is neither whole nor a part of one GPU" for name, gpus in several.items()]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def unused_rows(self, names: Collection[str]) -> list[str]:
        """Return a line for each of `rows` that is none of the `names`, the labels and methods of a run."""
        return [
            f"rows.{name}: no row or method of this run.{did_you_mean(name, names)}"
            for name in self.rows
            if name not in names
        ]

    def resources_of(self, label: str, method: str) -> Resources:
        """Return what a trial of the row with that label needs."""
        own = self.rows.get(label) or self.rows.get(method) or Resources()
        return self.resources.model_copy(update=own.model_dump(exclude_none=True))


def read_settings(asked: str) -> ExecutorSettings:
    """Return the settings that ``--executor`` asks for: a name, or a YAML file.

    Raises
    ------
    UserError
        With a line for each mistake in the file.
    """
    if asked in get_args(Name):
        return ExecutorSettings(executor=asked)
    path = Path(asked)
    if path.suffix not in {".yaml", ".yml"}:
        names = ", ".join(get_args(Name))
        raise UserError(f"--executor {brief(asked)}: expected {names}, or the path of a YAML file")
    what = f"--executor {path}"
    content, wrong = read_yaml(path, what)
    if not isinstance(content, Mapping):
        raise UserError(f"{what}: expected a mapping with the entry executor")
    try:
        settings = ExecutorSettings.model_validate(content)
    except ValidationError as error:
        wrong += mistakes(error, what, ExecutorSettings.model_fields)
    if wrong:
        raise UserError("\n".join(wrong))
    return settings
