"""Training curves of a system: mean and spread over its folds and seeds (Figs. 5 and 6)."""

from collections.abc import Sequence

import pandas as pd

from ferlit.errors import DataError
from ferlit.report.figures import Illustration, curves_figure
from ferlit.report.runs import read_history, within
from ferlit.report.study import Study
from ferlit.runs.folder import RunFolder

CURVES = {"train/loss": "training loss", "val/accuracy": "validation accuracy"}


def curve_figures(study: Study) -> tuple[list[Illustration], list[str]]:
    """A figure a quantity with all systems; and what could not be read."""
    found, problems = curves(study)
    figures = [
        Illustration(
            curves_figure(by_system, CURVES[name], percent=name == "val/accuracy"),
            f"curve_{name.replace('/', '_')}",
            f"{CURVES[name]} of {', '.join(by_system)} over epochs",
        )
        for name, by_system in found.items()
    ]
    return figures, problems


def curves(study: Study) -> tuple[dict[str, dict[str, pd.DataFrame]], list[str]]:
    """By quantity and system the training curves; and what could not be read."""
    found: dict[str, dict[str, pd.DataFrame]] = {name: {} for name in CURVES}
    problems = []
    for system, runs in study.systems.items():
        histories = []
        for run in runs:
            try:
                histories.append(read_history(RunFolder(run.folder)))
            except DataError as error:
                problems.append(f"{run.name}: {within(run.folder, error)}")
        for name, by_system in found.items():
            curve = mean_curve(histories, name)
            if not curve.empty:
                by_system[system] = curve
    return {name: by_system for name, by_system in found.items() if by_system}, problems


def mean_curve(histories: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Mean and standard deviation of a logged quantity in each epoch.

    Args:
        histories: One a run, see `ferlit.report.runs.read_history`.
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
