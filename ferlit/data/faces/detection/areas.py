"""Where a picture is worth a closer look, in cells.

A face has corners: of eyes, brows, nostrils and mouth, in whatever light that lets a detector find
it. Where a picture is plain, blurred or has nothing but straight edges, there is none to be found.
"""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

CELL = 16  # pixels of the first of the closer looks
_CONTRAST = 4  # grey levels over two pixels, in the direction that has the least of them
_WINDOW = 5
_SHARE = 0.03  # of the pixels of a cell
_MOST = 6  # areas; each costs a little by itself


class Area(NamedTuple):
    """A rectangle of cells."""

    left: int
    top: int
    right: int  # exclusive
    bottom: int  # exclusive


def corners(
    small: NDArray[np.uint8], covered: Iterable[tuple[int, int, int, int]] = ()
) -> NDArray[np.bool_]:
    """The cells that have corners.

    Args:
        small: (H, W) grey.
        covered: Boxes that are searched already: left, top, right, bottom in its pixels.

    Returns:
        (ceil(H / 16), ceil(W / 16)).

    >>> small = np.zeros((32, 48), np.uint8)
    >>> small[4:10, 20:26] = small[:, 40:] = 90
    >>> corners(small).astype(int).tolist()
    [[0, 1, 0], [0, 0, 0]]
    >>> corners(small, [(16, 0, 32, 16)]).any()
    np.False_
    """
    least = (_CONTRAST / 255) ** 2  # as OpenCV scales it
    has = np.greater(cv2.cornerMinEigenVal(small, _WINDOW, ksize=3), least).view(np.uint8)
    for left, top, right, bottom in covered:
        has[top:bottom, left:right] = 0
    height, width = small.shape
    rows, columns = np.arange(0, height, CELL), np.arange(0, width, CELL)
    count = np.add.reduceat(np.add.reduceat(has, columns, axis=1), rows, axis=0, dtype=np.int32)
    return np.asarray(count > _SHARE * CELL**2)


def around(cells: NDArray[np.bool_]) -> list[Area]:
    """Rectangles that hold all cells and the neighbours of each, and do not meet.

    Args:
        cells: (H, W).

    >>> cells = np.zeros((4, 9), bool)
    >>> cells[0, 0] = cells[2, 7] = cells[3, 7] = True
    >>> around(cells)
    [Area(left=0, top=0, right=2, bottom=2), Area(left=6, top=1, right=9, bottom=4)]
    """
    grown = cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8))
    _, _, parts, _ = cv2.connectedComponentsWithStats(grown)
    areas: list[Area] = []
    for left, top, width, height, _ in parts[1:].tolist():
        area = Area(left, top, left + width, top + height)
        while met := [other for other in areas if _meet(area, other)]:
            areas = [other for other in areas if other not in met]
            area = _union(area, *met)
        areas.append(area)
    return areas if len(areas) <= _MOST else [_union(*areas)]


def _meet(one: Area, other: Area) -> bool:
    return max(one.left, other.left) < min(one.right, other.right) and max(
        one.top, other.top
    ) < min(one.bottom, other.bottom)


def _union(*areas: Area) -> Area:
    left, top, right, bottom = zip(*areas, strict=True)
    return Area(min(left), min(top), max(right), max(bottom))
