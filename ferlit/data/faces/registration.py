"""Registration: from a picture and its landmarks to the 60 x 60 face that the networks see.

A similarity transform takes the landmarks as near as it can to a canonical frame. It removes the
rotation in the image plane, the scale and the position (Liu et al. 2017, Sec. 5.1) and, having no
shear, leaves the expression alone. Points are (x, y); whole numbers are the centres of pixels.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.landmarks import select_49
from ferlit.data.media.pictures import check_grey
from ferlit.errors import DataError

FACE_SIZE = 60
_CENTER = (FACE_SIZE - 1) / 2
_ALIGNED_SIZE = 48
# OpenCV's warps address pixels with 16-bit numbers.
_LARGEST_SIDE = 32766
# Bounds the memory; a face this large, 3840 pixels across, hardly aliases any more.
_FINEST = 64

# Left half of the canonical face in pixels of the 60 x 60 picture; the right half mirrors it. The
# proportions are those of the mean 68-point shape that OpenFace aligns to (Amos et al., OpenFace: a
# general-purpose face recognition library with mobile applications, CMU-CS-16-118, 2016), made
# symmetric and rounded to half a pixel. Brows and lips keep five to seven pixels from the edges of
# the central 48 x 48 crop, so that they stay inside nearly every random crop.
_BROW = ((11.5, 15.5), (14.5, 13), (18, 12.5), (22, 13), (25.5, 14.5))
_BRIDGE = ((_CENTER, 19), (_CENTER, 23), (_CENTER, 27), (_CENTER, 31))
_BASE = ((25, 34), (27, 34.5), (_CENTER, 35.5))
_EYE = ((16, 19.5), (18.5, 18), (21, 18), (23.5, 20), (21, 20.5), (18, 20.5))
_UPPER_LIP = ((20.5, 41), (24, 39.5), (27, 39), (_CENTER, 39.5))
_LOWER_LIP = ((24, 44.5), (27, 45.5), (_CENTER, 46))
_INNER_UPPER = ((27, 41), (_CENTER, 41.5))
_INNER_LOWER = ((27, 42.5), (_CENTER, 43))
_EYE_MIRRORED = (3, 2, 1, 0, 5, 4)

_Points = tuple[tuple[float, float], ...]


def canonical_landmarks() -> NDArray[np.float64]:
    """The place of the 49 landmarks in a registered face.

    Returns:
        (49, 2) points, symmetric about the middle column.

    >>> points = canonical_landmarks()
    >>> points.shape, points[19:25].mean(axis=0).round(1), points[25:31].mean(axis=0).round(1)
    ((49, 2), array([19.7, 19.4]), array([39.3, 19.4]))
    """
    return np.array(
        [
            *(_BROW + _mirror(_BROW)[::-1]),
            *_BRIDGE,
            *(_BASE + _mirror(_BASE[:2])[::-1]),
            *_EYE,
            *(_mirror(_EYE)[corner] for corner in _EYE_MIRRORED),
            # Around the mouth: along the upper lip, and back along the lower one.
            *(_UPPER_LIP + _mirror(_UPPER_LIP[:3])[::-1]),
            *(_mirror(_LOWER_LIP[:2]) + _LOWER_LIP[::-1]),
            *(_INNER_UPPER + _mirror(_INNER_UPPER[:1])),
            *(_mirror(_INNER_LOWER[:1]) + _INNER_LOWER[::-1]),
        ]
    )


def similarity_transform(
    source: NDArray[np.floating], target: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The rotation, scale and shift, without reflection, that takes source nearest to target.

    Least squares (Umeyama 1991, Eq. 40-42), in the plane: with centred points as complex numbers,
    the factor a that minimises |a s - t|^2 is <s, t> / <s, s>.

    Args:
        source: (K, 2) points.
        target: (K, 2) points.

    Returns:
        (2, 3) matrix that takes (x, y, 1) to the target.

    Raises:
        DataError: the shapes differ, a coordinate is not finite, or the points coincide.

    >>> square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    >>> similarity_transform(square, 2 * square + [3, 4]) @ [1, 1, 1]
    array([5., 6.])
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise DataError(f"points of shapes {source.shape} and {target.shape}; both must be (K, 2)")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise DataError("a landmark is not finite")
    if len(source) == 0:
        raise DataError("no landmarks to register with")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    s = (source - source_mean) @ (1, 1j)
    t = (target - target_mean) @ (1, 1j)
    spread = np.vdot(s, s).real
    # Relative to the coordinates, as equal points far from the origin differ by rounding.
    if spread <= 1e-12 * len(source) * max(1.0, float(np.abs(source).max())) ** 2:
        raise DataError(f"the landmarks all lie at {source_mean.round(1).tolist()}")
    factor = np.vdot(s, t) / spread
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    if abs(factor) * math.sqrt(spread) <= 1e-6 * np.linalg.norm(t):
        raise DataError("the landmarks do not have the shape of a face")
    return np.column_stack([linear, target_mean - linear @ source_mean])


def register(image: NDArray[np.uint8], landmarks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """The face in its canonical frame.

    Where the face is shrunk, it is first sampled about as finely as the picture is and then
    averaged over the pixels, so that nothing aliases. Beyond the border the edge is repeated.

    Args:
        image: (H, W) grey.
        landmarks: (49, 2) or (68, 2) points in pixels of the image.

    Returns:
        (60, 60) grey.

    Raises:
        DataError: not a grey image, degenerate landmarks, or most of them outside the image.

    >>> register(np.full((100, 100), 7, np.uint8), canonical_landmarks() + 20).max()
    np.uint8(7)
    """
    image = check_grey(image)
    height, width = image.shape
    if max(height, width) > _LARGEST_SIDE:
        raise DataError(f"the image has {width} x {height} pixels; a side has {_LARGEST_SIDE} most")
    points = select_49(landmarks)
    transform = similarity_transform(points, canonical_landmarks())
    inside = ((points > -0.5) & (points < (width - 0.5, height - 0.5))).all(axis=1).sum()
    if 2 * inside < len(points):
        raise DataError(
            f"{inside} of the {len(points)} landmarks lie inside the image of {width} x {height} "
            "pixels; do the landmarks belong to it?"
        )
    fineness = min(math.ceil(1 / math.hypot(*transform[:, 0])), _FINEST)
    # The centre of a pixel moves when the pixel is divided: x becomes fineness (x + 1/2) - 1/2.
    fine = transform * fineness
    fine[:, 2] += (fineness - 1) / 2
    size = FACE_SIZE * fineness
    face = cv2.warpAffine(
        image, fine, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    face = cv2.resize(face, (FACE_SIZE, FACE_SIZE), interpolation=cv2.INTER_AREA)
    return np.asarray(face, dtype=np.uint8)


def pad_aligned(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A face that is aligned already, at the size of a registered one.

    A 48 x 48 face, the usual size, fills the central crop, so it gets a reflected border; any other
    is resized.

    Args:
        image: (H, W) grey.

    Returns:
        (60, 60) grey.

    Raises:
        DataError: not a grey image.

    >>> face = np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)
    >>> bool((pad_aligned(face)[6:54, 6:54] == face).all())
    True
    """
    image = check_grey(image)
    if image.shape == (_ALIGNED_SIZE, _ALIGNED_SIZE):
        return np.pad(image, (FACE_SIZE - _ALIGNED_SIZE) // 2, mode="reflect")
    if image.shape == (FACE_SIZE, FACE_SIZE):
        return image.copy()
    is_shrunk = min(image.shape) >= FACE_SIZE
    face = cv2.resize(
        image,
        (FACE_SIZE, FACE_SIZE),
        interpolation=cv2.INTER_AREA if is_shrunk else cv2.INTER_CUBIC,
    )
    return np.asarray(face, dtype=np.uint8)


def _mirror(points: _Points) -> _Points:
    return tuple((2 * _CENTER - x, y) for x, y in points)
