"""What protocols measure: numbers with coordinates, the metrics shown in tables, and the curves of charts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

FOLD = "fold"
"""The coordinate that counts the folds of a dataset; the others say what was measured."""

LARGEST = 1e150
"""The largest measurement; squares of larger ones are not finite."""

if TYPE_CHECKING:
    # The reader of a coordinate knows which of these it is.
    Coordinate = Any
else:
    Coordinate = (
        str
        | Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
        | Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
        | bool
        | None
    )

Better = Literal["higher", "lower", "neither"]


class Measurement(msgspec.Struct, frozen=True):
    """One number, with its metric, unit, direction and coordinates.

    Attributes
    ----------
    metric : what was measured.
    value : a finite number of at most `LARGEST`.
    unit : such as "%" or "dB"; empty for numbers without one.
    better : whether higher or lower values are better, or neither.
    at : coordinates, texts or numbers: fold, layer, noise level, …

    Examples
    --------
    >>> from reprbench import Measurement
    >>> Measurement("accuracy", 91.5, "%", "higher", {"fold": 0}).value
    91.5
    """

    metric: str
    value: Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
    unit: str = ""
    better: Better = "neither"
    at: dict[str, Coordinate] = {}


class Headline(msgspec.Struct, frozen=True):
    """A metric with a column in the protocol's table.

    Attributes
    ----------
    metric : of the measurements.
    at : the coordinates that select them, besides the fold; every measurement of the metric by default.

    Examples
    --------
    >>> from reprbench import Headline
    >>> Headline("accuracy", {"corruption": "mask", "level": 0.4}).at["level"]
    0.4
    """

    metric: str
    at: dict[str, Coordinate] = {}


class Curve(msgspec.Struct, frozen=True):
    """Measurements to be drawn as a line, together with those of other methods: a metric against a coordinate.

    Attributes
    ----------
    metric : of the measurements.
    x : the name of the numeric coordinate in their `at`.
    at : the other coordinates that select them, except the fold: a curve shows mean and spread over folds.
    title, x_label : for display; by default `metric` and `x`.
    log : whether the axis of x is logarithmic.

    Examples
    --------
    >>> from reprbench import Curve
    >>> Curve("accuracy", "level", {"corruption": "mask"}, x_label="share of pixels off").x
    'level'
    """

    metric: str
    x: str
    at: dict[str, Coordinate] = {}
    title: str = ""
    x_label: str = ""
    log: bool = False
