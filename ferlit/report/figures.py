"""The figures of a report: SVG for the page, in its own text colour, and PNG for Markdown."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

INK = "#1d2025"  # replaced by the page's text colour, which is light on a dark page
# Of middle lightness: they stand out from white and from black.
PALETTE = (
    "#4c8bd6",
    "#e8803a",
    "#3f9e5f",
    "#d9534f",
    "#9b74c9",
    "#b08a3c",
    "#2fa3a3",
    "#d667a5",
)
_MARKERS = "osD^vPX"


@dataclass(frozen=True, eq=False)
class Illustration:
    """A figure in the two forms that a report shows.

    Args:
        figure: The figure.
        name: Of its file, without the suffix; distinguishes its identifiers on the page.
        text: What it shows, for those who do not see it.
    """

    figure: Figure
    name: str
    text: str

    @property
    def svg(self) -> Markup:
        """An SVG element for a page that has several."""
        buffer = io.StringIO()
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": self.name}):
            self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        text = buffer.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{self.name}-", text)
        return Markup(text.replace(INK, "currentColor"))

    def save_png(self, folder: Path) -> None:
        """Write it on white."""
        self.figure.savefig(folder / f"{self.name}.png", dpi=140, facecolor="white")


def curves_figure(curves: Mapping[str, pd.DataFrame], title: str, *, percent: bool) -> Figure:
    """A line a system, with a band of one standard deviation.

    Args:
        curves: By system, see `ferlit.report.sections.curves.mean_curve`.
        title: What is drawn.
        percent: Whether the values are shares.
    """
    figure, axes = _figure(title)
    scale = 100 if percent else 1
    for (system, curve), colour in zip(curves.items(), _repeated(len(curves)), strict=True):
        epochs = curve.index.to_numpy()
        mean, deviation = scale * curve["mean"].to_numpy(), scale * curve["deviation"].to_numpy()
        marker = "o" if len(epochs) == 1 else None
        axes.plot(epochs, mean, color=colour, label=system, linewidth=1.6, marker=marker)
        axes.fill_between(
            epochs, mean - deviation, mean + deviation, color=colour, alpha=0.18, lw=0
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("%" if percent else "")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=INK, alpha=0.12)
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
    return figure


def map_figure(points: NDArray[np.float64], labels: Sequence[str], title: str) -> Figure:
    """Points in the colours of their labels.

    Args:
        points: (n, 2).
        labels: (n,).
        title: What is drawn.

    Up to eight labels, a colour each, are named.
    """
    figure, axes = _figure(title)
    names = sorted(set(labels))
    for number, (name, colour) in enumerate(zip(names, _repeated(len(names)), strict=True)):
        chosen = points[np.array([label == name for label in labels])]
        marker = _MARKERS[number // len(PALETTE) % len(_MARKERS)]
        axes.scatter(
            chosen[:, 0],
            chosen[:, 1],
            s=16,
            color=colour,
            marker=marker,
            label=name,
            alpha=0.8,
            lw=0,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    if len(names) <= len(PALETTE):
        figure.legend(
            loc="outside lower center", ncols=4, frameon=False, labelcolor=INK, fontsize=9
        )
    return figure


def faces_figure(faces: Sequence[NDArray[np.uint8]], captions: Sequence[str]) -> Figure:
    """Faces with a line or two below each, four in a row.

    Args:
        faces: At least one, (60, 60).
        captions: As many.
    """
    rows = -(-len(faces) // 4)
    figure = Figure(figsize=(7, 2.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 4, squeeze=False).flat
    for axes, face, caption in zip(panels, faces, captions, strict=False):
        axes.imshow(face, cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8, color=INK)
    for axes in figure.axes:
        axes.axis("off")
    return figure


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.8, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, color=INK)
    axes.tick_params(colors=INK, labelsize=9)
    for spine in axes.spines.values():
        spine.set_color(INK)
        spine.set_alpha(0.35)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    return figure, axes


def _repeated(count: int) -> list[str]:
    return [PALETTE[number % len(PALETTE)] for number in range(count)]
