"""The datasets that protocols evaluate on besides the learner's own, found when a run is planned."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from reprbench.data.dataset import Dataset
from reprbench.errors import UserError
from reprbench.registry import Registry
from reprbench.runner.describe import Description, Question
from reprbench.runner.job import OtherData
from reprbench.spec import Call

Load = Callable[[Call], Dataset]
"""Returns a dataset besides that of the request, limited as that is; raises a `UserError` if it cannot be read."""


def none_to_load(call: Call) -> Dataset:
    """Raise a `UserError`: there is nothing to load datasets with."""
    raise UserError(f"dataset {call} is not at hand")


def find_others(
    protocols: Sequence[tuple[Question, Description]], registry: Registry, load: Load
) -> dict[Call, OtherData]:
    """Return the other datasets of all protocols, each read once; raise one `UserError` about all that cannot be."""
    found: dict[Call, OtherData] = {}
    wrong = []
    for asked, call in [(asked, call) for asked, answer in protocols for call in answer.other_datasets]:
        try:
            if call not in found:
                entry = registry.find("dataset", call.name)
                found[call] = OtherData(call, entry, load(call).digest)
        except UserError as error:
            wrong.append(f"protocol {asked.entry.name}: {error}")
    if wrong:
        raise UserError("\n".join(dict.fromkeys(wrong)))
    return found
