"""Pictures of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ferlit.evaluation.calibration import Calibration
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


def plot_matrix(
    names: Sequence[str],
    panels: Mapping[str, Sequence[Sequence[float | None]]],
    counts: Sequence[Sequence[str]],
    path: Path,
) -> None:
    """Matrices of shares, one panel each: in colour and in per cent.

    Args:
        names: Of the K rows, what was trained on, and of the columns, what was tested on.
        panels: K x K shares by the title of their panel; None where there is none yet.
        counts: K x K texts below those of the first panel.
        path: The PNG.
    """
    size = 2 + 1.1 * len(names)
    figure = Figure(figsize=(size * len(panels), size), layout="constrained")
    FigureCanvasAgg(figure)
    found = figure.subplots(1, len(panels), squeeze=False)[0]
    for number, (axes, (title, shares)) in enumerate(zip(found, panels.items(), strict=True)):
        values = np.array(shares, dtype=np.float64)
        axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(values):
            below = "" if number else f"\n{counts[row][column]}"
            axes.text(
                column,
                row,
                "-" if np.isnan(value) else f"{value:.1%}{below}",
                ha="center",
                va="center",
                fontsize=8,
                fontweight="bold" if row == column else "normal",
                color="white" if value > 0.6 else "black",
            )
        axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("tested on")
        axes.set_ylabel("trained on")
        axes.set_title(title)
    figure.savefig(path, dpi=120)


def plot_reliability(found: Calibration, path: Path) -> None:
    """The reliability diagram: how often answers of each confidence are right, and how many.

    Guo et al., On calibration of modern neural networks, ICML 2017, Fig. 1.

    Args:
        found: The answers by their confidence.
        path: The PNG.
    """
    figure = Figure(figsize=(5, 6), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    bins = len(found.counts)
    middles = (np.arange(bins) + 0.5) / bins
    shares = np.nan_to_num(found.accuracies)
    gaps = np.nan_to_num(found.confidences) - shares
    above.bar(middles, shares, 1 / bins, edgecolor="black", label="right answers")
    above.bar(
        middles,
        gaps,
        1 / bins,
        bottom=shares,
        color="tab:red",
        alpha=0.3,
        hatch="/",
        edgecolor="tab:red",
        label="to the mean confidence",
    )
    above.plot([0, 1], [0, 1], "--", color="grey")
    above.set_xlim(0, 1)
    above.set_ylim(0, 1)
    above.set_ylabel("share of right answers")
    above.set_title(
        f"expected calibration error {found.error:.3f}\n"
        f"({int(found.correct.sum())} of {int(found.counts.sum())} right, {bins} bins)"
    )
    above.legend(loc="upper left")
    below.bar(middles, found.counts, 1 / bins, color="grey", edgecolor="black")
    below.set_xlabel("confidence (highest probability)")
    below.set_ylabel("faces")
    figure.savefig(path, dpi=120)
