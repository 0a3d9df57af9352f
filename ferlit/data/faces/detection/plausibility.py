"""Whether landmarks that were found can be those of a face.

A detector sometimes takes a cheek, a hand or half a face for a whole one. A mesh of a face that is
laid over such a patch still has the shape of a face, more or less, so that what gives it away is
mostly that the stages of the detector contradict each other. The limits are wide: of 872 pictures
of FER2013 in which MediaPipe finds a face they refuse two, one of which is none.
"""

import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection.found import Detector, Found
from ferlit.errors import DataError

_LEAST_EYES = 0.2  # distance of the eyes over the side of the box; a profile has 0.22
_LEAST_NOSE = 0.1  # of the eyes' distance: how far the base of the nose is below the eyes
_LEAST_MOUTH = 0.1  # the same from the nose to the mouth
_MOST_AWAY = 0.3  # of the box's side: how far a landmark may lie outside of picture or box
_MOST_DISAGREEMENT = 0.24  # half of the real faces have 0.05, one in a hundred 0.15
_NOSE_BASE = slice(14, 19)
_EYES = slice(19, 25), slice(25, 31)
_MOUTH = slice(31, 43)


def is_plausible(found: Found, shape: tuple[int, ...]) -> bool:
    """Whether what was found can be a face.

    In the frame of the face, whose first axis goes through the eyes, the nose is below the eyes and
    the mouth below the nose; the eyes are not too near to each other for the size of the face, all
    landmarks lie in or near the picture and the box, and the stages of the detector agree.

    Args:
        found: The face.
        shape: (H, W) of the picture.

    >>> from ferlit.data.faces.registration import canonical_landmarks
    >>> face = Found(canonical_landmarks(), 0.9, (5, 5, 55, 55))
    >>> upside_down = face._replace(points=face.points * (1, -1) + (0, 60))
    >>> is_plausible(face, (60, 60)), is_plausible(upside_down, (60, 60))
    (True, False)
    """
    points = found.points
    if not np.isfinite(points).all():
        return False
    left, right = (points[eye].mean(axis=0) for eye in _EYES)
    distance = float(np.hypot(*(right - left)))
    edges = np.array(found.box)
    side = float((edges[2:] - edges[:2]).max())
    if side <= 0 or distance < _LEAST_EYES * side:
        return False
    down = np.array([left[1] - right[1], right[0] - left[0]]) / distance**2
    eyes, nose, mouth = (
        float(place @ down)
        for place in (
            (left + right) / 2,
            points[_NOSE_BASE].mean(axis=0),
            points[_MOUTH].mean(axis=0),
        )
    )
    height, width = shape
    picture = np.array([-0.5, -0.5, width - 0.5, height - 0.5])
    return (
        nose - eyes >= _LEAST_NOSE
        and mouth - nose >= _LEAST_MOUTH
        and max(_away(points, edges), _away(points, picture)) <= _MOST_AWAY * side
        and found.disagreement <= _MOST_DISAGREEMENT
    )


def plausible_faces(detector: Detector, picture: NDArray[np.uint8]) -> list[Found]:
    """The faces of a picture whose landmarks can be those of a face.

    Args:
        detector: Finds the faces.
        picture: (H, W) grey.

    Returns:
        The largest face first; at least one.

    Raises:
        DataError: there is no face, or what was found cannot be one.

    >>> from ferlit.data.faces.registration import canonical_landmarks
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


def _away(points: NDArray[np.float64], edges: NDArray[np.float64]) -> float:
    """How far the landmark that is farthest outside of a rectangle is away from it."""
    return float(np.maximum(edges[:2] - points, points - edges[2:]).max())
