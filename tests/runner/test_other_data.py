"""Other datasets of protocols: found once when a run is planned, and checked where the trial runs."""

from __future__ import annotations

import pytest
from common import digits
from jobs import job
from msgspec.structs import replace

from reprbench.errors import UserError
from reprbench.registry import Entry, discover
from reprbench.runner.describe import Description, Question
from reprbench.runner.execute import _planned_data
from reprbench.runner.executors.host import _moved
from reprbench.runner.job import JOB, OtherData, ProtocolJob, read_job, write_job
from reprbench.runner.other_data import find_others, none_to_load
from reprbench.spec import Call, parse_call
from reprbench.trial import Code

REGISTRY = discover(folder=None)
DIGITS = Entry("digits", "entry point", "reprbench.data.digits:load_digits", "dataset")


def asked(*calls: str) -> tuple[Question, Description]:
    entry = REGISTRY.find("protocol", "transfer")
    return Question(entry), Description(other_datasets=list(map(parse_call, calls)))


def test_each_is_read_once_however_many_protocols_name_it():
    read: list[Call] = []

    def load(call: Call):
        read.append(call)
        return digits(100)

    found = find_others([asked("digits", "digits[development=300]"), asked("digits")], REGISTRY, load)
    assert read == [parse_call("digits"), parse_call("digits[development=300]")]
    assert found[parse_call("digits")] == OtherData(parse_call("digits"), DIGITS, digits(100).digest)


def test_all_that_cannot_be_read_are_named_together():
    with pytest.raises(UserError) as error:
        find_others([asked("mnits", "digits"), asked("digits")], REGISTRY, none_to_load)
    unknown, missing = str(error.value).splitlines()
    assert unknown.startswith("protocol transfer: unknown dataset 'mnits'. Did you mean 'mnist'?")
    assert missing == "protocol transfer: dataset digits is not at hand"


def test_a_trial_reads_what_was_planned_and_nothing_else(tmp_path):
    planned = replace(job(digits(), tmp_path), limit=100)
    found = _planned_data(planned, parse_call("digits"), DIGITS, digits(100).digest)
    assert len(found.train) == 100
    with pytest.raises(UserError, match="the files of Digits changed after the run was planned"):
        _planned_data(planned, parse_call("digits"), DIGITS, digits().digest)


def test_they_travel_with_the_job_and_their_files_move_with_it(tmp_path):
    other = OtherData(parse_call("mine[path='a b']"), Entry("mine", "file", "/here/mine.py", "dataset"), "d")
    protocol = ProtocolJob(
        entry=REGISTRY.find("protocol", "transfer"),
        call=parse_call("transfer[to=mine]"),
        code=Code(version=1),
        parameters={},
        hash="h",
        others=(other,),
    )
    sent = replace(job(digits(), tmp_path), protocols=[protocol])
    write_job(tmp_path / JOB, sent)
    assert read_job(tmp_path / JOB).protocols == [protocol]
    moved = _moved(sent, lambda entry: Entry(entry.name, entry.way, f"/there{entry.target}", entry.kind))
    (there,) = moved.protocols[0].others
    assert there == OtherData(other.call, Entry("mine", "file", "/there/here/mine.py", "dataset"), "d")
