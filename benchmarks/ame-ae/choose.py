"""Shows the finished trials of the study in docs/ame-ae-study.md: ``python benchmarks/ame-ae/choose.py STORE``.

A line for each setting, means over seeds: the best accuracy first. The rules by which one is chosen stand on that page.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import reprbench

ALL_LAYERS = "linear-svm[layers=all]"
PARTNERS = {"ameae": "AE", "denoising-ameae": "DAE, noise .25", "sparse-ameae": "Sparse AE, weight .3"}
"""The rows of ame-ae-partners that the first step chose."""

LOGGED = ["zeros", "classifier_accuracy", "classifier_gain", "gradient_ratio"]
"""What the last epoch says of the code and of the classifier."""


def settings(store: Path) -> pd.DataFrame:
    """Return a row for each setting: seeds, accuracy with all layers and the last, error, ends of the history."""
    loaded = reprbench.load(store)
    frame = loaded.to_dataframe()
    accuracy = frame[frame.metric == "accuracy"]
    per_trial = pd.DataFrame(
        {
            "all layers": accuracy[accuracy.protocol == ALL_LAYERS].groupby("trial").value.mean(),
            "last layer": accuracy[accuracy.protocol == "linear-svm"].groupby("trial").value.mean(),
            "error": frame[(frame.metric == "MSE") & (frame["at.decoder"] == "own")].groupby("trial").value.mean(),
        }
    )
    ends = [loaded.trial(store / trial).history().reindex(columns=LOGGED).tail(1) for trial in per_trial.index]
    per_trial = per_trial.join(pd.concat(ends, keys=per_trial.index).droplevel(1))
    about = frame.drop_duplicates("trial").set_index("trial")[["benchmark", "method", "label"]]
    grouped = per_trial.join(about).groupby(["benchmark", "method", "label"])
    found = grouped.mean()
    found.insert(0, "seeds", grouped.size())
    return found.sort_values("all layers", ascending=False)


def main(store: Path) -> None:
    """Print the settings, and the error of those with the mechanism in errors of their partner."""
    found = settings(store)
    errors = found.loc["ame-ae-partners"].error.droplevel("method")
    partner = found.index.get_level_values("method").map(PARTNERS)
    found.insert(3, "error/partner's", found.error / errors.reindex(partner).to_numpy())
    with pd.option_context("display.width", 200, "display.max_columns", None, "display.max_rows", None):
        print(found.round(4).to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
