"""Downloads datasets with torchvision, which verifies them."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path

from reprbench.data.catalog import BUILT_IN, BuiltIn, installed_dataset
from reprbench.errors import UserError
from reprbench.texts import reason


def fetch(name: str, target: Path) -> None:
    """Download a dataset's files to `target`, in torchvision's layout, which `load_dataset` supports.

    Existing files are not downloaded again.

    Raises
    ------
    UserError
        If there is nothing to download, the download fails or is damaged, or `target` is not writable.
    """
    known = BUILT_IN.get(installed_dataset(name).name, BuiltIn())
    if known.torchvision is None:
        fetchable = ", ".join(other for other, candidate in BUILT_IN.items() if candidate.torchvision)
        raise UserError(f"dataset {name!r} cannot be fetched: {known.unfetchable}. Can be fetched: {fetchable}")
    from torchvision import datasets  # type: ignore[import-untyped, unused-ignore]

    try:
        target.mkdir(parents=True, exist_ok=True)
        getattr(datasets, known.torchvision)(root=str(target), download=True)
    except (OSError, HTTPException, RuntimeError) as error:  # torchvision: failed downloads, and digests that differ
        raise UserError(
            f"dataset {name!r} could not be fetched to {target}: {reason(error)}; "
            "check the network and the folder, delete what is incomplete, and try again"
        ) from None
