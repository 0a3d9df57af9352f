"""The two forms of a report: a self-contained HTML page, and Markdown with PNG files beside it."""

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from ferlit.evaluation.plots import plot_confusion
from ferlit.evaluation.results import Evaluation
from ferlit.files import write_text
from ferlit.report.content import Report, gather_report
from ferlit.report.sections.maps import Projection
from ferlit.report.study import find_study

HTML, MARKDOWN = "report.html", "report.md"


def make_report(runs: Path, output: Path, *, projection: Projection = "pca") -> Report:
    """Write the report of all runs in a folder and below it.

    Args:
        runs: What ``ferlit crossval`` wrote, any folder with runs below it, or a run.
        output: Folder of ``report.html``, ``report.md`` and the figures; it keeps features for the
            next report.
        projection: Of the maps, "pca" or "umap".

    Returns:
        What the page says.

    Raises:
        DataError: there is no finished run, or the runs do not belong together.
    """
    study = find_study(runs)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        report = gather_report(study, output / "features", projection, progress)
    write_pages(report, output)
    return report


def write_pages(report: Report, output: Path) -> None:
    """Write ``report.html``, ``report.md`` and the PNG files that the latter shows.

    Args:
        report: What they show.
        output: Folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    for figure in report.figures:
        figure.save_png(output)
    for name in (HTML, MARKDOWN):
        write_text(output / name, render(name, report))
    for name, system in report.accuracy.results.systems.items():
        plot_confusion(system.levels, output / f"confusion_{name}.png")


def render(name: str, report: Report) -> str:
    """The text of one form of the report.

    Args:
        name: ``report.html`` or ``report.md``.
        report: What it shows.

    Raises:
        jinja2.UndefinedError: the template asks for something else.
    """
    environment = Environment(
        loader=PackageLoader("ferlit.report", "templates"),
        autoescape=name == HTML,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        percent=percent, face_uri=face_uri, cell=_markdown_cell, matrix=matrix
    )
    return environment.get_template(f"{name}.j2").render(vars(report))


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix: its count, and the share of the row."""

    count: int
    share: float
    is_right: bool


def matrix(result: Evaluation) -> list[tuple[str, list[Cell]]]:
    """A confusion matrix row by row: the class and the cells."""
    return [
        (
            name,
            [
                Cell(int(count), float(share), column == place)
                for column, (count, share) in enumerate(zip(counts, shares, strict=True))
            ],
        )
        for place, (name, counts, shares) in enumerate(
            zip(result.classes, result.confusion, result.shares, strict=True)
        )
    ]


def percent(share: float | None, digits: int = 1) -> str:
    """A share in per cent.

    >>> percent(0.1234), percent(None)
    ('12.3 %', '-')
    """
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def face_uri(face: NDArray[np.uint8]) -> str:
    """A grey picture as the address of an image that is part of the page."""
    encoded = cv2.imencode(".png", face)[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(encoded).decode()}"


def _markdown_cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")
