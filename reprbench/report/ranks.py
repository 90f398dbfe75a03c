"""Average ranks of methods over the datasets of the stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reprbench.report.rank_tests import average_ranks, critical_difference, friedman
from reprbench.report.table import Table
from reprbench.spec import Call


@dataclass(frozen=True)
class Ranks:
    """How methods rank over datasets, under one protocol.

    Attributes
    ----------
    protocol : as named above the tables.
    datasets : their titles.
    average : the mean rank of each method, 1 the best; methods with the same name are the same.
    p : p value of Friedman's test that all methods rank alike.
    critical_difference : of Nemenyi's test, at 5 %.
    """

    protocol: str
    datasets: tuple[str, ...]
    average: Mapping[str, float]
    p: float
    critical_difference: float

    def __str__(self) -> str:
        ordered = sorted(self.average.items(), key=lambda item: item[1])
        ranked = ", ".join(f"{label} {rank:.2f}" for label, rank in ordered)
        return (
            f"{self.protocol}, average ranks over {', '.join(self.datasets)}: {ranked}; Friedman p = {self.p:.3g}, "
            f"critical difference {self.critical_difference:.2f} (Nemenyi, 5 %)"
        )


def ranks_over_datasets(tables: Sequence[Table]) -> list[Ranks]:
    """Return ranks for each protocol with at least three methods that have values on at least two datasets.

    If a dataset has several tables (fewer images, another benchmark), the one with the most values counts. Supervised
    rows do not take part. A sweep is one method, whatever setting it chooses on each dataset.
    """
    found: dict[Call, dict[str, Table]] = {}
    for table in tables:
        of_protocol = found.setdefault(table.protocol, {})
        title = table.data.title
        if title not in of_protocol or len(_means(table)) > len(_means(of_protocol[title])):
            of_protocol[title] = table
    ranks = []
    for protocol, by_dataset in found.items():
        means = [_means(table) for table in by_dataset.values()]
        shared = [label for label in means[0] if all(label in one for one in means)]
        directions = {row.result.better for table in by_dataset.values() for row in table.rows if row.result}
        if len(means) < 2 or len(shared) < 3 or len(directions) != 1 or directions == {"neither"}:
            continue
        scores = np.array([[one[label] for label in shared] for one in means])
        average = average_ranks(scores, higher_is_better=directions == {"higher"})
        ranks.append(
            Ranks(
                str(protocol),
                tuple(by_dataset),
                dict(zip(shared, map(float, average), strict=True)),
                friedman(scores).p,
                critical_difference(len(shared), len(means)),
            )
        )
    return ranks


def _means(table: Table) -> dict[str, float]:
    """Return the mean over seeds of each method's means, by name in lower case."""
    values: dict[str, list[float]] = {}
    for row in table.rows:
        if row.mean is not None and row.kind != "supervised" and not (row.superseded or row.only_setting):
            values.setdefault(row.competitor.casefold(), []).append(row.mean)
    return {name: sum(numbers) / len(numbers) for name, numbers in values.items()}
