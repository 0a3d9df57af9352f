"""Training curves of a system: mean and spread over its folds and seeds (Figs. 5 and 6)."""

from collections.abc import Sequence

import pandas as pd


def mean_curve(histories: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Mean and standard deviation of a logged quantity in each epoch.

    Args:
        histories: One a run, see `ferlit.evaluation.report.runs.read_history`.
        column: The quantity.

    Returns:
        Indexed by epoch: ``mean``, ``deviation`` (0 where one run has the epoch) and ``runs``.
        Empty where no run logged it.

    >>> runs = [pd.DataFrame({"loss": loss}, index=[1, 2]) for loss in ([3.0, 1.0], [5.0, 1.0])]
    >>> mean_curve(runs, "loss")["mean"].tolist()
    [4.0, 1.0]
    """
    found = [history[column].dropna() for history in histories if column in history]
    if not found:
        return pd.DataFrame({"mean": [], "deviation": [], "runs": []}, dtype=float)
    table = pd.concat(found, axis=1)
    return pd.DataFrame(
        {
            "mean": table.mean(axis=1),
            "deviation": table.std(axis=1, ddof=1).fillna(0),
            "runs": table.count(axis=1),
        }
    ).sort_index()
