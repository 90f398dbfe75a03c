"""The rule by which golden values are kept: a number may move only together with a version."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FILE = Path(__file__).with_name("values.json")

DIGITS = 6
"""Significant digits that are kept, and that have to agree on the machine that they were recorded on."""
ELSEWHERE, ELSEWHERE_OF_COUNTS, ELSEWHERE_OF_TSNE = 3, 2, 1
"""Digits that have to agree on another processor, or with another version of torch or another numerical library, whose
kernels sum in another order and round differently. One more or less of 100 images may then be classified correctly, and
the points of t-SNE, which magnifies rounding, move."""

Values = dict[str, dict[str, float]]
"""Groups of numbers of one scale, each number under its coordinates."""

Verdict = Literal["same", "moved", "raised", "lowered", "missing"]


@dataclass(frozen=True)
class Entry:
    """The numbers of one method or protocol.

    Attributes
    ----------
    version : of the method or protocol.
    numerics : `reprbench.source.NUMERICS`.
    recorded_on : what rounding depends on: processor and versions of libraries.
    values : the numbers, to six significant digits.
    """

    version: int
    numerics: int
    recorded_on: dict[str, str]
    values: Values

    @property
    def revision(self) -> tuple[int, int]:
        """Return what has to grow when a number moves; raising NUMERICS is enough, whatever the version."""
        return self.numerics, self.version


def verdict(recorded: Entry | None, computed: Entry) -> Verdict:
    """Return the status of an entry; everything but "same" is a problem."""
    if recorded is None:
        return "missing"
    if computed.revision != recorded.revision:
        return "raised" if computed.revision > recorded.revision else "lowered"
    return "moved" if difference(recorded, computed) else "same"


def difference(recorded: Entry, computed: Entry) -> str:
    """Return the first number that differs, in words; nothing if all agree to the required digits."""
    same_machine = recorded.recorded_on == computed.recorded_on
    for group in sorted(recorded.values.keys() | computed.values.keys()):
        before, now = recorded.values.get(group, {}), computed.values.get(group, {})
        largest = max(map(abs, [*before.values(), *now.values()]), default=0.0)
        for key in sorted(before.keys() | now.keys()):
            if key not in before or key not in now:
                return f"{group} [{key}] is {'new' if key in now else 'gone'}"
            digits = DIGITS if same_machine else digits_elsewhere(group, key)
            if abs(before[key] - now[key]) > allowed(largest, digits):
                return f"{group} [{key}] was {before[key]:g} and is {now[key]:g}"
    return ""


def digits_elsewhere(group: str, key: str) -> int:
    """Return how many digits of a number have to agree on another machine."""
    if "t-SNE" in key:
        return ELSEWHERE_OF_TSNE
    return ELSEWHERE_OF_COUNTS if group.endswith("(%)") else ELSEWHERE


def allowed(largest: float, digits: int) -> float:
    """Return one unit in the last digit of the largest number, plus half of one for the rounding of both."""
    return 1.5 * 10.0 ** (math.floor(math.log10(largest)) + 1 - digits) if largest else 0.0


def complaint(name: str, recorded: Entry | None, computed: Entry) -> str:
    """Return what is wrong with an entry and what to do about it, in one line; nothing if it is right."""
    match verdict(recorded, computed):
        case "missing":
            return f"no golden values of {name}: run tests/golden/record.py"
        case "raised":
            return f"the version of {name}, or NUMERICS, was raised: run tests/golden/record.py to record anew"
        case "lowered":
            return f"the version of {name}, or NUMERICS, is lower than the recorded one: raise it above that"
        case "moved" if recorded:
            return (
                f"a number moved: {name}: {difference(recorded, computed)}; "
                f"raise `version` of {name}, or NUMERICS, then run tests/golden/record.py"
            )
    return ""


def updated(recorded: Mapping[str, Entry], computed: Mapping[str, Entry]) -> tuple[dict[str, Entry], list[str]]:
    """Return the entries to record, and a complaint about each that may not change.

    What stayed the same is kept as it was recorded, its machine included; what is not computed any more is dropped.
    """
    verdicts = {name: verdict(recorded.get(name), entry) for name, entry in computed.items()}
    kept = {name: recorded[name] if verdicts[name] == "same" else entry for name, entry in computed.items()}
    refused = [name for name, found in verdicts.items() if found in ("moved", "lowered")]
    return kept, [complaint(name, recorded[name], computed[name]) for name in refused]


def rounded(number: float) -> float:
    """Return a number to six significant digits; raise a `ValueError` if it is not finite."""
    if not math.isfinite(number):
        raise ValueError(f"a golden value is {number}")
    return float(f"{number:.{DIGITS}g}") + 0.0


def load(path: Path = FILE) -> dict[str, Entry]:
    """Return the recorded entries by name; none if there is no file."""
    if not path.exists():
        return {}
    return {name: Entry(**content) for name, content in json.loads(path.read_text(encoding="utf-8")).items()}


def save(entries: Mapping[str, Entry], path: Path = FILE) -> None:
    """Write the entries, sorted, with a line for each group of numbers."""
    blocks = []
    for name, entry in sorted(entries.items()):
        content = asdict(entry)
        groups = [f"      {_json(group)}: {_json(numbers)}" for group, numbers in sorted(content.pop("values").items())]
        head = [f"    {_json(field)}: {_json(value)}" for field, value in sorted(content.items())]
        lines = ",\n".join([*head, '    "values": {\n' + ",\n".join(groups) + "\n    }"])
        blocks.append(f"  {_json(name)}: {{\n{lines}\n  }}")
    path.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
