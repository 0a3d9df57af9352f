"""Faces and their 49 landmarks, found in pictures that come without them.

A detector is made once, by `ferlit.data.detection.mediapipe` or `ferlit.data.detection.dlib`, and
may then be called from several threads or sent to other processes.
"""

import numpy as np
from numpy.typing import NDArray

from ferlit.data.detection.found import Detector, Found
from ferlit.data.detection.plausibility import is_plausible
from ferlit.errors import DataError

__all__ = ["Detector", "Found", "is_plausible", "plausible_faces"]


def plausible_faces(detector: Detector, picture: NDArray[np.uint8]) -> list[Found]:
    """The faces of a picture whose landmarks can be those of a face.

    Args:
        detector: Finds the faces.
        picture: (H, W) grey.

    Returns:
        The largest face first; at least one.

    Raises:
        DataError: there is no face, or what was found cannot be one.

    >>> from ferlit.data.registration import canonical_landmarks
    >>> large = Found(canonical_landmarks(), 0.7, (0, 0, 60, 60))
    >>> flat = large._replace(points=large.points * (1, 0))
    >>> len(plausible_faces(lambda picture: [large, flat], np.zeros((60, 60), np.uint8)))
    1
    """
    found = detector(picture)
    if not found:
        raise DataError("no face was found in it")
    faces = [face for face in found if is_plausible(face, picture.shape)]
    if not faces:
        raise DataError("the landmarks found are not those of a face")
    return faces
