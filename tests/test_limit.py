from __future__ import annotations

import msgspec
import pytest

from reprbench.cli.options import ImageCounts
from reprbench.errors import UserError
from reprbench.limit import Limit
from reprbench.trial_parts import DataRecord

RECORD = {
    "call": {"name": "digits"},
    "title": "Digits",
    "digest": "0",
    "shape": [1, 8, 8],
    "unlabeled": 9,
    "train": 9,
    "test": 9,
    "classes": 2,
    "folds": 10,
}


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1000", Limit(1000, 1000, 1000)),
        ("unlabeled=10000", Limit(unlabeled=10000)),
        ("test=20,train=10", Limit(train=10, test=20)),
    ],
)
def test_the_command_line_takes_a_number_or_numbers_by_split(text: str, limit: Limit) -> None:
    assert ImageCounts().convert(text, None, None) == limit


@pytest.mark.parametrize(
    "text", ["", "0", "-3", "1.5", "ten", "unlabeled=0", "unlabelled=3", "train", "train=1,train=2", "1,2", "train=1,"]
)
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--limit .*: expected a number of images from 1, or numbers of unlabeled"):
        ImageCounts().convert(text, None, None)


def test_a_limit_is_shown_as_the_command_line_takes_it() -> None:
    assert str(Limit.each(7)) == "7"
    for limit in (Limit(unlabeled=3), Limit(train=4, test=5), Limit(1, 2, 3)):
        assert ImageCounts().convert(str(limit), None, None) == limit


@pytest.mark.parametrize("limit", [None, Limit.each(7), Limit(unlabeled=3)])
def test_trials_keep_it_and_a_single_number_as_before(limit: Limit | None) -> None:
    written = msgspec.convert({**RECORD, "limit": limit and msgspec.to_builtins(limit.plain)}, DataRecord)
    stored = msgspec.json.encode(written)
    assert (b'"limit":7' in stored) == (limit == Limit.each(7))
    found = msgspec.json.decode(stored, type=DataRecord).limit
    assert str(found) == str(limit)
