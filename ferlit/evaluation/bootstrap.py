"""Intervals by the bootstrap over persons (Efron 1979; clusters: Davison & Hinkley 1997, Sec. 3.8).

The faces of one person are alike, so that to draw faces would count the same evidence several
times: persons are drawn, with all their faces. It says how the result would vary with other people
of the same kind; not how it would on another database. With few persons it is too narrow.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.evaluation.calibration import calibration
from ferlit.evaluation.results import Evaluation

LEVEL = 95  # per cent
_KINDS = {"person": "persons", "recording": "recordings", "image": "images"}


class Interval(NamedTuple):
    """The middle 95 % of the values that the draws gave."""

    low: float
    high: float


class Units(NamedTuple):
    """What is drawn.

    Args:
        names: (n,) the unit of each face: its person; where that has no name its recording, or
            else the image itself.
        counts: How many units there are of each kind, "person", "recording" and "image".
    """

    names: NDArray[np.str_]
    counts: dict[str, int]

    @classmethod
    def of(cls, names: NDArray[np.str_]) -> "Units":
        """Those of some names, which begin with their kind.

        >>> str(Units.of(np.array(["person S1", "person S1", "person S2"])))
        '2 persons'
        """
        kinds = [name.partition(" ")[0] for name in np.unique(names).tolist()]
        return cls(names, {kind: kinds.count(kind) for kind in _KINDS})

    def __str__(self) -> str:
        found = [
            f"{count} {kind if count == 1 else _KINDS[kind]}"
            for kind, count in self.counts.items()
            if count
        ]
        if not self.counts["person"]:
            return f"{' and '.join(found)} (no person has a name)"
        rest = " (whose persons have no name)" if len(found) > 1 else ""
        return " and ".join(found) + rest


def units_of(records: pd.DataFrame) -> Units:
    """The units of some faces.

    Args:
        records: Their rows of the record table, or any with ``image``, ``identity`` and
            ``sequence``.

    >>> records = pd.DataFrame({"image": ["a", "b", "c"], "identity": ["S1", "S1", ""],
    ...                         "sequence": ""})
    >>> str(units_of(records))
    '1 person and 1 image (whose persons have no name)'
    """
    person, recording = records["identity"].astype(str), records["sequence"].astype(str)
    names = ("image " + records["image"].astype(str)).where(
        recording == "", "recording " + recording
    )
    names = names.where(person == "", "person " + person)
    return Units.of(names.to_numpy(str))


def bootstrap(
    units: NDArray[np.str_],
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    classes: Sequence[str],
    *,
    confidences: NDArray[np.float64] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals of every figure of an evaluation.

    A class that no draw of persons shows does not count in its class mean, as in
    `ferlit.evaluation.results.Evaluation`. The order of the items does not matter.

    Args:
        units: (n,) whom each item belongs to.
        labels: (n,) class numbers.
        predicted: (n,) class numbers.
        classes: Names of the K classes.
        confidences: (n,) the highest probability of each item, for the calibration error.
        draws: How often as many units as there are are drawn, with replacement.
        seed: Fixes the draws.

    Returns:
        By name: "accuracy", "class_mean", "macro_f1" and, with confidences,
        "expected_calibration_error"; nothing where there is one unit, which cannot vary.

    >>> found = bootstrap(np.array(["S1", "S2"]), np.array([0, 1]), np.array([0, 0]), ["a", "b"])
    >>> found["accuracy"], bootstrap(np.array(["S1"]), np.array([0]), np.array([0]), ["a"])
    (Interval(low=0.0, high=1.0), {})
    """
    names, unit = np.unique(units, return_inverse=True)
    if len(names) < 2:
        return {}
    rng = np.random.default_rng(seed)
    size, right = len(classes), labels == predicted
    cell = labels * size + predicted
    values: dict[str, list[float]] = {}
    for _ in range(draws):
        drawn = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = drawn[unit]
        cells = np.bincount(cell, weights, minlength=size**2).astype(np.int64)
        result = Evaluation(tuple(classes), cells.reshape(size, size))
        found = {
            "accuracy": result.accuracy,
            "class_mean": result.class_mean,
            "macro_f1": result.macro_f1,
        }
        if confidences is not None:
            binned = calibration(confidences, right, weights=weights)
            found["expected_calibration_error"] = binned.error
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    edge = (100 - LEVEL) / 200
    return {
        name: Interval(*map(float, np.quantile(each, [edge, 1 - edge])))
        for name, each in values.items()
    }
