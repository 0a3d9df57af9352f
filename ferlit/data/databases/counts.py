"""The published counts of a database, to hold a copy against."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from ferlit.errors import DataError

# Above this share of the published total a copy is taken for the whole database.
_WHOLE = 0.9
# Counts that fit other classes this many times better, and their own by no less than this share.
_BETTER = 4
_WRONG = 0.02
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """How much a database holds by its publication.

    Args:
        unit: What is counted.
        total: All of it.
        subjects: Persons; 0 where they are not told.
        expressions: By expression; those left out are not compared.
        splits: By official split; those left out are not compared.
        options: Values of the reader's options with which it holds that; defaults are left out.
    """

    unit: Literal["images", "sequences"]
    total: int
    subjects: int = 0
    expressions: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def check_counts(records: pd.DataFrame, published: Published, name: str) -> str:
    """Compare a record table with the published counts and log a difference.

    A copy with nearly everything is held against every count, by a warning; if its expressions have
    each other's counts, their labels are exchanged. A smaller one is meant to be a part of the
    database and gets a line for information.

    Args:
        records: The table.
        published: The counts.
        name: The database, for the message.

    Returns:
        What was logged, or "" where the counts agree.

    Raises:
        DataError: a whole copy has the published counts, but for other expressions.

    >>> from ferlit.data.records import record_table
    >>> row = {"image": "a.png", "expression": "fear", "identity": "S005", "sequence": "S005_001"}
    >>> check_counts(record_table([row]), Published("sequences", 327, 118), "ckplus")
    'ckplus: 1 sequences of 1 subjects; the published database has 327 of 118'
    """
    units = records if published.unit == "images" else records.drop_duplicates("sequence")
    subjects = units.loc[units["identity"] != "", "identity"].nunique()
    differences = [
        f"{value} {found.get(value, 0)} instead of {count}"
        for column, counts in (("expression", published.expressions), ("split", published.splits))
        for found in [units[column].value_counts().to_dict()]
        for value, count in counts.items()
        if found.get(value, 0) != count
    ]
    is_same = len(units) == published.total and subjects == published.subjects
    if (is_same or (not published.subjects and len(units) == published.total)) and not differences:
        return ""
    message = f"{name}: {len(units)} {published.unit}"
    message += f" of {subjects} subjects" if published.subjects else ""
    message += f"; the published database has {published.total}"
    message += f" of {published.subjects}" if published.subjects else ""
    if len(units) < _WHOLE * published.total:
        logger.info(message)
        return message
    if exchanged := _exchanged(units["expression"], published):
        raise DataError(
            f"{message}; but the counts are those of other expressions ({exchanged}), so that the "
            "labels are exchanged; take the annotations as they were published"
        )
    message = "; ".join([message, *differences])
    logger.warning(message)
    return message


def _exchanged(found: "pd.Series[str]", published: Published) -> str:
    """Which expressions have the counts of others; "" where each has its own, more or less."""
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]  # heavy

    names = list(published.expressions)
    expected = np.array([published.expressions[name] for name in names], dtype=np.int64)
    counts = np.array([(found == name).sum() for name in names], dtype=np.int64)
    costs = np.abs(counts[:, None] - expected)  # (K, K)
    own = int(np.trace(costs))
    rows, columns = linear_sum_assignment(costs)
    best = int(costs[rows, columns].sum())
    if own == 0 or best * _BETTER > own or (best > 0 and own < _WRONG * published.total):
        return ""
    return ", ".join(
        f"{names[row]} has {counts[row]:,} as {names[column]} should"
        for row, column in zip(rows, columns, strict=True)
        if row != column
    )
