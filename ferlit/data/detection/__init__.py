"""Faces and their 49 landmarks, found in pictures that come without them.

A detector is made once, by `ferlit.data.detection.mediapipe` or `ferlit.data.detection.dlib`, and
may then be called from several threads or sent to other processes.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError


class Found(NamedTuple):
    """A face in a picture; (0, 0) is the centre of the pixel at the upper left."""

    points: NDArray[np.float64]  # (49, 2), see ferlit.data.landmarks
    score: float  # how sure the detector is; only comparable within one detector
    box: tuple[float, float, float, float]  # left, top, right, bottom

    @property
    def size(self) -> float:
        """The area of the box in pixels.

        >>> Found(np.zeros((49, 2)), 0.9, (10, 10, 30, 20)).size
        200
        """
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class Detector(Protocol):
    """What finds faces; may be called from several threads, and pickled."""

    def __call__(self, picture: NDArray[np.uint8]) -> list[Found]:
        """The faces of a grey picture (H, W), the largest first; [] where there is none."""
        ...


def largest_face(detector: Detector, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The landmarks of the face that a picture is about: the largest one.

    Args:
        detector: Finds the faces.
        picture: (H, W) grey.

    Returns:
        (49, 2) points.

    Raises:
        DataError: there is no face.

    >>> small, large = ((0, 0, 5, 5), (0, 0, 9, 9))
    >>> faces = [Found(np.ones((49, 2)), 0.7, large), Found(np.zeros((49, 2)), 0.9, small)]
    >>> largest_face(lambda picture: faces, np.zeros((9, 9), np.uint8))[0]
    array([1., 1.])
    """
    faces = detector(picture)
    if not faces:
        raise DataError("no face was found in it")
    return faces[0].points
