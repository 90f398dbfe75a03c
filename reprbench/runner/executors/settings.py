"""What ``--executor`` says: which executor, and what it asks of its cluster for each trial."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from reprbench.errors import UserError
from reprbench.grammar import brief, bytes_of
from reprbench.spec import Count, mistakes
from reprbench.yaml_files import read_yaml

Name = Literal["local", "ray", "slurm"]


def _bytes(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("expected an amount like 16GB")
    return bytes_of(value)


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
    address: str = "auto"
    """Of the cluster of Ray: ``auto`` is the one that this machine belongs to, or a new one of this machine alone."""
    runtime_env: dict[str, Any] = {}
    """Of Ray: what its nodes get before a trial, see Ray's documentation."""
    slurm: dict[str, Any] = {}
    """Parameters of submitit's ``AutoExecutor``, such as ``timeout_min`` and ``slurm_partition``."""
    cluster: Literal["slurm", "local"] = "slurm"
    """Where submitit runs jobs: ``local`` is on this machine, to try it."""

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
