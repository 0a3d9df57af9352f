"""Closer looks at a picture that was seen as a whole already.

Two looks, at 256 and then 512 pixels of the longer side, where a net that sees 128 takes a face of
a twentieth of the picture. The first goes where the picture has corners (`areas`) and no face is
known yet, the second where the first saw something small, however faint. The net's work grows with
the area, so that a plain background costs hardly anything.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection.areas import CELL, Area, around, corners
from ferlit.data.faces.detection.blazeface import INPUT_SIZE, Detections, pool, suppress
from ferlit.data.faces.detection.found import Box

_SIDES = (256, 512)  # pixels of the longer side
_ASPECT = 3 / 4  # a longer picture may have as many pixels as one of this shape
_LEAST_STEP = 1.25
_FAINT = 0.08  # a score that is worth another look
_FAINTEST = 0.04  # the same where no face is known yet
_CLEAR = 60  # pixels of a box: a faint sight as large is hardly ever a face
_AROUND = 0.2  # of the box of a known face: hair, ears and collar
_NOTHING = Detections(np.zeros((0, 4)), np.zeros((0, 6, 2)), np.zeros(0))
Detect = Callable[[NDArray[np.uint8], float, int], Detections]


def look_closer(
    picture: NDArray[np.uint8], known: Sequence[Box], detect: Detect, least_score: float
) -> Detections:
    """What the closer looks see.

    Args:
        picture: (H, W) grey.
        known: The faces that need not be found.
        detect: From a picture, whose sides are multiples of 16, a threshold, and the number of the
            look, 0 or 1, to the faces.
        least_score: Of what is returned.

    Returns:
        The detections in pixels of the picture, the best first; known faces may be among them.
    """
    faint = _FAINT if known else _FAINTEST
    looks, shapes = [_NOTHING], finer_shapes(picture.shape)
    size, cell, cells = np.array(picture.shape[::-1]), np.ones(2), np.zeros((1, 1), bool)
    for number, (height, width) in enumerate(shapes):
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        small: NDArray[np.uint8] = np.asarray(resized, dtype=np.uint8)
        scale = (width, height) / size
        if number == 0:
            cell = CELL / scale
            cells = corners(small, [_edges(_grown(box), scale) for box in known])
        if not cells.any():
            break
        least = least_score if number == len(shapes) - 1 else min(least_score, faint)
        seen = [_look(small, area, cell * scale, detect, least, number) for area in around(cells)]
        look = pool([_NOTHING, *seen]).moved(1 / scale)
        looks.append(look.rows(look.scores >= least_score))
        small_ones = look.rows(_sides(look) * scale.max() < _CLEAR)
        cells = _holding(_middles(small_ones), known, cell, cells.shape)
    return suppress(pool(looks)) if len(looks) > 1 else _NOTHING


def finer_shapes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The sizes to which a picture is reduced for the closer looks, the coarser first.

    A panorama gets more than 256 and 512 pixels, as many as make it as large as a picture of 4 x 3;
    nothing is enlarged, and a look that is hardly finer than the one before is left out.

    Args:
        shape: (H, W) of the picture.

    Returns:
        (H, W) each.

    >>> finer_shapes((480, 640)), finer_shapes((300, 200)), finer_shapes((48, 48))
    ([(192, 256), (384, 512)], [(272, 181)], [])
    >>> finer_shapes((400, 6000))
    [(57, 859), (114, 1717)]
    """
    height, width = shape
    longer = max(height, width)
    shapes, last = [], INPUT_SIZE / longer
    for side in _SIDES:
        by_area = side * (_ASPECT / (height * width)) ** 0.5
        scale = min(max(side / longer, by_area), 1)
        if scale >= _LEAST_STEP * last:
            shapes.append((max(round(height * scale), 1), max(round(width * scale), 1)))
            last = scale
    return shapes


def _look(
    small: NDArray[np.uint8],
    area: Area,
    cell: NDArray[np.float64],
    detect: Detect,
    least_score: float,
    number: int,
) -> Detections:
    """The faces in an area, in pixels of the small picture."""
    left, top, right, bottom = _edges(area, cell)
    piece = small[top:bottom, left:right]
    piece = np.pad(piece, [(0, -length % CELL) for length in piece.shape])
    return detect(piece, least_score, number).moved(1.0, (left, top))


def _sides(found: Detections) -> NDArray[np.float64]:
    return np.asarray((found.boxes[:, 2:] - found.boxes[:, :2]).max(axis=1))


def _middles(found: Detections) -> NDArray[np.float64]:
    return np.asarray((found.boxes[:, :2] + found.boxes[:, 2:]) / 2)


def _holding(
    middles: NDArray[np.float64],
    known: Sequence[Box],
    cell: NDArray[np.float64],
    shape: tuple[int, ...],
) -> NDArray[np.bool_]:
    """The cells with the middle of a detection that is in no known face."""
    for face in np.reshape(known, (-1, 2, 2)):
        middles = middles[~((middles > face[0]) & (middles < face[1])).all(axis=1)]
    cells = np.zeros(shape, bool)
    column, row = np.floor(middles / cell).astype(int).T
    cells[row.clip(0, shape[0] - 1), column.clip(0, shape[1] - 1)] = True
    return cells


def _grown(box: Box) -> Box:
    left, top, right, bottom = box
    x, y = _AROUND * (right - left), _AROUND * (bottom - top)
    return left - x, top - y, right + x, bottom + y


def _edges(box: Box | Area, scale: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Whole pixels, none of them negative."""
    left, top, right, bottom = (np.reshape(box, (2, 2)) * scale).round().astype(int).clip(0).ravel()
    return int(left), int(top), int(right), int(bottom)
