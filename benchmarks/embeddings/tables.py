"""Tables of the scores, and what the seeds allow to say of their differences."""

import statistics
from collections.abc import Sequence

from rich import box
from rich.table import Table
from scipy.stats import ttest_rel

from benchmarks.embeddings.scores import COLUMNS, COMPARED

# By loss and batches, a list of scores a seed.
Runs = dict[tuple[str, str], list[list[float]]]


def table_of_means(runs: Runs, raw: Sequence[float]) -> Table:
    table = Table("embedding", "batches", *COLUMNS, box=box.MARKDOWN)
    table.add_row("raw inputs", "", *(f"{score:.1f}" for score in raw))
    for names, scores in runs.items():
        table.add_row(*names, *map(mean_and_spread, zip(*scores, strict=True)))
    return table


def table_of_differences(runs: Runs, against: tuple[str, str]) -> Table:
    """Each less the one, seed by seed; the p of paired t-tests, corrected within a column."""
    others = [names for names in runs if names != against]
    columns = []
    for name in COMPARED:
        at = COLUMNS.index(name)
        base = [scores[at] for scores in runs[against]]
        found = [[scores[at] for scores in runs[names]] for names in others]
        adjusted = holm([paired(each, base) for each in found])
        gains = [[b - a for a, b in zip(base, each, strict=True)] for each in found]
        columns.append(
            [
                f"{statistics.mean(gain):+.1f} ± {statistics.stdev(gain):.1f}, p {p:.3f}"
                for gain, p in zip(gains, adjusted, strict=True)
            ]
        )
    table = Table("embedding", "batches", *COMPARED, box=box.MARKDOWN)
    for names, cells in zip(others, zip(*columns, strict=True), strict=True):
        table.add_row(*names, *cells)
    return table


def paired(first: Sequence[float], second: Sequence[float]) -> float:
    """The p of a paired t-test, two-sided; 1 where nothing differs."""
    if list(first) == list(second):
        return 1.0
    return float(ttest_rel(first, second).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """Several p corrected for one another by Holm's step-down method.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(values), 0.0
    order = sorted(range(len(values)), key=lambda i: values[i])
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = least
    return adjusted


def mean_and_spread(scores: Sequence[float]) -> str:
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return f"{statistics.mean(scores):.1f} ± {spread:.1f}"
