"""Reads and writes a ``trial.json``: of any schema, in today's with a checksum."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import xxhash

from reprbench.files import open_regular
from reprbench.migrations import SCHEMA, migrate
from reprbench.trial import Trial, as_model, to_json

NO_TRIAL = "not a trial of reprbench"

_TRIAL = msgspec.json.Decoder(Trial, dec_hook=as_model)
_CHECKSUM = re.compile(rb'\{\r?\n  "checksum": "xxh3-128:([0-9a-f]{32})",\r?\n')


class NewerSchema(ValueError):
    """A trial that a newer version wrote."""


class _Versioned(msgspec.Struct):
    schema_version: int


_VERSIONED = msgspec.json.Decoder(_Versioned)


def trial_text(trial: Trial) -> str:
    """Return the content of a ``trial.json``; its checksum is that of the lines below it."""
    content = json.dumps(to_json(trial), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    rest = content.removeprefix("{\n")
    return f'{{\n  "checksum": "xxh3-128:{xxhash.xxh3_128_hexdigest(rest.encode())}",\n{rest}'


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
    elif not _is_as_written(content):
        trial.changed_by_hand = True
    trial.path = str(path)
    return trial


def _is_as_written(content: bytes) -> bool:
    """Return whether the file is as reprbench wrote it; git may have changed the ends of its lines."""
    found = _CHECKSUM.match(content)
    if not found:
        return False
    rest = memoryview(content)[found.end() :]
    given = found[1].decode()
    return given == xxhash.xxh3_128_hexdigest(rest) or given == xxhash.xxh3_128_hexdigest(
        bytes(rest).replace(b"\r\n", b"\n")
    )


def _read_another(content: bytes, message: str) -> Trial:
    """Return a trial of an older schema; raise a `ValueError` with `message` if `content` is not one."""
    try:
        version = _VERSIONED.decode(content).schema_version
    except msgspec.ValidationError:
        raise ValueError(NO_TRIAL) from None
    except (ValueError, RecursionError):
        raise ValueError(message) from None
    if version > SCHEMA:
        raise NewerSchema(f"written by a newer reprbench (schema {version}; this one reads up to {SCHEMA})")
    if version == SCHEMA:
        raise ValueError(message)
    try:
        return msgspec.convert(migrate(msgspec.json.decode(content), version), Trial, dec_hook=as_model)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"schema {version} cannot be read: {error}") from None
