"""Pictures of results."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ferlit.evaluation.tables import Evaluation


def plot_confusion(results: dict[str, Evaluation], path: Path) -> None:
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
        for (row, column), count in ((place, counts[place]) for place in _cells(len(counts))):
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


def _cells(size: int) -> list[tuple[int, int]]:
    return [(row, column) for row in range(size) for column in range(size)]
