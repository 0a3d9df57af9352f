"""The squares in which a picture is searched for faces."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_PARTS = (2, 4)


class Square(NamedTuple):
    """A part of a picture, or more than it, in whole pixels."""

    left: int
    top: int
    side: int


def centered_square(shape: tuple[int, ...], border: float) -> Square:
    """The square around a picture.

    Args:
        shape: (H, W) of the picture.
        border: Added on each side, as a share of the picture's longer side.

    >>> centered_square((48, 48), 0.25)
    Square(left=-12, top=-12, side=72)
    """
    height, width = shape
    side = round(max(height, width) * (1 + 2 * border))
    return Square((width - side) // 2, (height - side) // 2, side)


def overlapping_squares(shape: tuple[int, ...], least: int) -> Iterator[list[Square]]:
    """Squares that cover a picture and overlap by half, half and then a quarter as large as it.

    Args:
        shape: (H, W) of the picture.
        least: Smaller squares than this are left out.

    Yields:
        The squares of one size.

    >>> [len(squares) for squares in overlapping_squares((480, 640), least=128)]
    [6, 35]
    """
    height, width = shape
    for count in _PARTS:
        side = max(height, width) // count
        if side < least:
            return
        yield [
            Square(left, top, side) for top in _steps(height, side) for left in _steps(width, side)
        ]


def cut(picture: NDArray[np.uint8], square: Square) -> NDArray[np.uint8]:
    """A square out of a picture, black beyond the picture.

    Args:
        picture: (H, W) grey.
        square: Shares a pixel with the picture.

    Returns:
        (side, side) grey.

    >>> cut(np.full((2, 2), 7, np.uint8), Square(1, -1, 3)).tolist()
    [[0, 0, 0], [7, 0, 0], [7, 0, 0]]
    """
    right, bottom = square.left + square.side, square.top + square.side
    inside = picture[max(square.top, 0) : bottom, max(square.left, 0) : right]
    if inside.shape == (square.side, square.side):
        return inside
    piece = np.zeros((square.side, square.side), np.uint8)
    top, left = max(-square.top, 0), max(-square.left, 0)
    piece[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return piece


def _steps(length: int, side: int) -> list[int]:
    room = max(length - side, 0)
    count = math.ceil(2 * room / side) + 1
    return [round(start) for start in np.linspace(0, room, count)]
