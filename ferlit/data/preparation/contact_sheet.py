"""A picture of a store's faces, one of each class and subject, for a person to look at."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ferlit.data.faces.registration import FACE_SIZE

CONTACT_SHEET = "contact_sheet.png"
_COLUMNS = 24  # faces a row
_GAP = 2
_LABEL = 84
_HEADER = 14
_PAPER, _INK = 255, 0


def contact_sheet(
    records: pd.DataFrame, face_of: Callable[[int], NDArray[np.uint8]], classes: tuple[str, ...]
) -> Image.Image:
    """One face of each class and subject: a row a class, a column a subject, in blocks.

    Of several faces the last frame of the first sequence is shown. Where the subjects are not known
    a block of faces, spread evenly over the store, stands for them.

    Args:
        records: The record table.
        face_of: From the row of a record to its face, (60, 60).
        classes: The expressions, top to bottom.

    Returns:
        A grey picture.

    >>> from ferlit.data.records import record_table
    >>> rows = [{"image": f"{k}.png", "expression": "fear", "identity": f"S{k}"} for k in range(30)]
    >>> black = np.zeros((60, 60), np.uint8)
    >>> contact_sheet(record_table(rows), lambda row: black, ("fear",)).size
    (1574, 156)
    """
    blocks = list(_blocks(records, classes))
    cell = FACE_SIZE + _GAP
    height = _HEADER + len(classes) * cell + _GAP
    width = _LABEL + max(map(len, blocks), default=0) * cell + _GAP
    sheet = Image.new("L", (width, max(1, len(blocks)) * height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, block in enumerate(blocks):
        top = number * height
        for row, name in enumerate(classes):
            draw.text((4, top + _HEADER + row * cell + FACE_SIZE // 2 - 6), name, fill=_INK)
        for column, (subject, shown) in enumerate(block):
            left = _LABEL + column * cell
            draw.text((left + 2, top + 1), subject[:9], fill=_INK)
            for row, name in enumerate(classes):
                if name in shown:
                    face = Image.fromarray(face_of(shown[name]))
                    sheet.paste(face, (left, top + _HEADER + row * cell))
    return sheet


def _blocks(
    records: pd.DataFrame, classes: tuple[str, ...]
) -> Iterator[list[tuple[str, dict[str, int]]]]:
    """Columns of the sheet, `_COLUMNS` at a time: a subject's name and its face of each class."""
    columns: list[tuple[str, dict[str, int]]] = []
    table = records[["expression", "identity", "sequence", "frame"]].assign(row=range(len(records)))
    table = table.sort_values(["sequence", "frame"], kind="stable")
    known = table[table["identity"] != ""]
    for subject, own in known.groupby("identity"):
        shown: dict[str, int] = {}
        for name, of_class in own.groupby("expression"):
            first = of_class[of_class["sequence"] == of_class["sequence"].iloc[0]]
            shown[str(name)] = int(first["row"].iloc[-1 if first["sequence"].iloc[0] else 0])
        columns.append((str(subject), shown))
    if known.empty:
        spread: list[dict[str, int]] = [{} for _ in range(_COLUMNS)]
        for name in classes:
            rows = table.loc[table["expression"] == name, "row"].to_numpy()
            places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _COLUMNS)).astype(int))
            for column, place in zip(spread, places, strict=False):
                column[name] = int(rows[place])
        columns = [("", shown) for shown in spread]
    for start in range(0, len(columns), _COLUMNS):
        yield columns[start : start + _COLUMNS]
