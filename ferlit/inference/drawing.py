"""Boxes, labels and landmarks, drawn into pictures and frames."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageOps

from ferlit.data.media.pictures import opened_picture
from ferlit.inference.recogniser import Face

_LEAST_SIDE = 320  # of a picture that is drawn into: a label needs room
_LINE = (80, 220, 80)  # BGR
_TEXT = (0, 0, 0)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_COLOURS = ("RGB", "RGBA", "P", "CMYK", "YCbCr", "LA", "PA")


def annotate(
    picture: NDArray[np.uint8], faces: Sequence[Face], *, points: bool = False
) -> NDArray[np.uint8]:
    """A picture with its faces marked.

    Args:
        picture: (H, W, 3) BGR. A small one is enlarged, so that the labels can be read.
        faces: What was found in it.
        points: Draw the 49 landmarks too.

    Returns:
        (H, W, 3) BGR.
    """
    canvas = np.array(picture)
    zoom = max(1.0, _LEAST_SIDE / min(canvas.shape[:2]))
    if zoom > 1:
        canvas = np.array(cv2.resize(canvas, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC))
    size = min(canvas.shape[:2])
    thickness = max(1, round(size / 300))
    for face in reversed(faces):  # the largest on top
        left, top, right, bottom = (round((edge + 0.5) * zoom) for edge in face.box)
        cv2.rectangle(canvas, (left, top), (right, bottom), _LINE, thickness, cv2.LINE_AA)
        if points and face.points is not None:
            for x, y in ((face.points + 0.5) * zoom - 0.5).round().astype(int).tolist():
                cv2.circle(canvas, (x, y), thickness, _LINE, cv2.FILLED, cv2.LINE_AA)
        _write(canvas, f"{face.label} {100 * face.probability:.0f} %", (left, top), size)
    return canvas


def _write(canvas: NDArray[np.uint8], text: str, corner: tuple[int, int], size: int) -> None:
    """A label above a corner, or below it where there is no room, always inside the picture."""
    thickness = max(1, round(size / 500))
    scale = max(0.5, size / 900)
    (width, height), baseline = cv2.getTextSize(text, _FONT, scale, thickness)
    height += baseline
    left = min(max(corner[0], 0), max(canvas.shape[1] - width, 0))
    top = corner[1] - height if corner[1] >= height else max(corner[1], 0)
    top = min(top, canvas.shape[0] - height)
    cv2.rectangle(canvas, (left, top), (left + width, top + height), _LINE, cv2.FILLED)
    origin = (left, top + height - baseline)
    cv2.putText(canvas, text, origin, _FONT, scale, _TEXT, thickness, cv2.LINE_AA)


def placeholder(size: tuple[int, int], name: str) -> NDArray[np.uint8]:
    """A grey picture that says that a frame is lost.

    Args:
        size: Its width and height.
        name: Of the frame.

    Returns:
        (H, W, 3) BGR.
    """
    canvas = np.full((size[1], size[0], 3), 128, np.uint8)
    scale = min(size) / 480
    cv2.putText(canvas, f"{name} is lost", (8, size[1] // 2), _FONT, scale, _TEXT, 1, cv2.LINE_AA)
    return canvas


def read_colour(path: Path, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture to draw into.

    Args:
        path: Its file.
        grey: (H, W) as it was read for recognition, which is shown where it has no colour.

    Returns:
        (H, W, 3) BGR.
    """
    with opened_picture(path) as opened:
        if opened.mode in _COLOURS:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
            return np.ascontiguousarray(np.asarray(upright)[..., ::-1])
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
