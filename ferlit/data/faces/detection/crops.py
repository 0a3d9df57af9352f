"""The turned squares that the face mesh sees."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_OUTER_CORNERS = (33, 263)  # of the eyes, in the mesh
_CROP = 1.5  # side of the mesh's crop over that of the face


class Crop(NamedTuple):
    """A turned square; coordinates count from the corner of the picture, as MediaPipe's do."""

    center: NDArray[np.float64]  # (2,)
    side: float
    angle: float  # radians, clockwise in the image


def crop_of_box(box: NDArray[np.float64], keypoints: NDArray[np.float64]) -> Crop:
    """Around the detector's box, upright by its eyes."""
    angle = math.atan2(*(keypoints[1] - keypoints[0])[::-1])
    return Crop((box[:2] + box[2:]) / 2, _CROP * float((box[2:] - box[:2]).max()), angle)


def crop_of_mesh(mesh: NDArray[np.float64]) -> Crop:
    """Around a mesh, upright by the outer corners of its eyes."""
    left, right = (mesh[corner] for corner in _OUTER_CORNERS)
    angle = math.atan2(*(right - left)[::-1])
    turn = rotation(angle)
    upright = mesh @ turn
    least, most = upright.min(axis=0), upright.max(axis=0)
    return Crop(turn @ ((least + most) / 2), _CROP * float((most - least).max()), angle)


def rotation(angle: float) -> NDArray[np.float64]:
    """(2, 2), clockwise in the image."""
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
