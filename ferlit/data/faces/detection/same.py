"""Whether two looks at a picture saw the same face."""

import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection.blazeface import overlap
from ferlit.data.faces.detection.found import Box, Found

_SAME = 0.3  # intersection over union of the boxes of one face


def is_same(face: Found, box: Box | NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    """Whether something is a face that is known, a part of it, or something around it.

    Args:
        face: It is known.
        box: Of what was seen.
        points: (K, 2) between its brows and its mouth.

    >>> from ferlit.data.faces.registration import canonical_landmarks
    >>> points = canonical_landmarks()
    >>> face = Found(points, 0.9, (0, 0, 60, 60))
    >>> is_same(face, (20, 20, 40, 40), points / 3 + 20)  # the nose
    True
    >>> is_same(face, (50, 0, 110, 60), points + (50, 0))  # a neighbour
    False
    """
    if overlap(np.array(box), np.array([face.box]))[0] > _SAME:
        return True
    return _is_within(points.mean(axis=0), face.points) or _is_within(
        face.points.mean(axis=0), points
    )


def _is_within(point: NDArray[np.float64], points: NDArray[np.float64]) -> bool:
    return bool((points.min(axis=0) < point).all() and (point < points.max(axis=0)).all())
