"""Reads a ``trial.json`` of any schema."""

from __future__ import annotations

from pathlib import Path

import msgspec

from reprbench.files import open_regular
from reprbench.migrations import SCHEMA, migrate
from reprbench.trial import Trial, as_model

NO_TRIAL = "not a trial of reprbench"

_TRIAL = msgspec.json.Decoder(Trial, dec_hook=as_model)


class _Versioned(msgspec.Struct):
    schema_version: int


_VERSIONED = msgspec.json.Decoder(_Versioned)


def read_trial(path: str | Path) -> Trial:
    """Read a ``trial.json`` of any schema; raise a one-line `ValueError` if this version cannot read it."""
    with open_regular(path) as file:
        content = file.read()
    try:
        trial = _TRIAL.decode(content)
        message = "" if trial.schema_version == SCHEMA else "another schema"
    except (ValueError, RecursionError) as error:
        message = str(error)
    if message:
        trial = _read_another(content, message)
    trial.path = str(path)
    return trial


def _read_another(content: bytes, message: str) -> Trial:
    """Return a trial of an older schema; raise a `ValueError` with `message` if `content` is not one."""
    try:
        version = _VERSIONED.decode(content).schema_version
    except msgspec.ValidationError:
        raise ValueError(NO_TRIAL) from None
    except (ValueError, RecursionError):
        raise ValueError(message) from None
    if version > SCHEMA:
        raise ValueError(f"written by a newer reprbench (schema {version}; this one reads up to {SCHEMA})")
    if version == SCHEMA:
        raise ValueError(message)
    try:
        return msgspec.convert(migrate(msgspec.json.decode(content), version), Trial, dec_hook=as_model)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"schema {version} cannot be read: {error}") from None
