"""Which setting of a sweep is chosen, and from what."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from trials import evaluation, swept, trial

import reprbench as rb
from reprbench.measurement import Headline, Measurement
from reprbench.report.choice import choices
from reprbench.store import Store
from reprbench.trial import Deviation, SweepRecord

# The best on the test split, on the other seed, and in the measurement that chooses are three different settings.
VALUES = {"1.0": [(60, 90), (99, 1)], "2.0": [(80, 50), (10, 50)], "3.0": [(70, 99), (70, 2)]}


def choice(values=VALUES, **options):
    (found,) = choices(swept(values, **options))
    return found


def test_the_measurement_on_the_first_seeds_chooses():
    found = choice()
    assert found.chosen.setting == {"lr": 2.0}
    assert (found.chosen.value.mean, found.chosen.value.std, found.chosen.value.n) == (80, 1, 2)
    assert [one.setting["lr"] for one in found.settings] == [1, 2, 3]
    assert (found.unit, found.failed, found.missing) == ("%", 0, 0)
    assert found.text == "chosen of 3 settings by inner accuracy, on seed 0, and reported on seed 1"
    assert found.summary == f"AE: lr=2.0, {found.text}"


def test_lower_may_be_better():
    assert choice(better="lower").chosen.setting == {"lr": 1.0}


def test_without_a_direction_nothing_is_chosen():
    found = choice(better="neither")
    assert found.chosen is None
    assert found.summary.startswith("AE: no setting, ")


def test_the_mean_over_the_seeds_that_choose_counts():
    values = {"1.0": [(90, 0), (10, 0), (0, 0), (0, 0)], "2.0": [(60, 0), (60, 0), (0, 0), (0, 0)]}
    found = choice(values, seeds=(0, 1, 2, 3))
    assert found.sweep.chosen_on == (0, 1)
    assert (found.chosen.setting, found.chosen.value.mean) == ({"lr": 2.0}, 60)


def test_of_equal_settings_the_first_is_chosen():
    values = {rate: [(50, 50), (50, 50)] for rate in ("3.0", "1.0", "2.0")}
    assert choice(values).chosen.setting == {"lr": 1.0}


def test_a_setting_without_a_value_is_not_chosen_and_counted():
    values = {**VALUES, "2.0": [None, (99, 99)], "4.0": [(1, 1), None]}
    found = choice(values, asked={"tries": 6})
    assert found.chosen.setting == {"lr": 3.0}
    assert (found.failed, found.missing) == (1, 2)
    assert found.text == (
        "chosen of 6 settings by inner accuracy, on seed 0, and reported on seed 1; 1 without a value, which could "
        "have won; 2 not in the store, which could have won"
    )


def test_a_setting_that_lacks_one_of_the_seeds_is_not_chosen():
    values = {"1.0": [(90, 0), None, (0, 0), (0, 0)], "2.0": [(60, 0), (60, 0), (0, 0), (0, 0)]}
    assert choice(values, seeds=(0, 1, 2, 3)).chosen.setting == {"lr": 2.0}


def test_one_seed_is_chosen_and_reported():
    values = {rate: pairs[:1] for rate, pairs in VALUES.items()}
    found = choice(values, seeds=(7,))
    assert found.text == "chosen of 3 settings by inner accuracy, on seed 7, which is reported too"


def test_nothing_was_measured():
    found = choice({"1.0": [None, None], "2.0": [None, None]})
    assert (found.chosen, found.failed) == (None, 2)


def test_only_the_protocol_that_was_named_chooses():
    assert choice(asked={"protocol": "hash of knn"}).chosen is None


def test_a_headline_is_read_where_it_is_shown():
    trials = swept({"1.0": [(0, 10)], "2.0": [(0, 20)]}, seeds=(0,), asked={"by": "accuracy"})
    for one, value in zip(trials, (90.0, 5.0), strict=True):
        (found,) = one.evaluations
        found.headlines[:] = [Headline("accuracy", {"level": 0.4})]
        found.measurements.append(Measurement("accuracy", value, "%", "higher", {"level": 0.4, "fold": 0}))
    assert choices(trials)[0].chosen.setting == {"lr": 1.0}


def test_the_last_sweep_of_a_row_counts():
    first = swept({"1.0": [(90, 0)], "2.0": [(10, 0)]}, seeds=(0,), requested="1")
    (later,) = swept({"3.0": [(50, 0)]}, seeds=(0,), requested="2", hash="9" * 64)
    record = replace(later.sweeps[0], parameters={"lr": [2.0, 3.0]}, tries=2)
    shared = replace(record, setting={"lr": 2.0}, name="AE[lr=2.0]")
    later = replace(later, sweeps=[record])
    both = replace(first[1], sweeps=[*first[1].sweeps, shared], requested="2")
    for trials in ([first[0], both, later], [later, both, first[0]]):
        (found,) = choices(trials)
        assert (found.chosen.setting, len(found.settings), found.missing) == ({"lr": 3.0}, 2, 0)
    # Asked for again, the first is the last.
    again = replace(both, sweeps=both.sweeps[::-1], requested="3")
    (found,) = choices([replace(first[0], requested="3"), again, later])
    assert found.chosen.setting == {"lr": 1.0}


@pytest.mark.parametrize("change", [{"benchmark": "other"}, {"precision": "bf16"}])
def test_sweeps_of_other_rows_are_apart(change):
    other = [replace(one, **change) for one in swept(VALUES, better="lower")]
    found = choices([*swept(VALUES), *other])
    assert [one.chosen.setting["lr"] for one in found] == [2.0, 1.0]


@pytest.mark.parametrize(
    "change",
    [
        {"chosen_on": []},
        {"reported_on": []},
        {"setting": {}, "parameters": {}},
        {"setting": {"width": 1}},
        {"setting": {"lr": 10**400}},
        {"tries": 0},
        {"on": "the test split"},
    ],
)
def test_what_no_run_has_recorded_is_not_read(change):
    known = msgspec.to_builtins(swept(VALUES)[0].sweeps[0])
    assert msgspec.convert(known, SweepRecord) == swept(VALUES)[0].sweeps[0]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**known, **change}, SweepRecord)


def test_a_sweep_is_stored_as_it_is(tmp_path):
    setting = {"lr": 1.0, "layers": ["a", 2], "tied": True, "none": None}
    asked = {"setting": setting, "parameters": {name: [] for name in setting}}
    (one,) = swept({"1.0": [(60, 90)]}, seeds=(0,), asked=asked)
    Store(tmp_path).write(one, {})
    (read,) = Store(tmp_path).read()[0]
    assert repr(read.sweeps) == repr(one.sweeps)
    assert read.only_setting


def test_data_frames_say_which_setting_is_shown(tmp_path):
    store = Store(tmp_path)
    for one in [*swept(VALUES), trial("pca", digest="a" * 64, evaluations=[evaluation([1.0])])]:
        store.write(one, {})
    frame = rb.load(tmp_path).to_dataframe()
    chosen = frame[frame.chosen == True]  # noqa: E712  (the column has missing values)
    assert set(zip(chosen.setting, chosen.seed, strict=True)) == {("lr=2.0", 1)}
    assert set(frame[frame.chosen == False].setting) == {"lr=1.0", "lr=2.0", "lr=3.0"}  # noqa: E712
    assert set(frame[frame.chosen.isna()].label) == {"pca"}


def test_data_frames_tell_other_data_apart(tmp_path):
    store, measured = Store(tmp_path), {"evaluations": [evaluation([1.0])]}
    limited = trial(deviations=[Deviation("limit", "limit 150")], digest="b" * 64, **measured)
    data = replace(limited.dataset, digest="c" * 64)
    store.write(trial(**measured), {})
    store.write(replace(limited, dataset=data), {})
    frame = store.to_dataframe()
    assert len(frame.groupby(["label", "digest"])) == 2
    assert set(frame.deviations) == {"", "limit 150"}


def test_a_data_frame_of_no_trials_has_the_column_too(tmp_path):
    assert list(rb.load(tmp_path).to_dataframe().chosen) == []
