"""The two forms of a report: a self-contained HTML page, and Markdown with PNG files beside it."""

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ferlit.evaluation.report.figures import save_png, svg
from ferlit.files import write_text

HTML, MARKDOWN = "report.html", "report.md"


class Picture:
    """A figure of the report in both forms.

    Args:
        figure: The figure.
        name: Of its file, without the suffix.
        text: What it shows, for those who do not see it.
    """

    def __init__(self, figure: Figure, name: str, text: str) -> None:
        self.figure = figure
        self.name = name
        self.text = text

    @property
    def svg(self) -> Markup:
        return Markup(svg(self.figure, self.name))


def write_report(content: dict[str, Any], pictures: list[Picture], output: Path) -> None:
    """Write ``report.html``, ``report.md`` and the PNG files that the latter shows.

    Args:
        content: What the templates ask for.
        pictures: The figures among it.
        output: Folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        save_png(picture.figure, output / f"{picture.name}.png")
    for name in (HTML, MARKDOWN):
        write_text(output / name, render(name, content))


def render(name: str, content: dict[str, Any]) -> str:
    """The text of one form of the report.

    Args:
        name: ``report.html`` or ``report.md``.
        content: What its template asks for.

    Raises:
        jinja2.UndefinedError: the template asks for something else.
    """
    environment = Environment(
        loader=PackageLoader("ferlit.evaluation.report", "templates"),
        autoescape=name == HTML,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(percent=percent, face_uri=face_uri, cell=_markdown_cell)
    return environment.get_template(f"{name}.j2").render(content)


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
