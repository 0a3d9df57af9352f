"""Pictures of results."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ferlit.evaluation.results import Evaluation


def plot_confusion(results: Mapping[str, Evaluation], path: Path) -> None:
    """The confusion matrices, one panel a level: row percentages in colour, counts below.

    Args:
        results: "image" and perhaps "sequence".
        path: The PNG.
    """
    size = 1.6 + 0.75 * len(next(iter(results.values())).classes)
    figure = Figure(figsize=(size * len(results), size), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(results), squeeze=False)[0]
    for axes, (level, result) in zip(panels, results.items(), strict=True):
        counts = result.confusion
        axes.imshow(result.shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            if count or row == column:
                share = result.shares[row, column]
                axes.text(
                    column,
                    row,
                    f"{share:.0%}\n({count})",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share > 0.6 else "black",
                )
        axes.set_xticks(range(len(counts)), result.classes, rotation=40, ha="right")
        axes.set_yticks(range(len(counts)), result.classes)
        axes.set_xlabel("predicted")
        axes.set_ylabel("actual")
        axes.set_title(f"by {level}: {result.accuracy:.1%} ({result.correct} of {result.total})")
    figure.savefig(path, dpi=120)
