"""Drawn faces for the tests of recognition."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.synthetic import Person, draw_face

Picture = NDArray[np.uint8]


def portrait(seed: int, expression: str, size: int = 300) -> Picture:
    """A drawn head that fills a (size, size) picture."""
    person = Person.random(np.random.default_rng(seed))
    picture, points = draw_face(person, person.movement(expression))
    left, top = points.mean(axis=0).astype(int) - 160
    left, top = max(left, 0), max(top, 0)
    square = picture[top : top + 320, left : left + 320]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def scene(*faces: Picture) -> Picture:
    """Faces side by side on a plain ground, (480, 640)."""
    canvas = np.full((480, 640), 90, np.uint8)
    for place, face in enumerate(faces):
        side = face.shape[0]
        canvas[80 : 80 + side, 20 + 310 * place : 20 + 310 * place + side] = face
    return canvas


def write_video(path: str, frames: list[Picture]) -> None:
    """An AVI of Motion JPEG."""
    height, width = frames[0].shape
    video = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 10, (width, height))
    for frame in frames:
        video.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    video.release()
