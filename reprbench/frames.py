"""The measurements of trials as a tidy data frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from reprbench.grammar import show_parameters
from reprbench.trial import Trial

if TYPE_CHECKING:
    import pandas

_COLUMNS = (
    "benchmark",
    "label",
    "method",
    "kind",
    "dataset",
    "budget",
    "precision",
    "seed",
    "digest",
    "deviations",
    "setting",
    "protocol",
    "metric",
    "value",
    "unit",
    "better",
    "trial",
    "ended",
)
"""The columns that every data frame of a store has."""


def measurements_frame(trials: Iterable[Trial], chosen: Mapping[int, bool] | None = None) -> pandas.DataFrame:
    """Return a row for each measurement of the trials; see `reprbench.store.Store.to_dataframe` for the columns.

    Parameters
    ----------
    chosen : by the `id` of each trial that is a setting of a sweep, whether it is the one that is shown.
    """
    import pandas

    records = [
        {**record, **({} if chosen is None else {"chosen": chosen.get(id(trial))})}
        for trial in trials
        for record in _measured(trial)
    ]
    columns = _COLUMNS if chosen is None else [*_COLUMNS, "chosen"]
    return pandas.DataFrame(records) if records else pandas.DataFrame(columns=columns)


def _measured(trial: Trial) -> Iterator[dict[str, Any]]:
    """Yield the measurements of a trial as the rows of a data frame."""
    about = {
        "benchmark": trial.benchmark,
        "label": trial.label,
        "method": trial.method.name,
        "kind": trial.method.kind,
        "dataset": trial.dataset.title,
        "budget": str(trial.budget),
        "precision": trial.precision,
        "seed": trial.seed,
        "digest": trial.dataset.digest,
        "deviations": "; ".join(map(str, trial.deviations)),
        # Of several sweeps one may have more parameters than another.
        "setting": show_parameters({k: v for sweep in trial.sweeps for k, v in sweep.setting.items()}),
    }
    parameters = {f"parameter.{name}": value for name, value in trial.method.parameters.items()}
    for evaluation in trial.evaluations:
        for one in evaluation.measurements:
            yield {
                **about,
                "protocol": str(evaluation.call),
                "metric": one.metric,
                "value": one.value,
                "unit": one.unit,
                "better": one.better,
                "trial": trial.folder,
                "ended": trial.ended,
                **parameters,
                **{f"at.{name}": value for name, value in one.at.items()},
            }
