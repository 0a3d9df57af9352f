"""BlazeFace, short range: its anchors, what its outputs mean, and non-maximum suppression.

Bazarevsky et al., BlazeFace: sub-millisecond neural face detection on mobile GPUs, 2019. The net
sees 128 x 128 pixels and answers for 896 anchors; lengths here are in its pixels, from the corner
of the picture. As it is a convolution from end to end, it also takes larger pictures, with as many
more anchors.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INPUT_SIZE = 128
KEYPOINTS = 6  # eye left and right in the image, tip of the nose, mouth, ear left and right
_STRIDES = ((8, 2), (16, 6))  # pixels between the cells of a grid, and anchors in each cell
_LARGEST_LOGIT = 100.0


class Detections(NamedTuple):
    """Faces in the net's picture, a row each."""

    boxes: NDArray[np.float64]  # (K, 4) left, top, right, bottom
    keypoints: NDArray[np.float64]  # (K, 6, 2)
    scores: NDArray[np.float64]  # (K,)

    def rows(self, chosen: NDArray[np.bool_]) -> "Detections":
        """Those that are chosen, (K,)."""
        return Detections(self.boxes[chosen], self.keypoints[chosen], self.scores[chosen])

    def moved(
        self, scale: float | NDArray[np.float64], shift: tuple[int, int] = (0, 0)
    ) -> "Detections":
        """In other coordinates: the same times a scale, of each axis or both, and shifted."""
        boxes = (self.boxes.reshape(-1, 2, 2) * scale + np.array(shift)).reshape(-1, 4)
        return Detections(boxes, self.keypoints * scale + np.array(shift), self.scores)


@lru_cache(maxsize=32)
def anchors(height: int = INPUT_SIZE, width: int = INPUT_SIZE) -> NDArray[np.float64]:
    """The centres of the anchors, grid after grid, each row by row.

    Args:
        height: Of the net's picture, a multiple of 16.
        width: The same.

    Returns:
        (K, 2) points, 896 for 128 x 128 pixels.

    >>> anchors().shape, anchors()[[0, 1, 2, -1]].tolist()
    ((896, 2), [[4.0, 4.0], [4.0, 4.0], [12.0, 4.0], [120.0, 120.0]])
    """
    grids = []
    for stride, repeats in _STRIDES:
        rows, columns = ((np.arange(length // stride) + 0.5) * stride for length in (height, width))
        y, x = np.meshgrid(rows, columns, indexing="ij")
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeats, axis=0))
    centers = np.concatenate(grids)
    centers.setflags(write=False)  # every caller gets this one
    return centers


def decode(
    regressors: NDArray[np.floating],
    logits: NDArray[np.floating],
    threshold: float,
    shape: tuple[int, int] = (INPUT_SIZE, INPUT_SIZE),
) -> Detections:
    """The anchors that see a face.

    Args:
        regressors: (K, 16): offset of the box's centre from the anchor, the box's width and
            height, offsets of the six keypoints from the anchor.
        logits: (K,) scores before the sigmoid.
        threshold: Least score.
        shape: (H, W) of the net's picture, see `anchors`.

    Returns:
        The detections, unsorted.

    >>> logits = np.full(896, -9.0)
    >>> logits[1] = 9
    >>> decode(np.tile([1.0, 2, 20, 30] + [0] * 12, (896, 1)), logits, 0.5).boxes.tolist()
    [[-5.0, -9.0, 15.0, 21.0]]
    """
    scores = 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -_LARGEST_LOGIT, _LARGEST_LOGIT)))
    is_face = scores >= threshold
    rows = regressors[is_face].astype(np.float64)
    origins = anchors(*shape)[is_face]
    center, half = origins + rows[:, :2], rows[:, 2:4] / 2
    return Detections(
        boxes=np.concatenate([center - half, center + half], axis=1),
        keypoints=origins[:, None] + rows[:, 4:].reshape(-1, KEYPOINTS, 2),
        scores=scores[is_face],
    )


def pool(parts: Sequence[Detections]) -> Detections:
    """All detections of several parts, one at least."""
    return Detections(*(np.concatenate(each) for each in zip(*parts, strict=True)))


def suppress(found: Detections, threshold: float = 0.3) -> Detections:
    """Weighted non-maximum suppression: boxes of one face become their mean, weighted by score.

    Args:
        found: Detections.
        threshold: Boxes of which more than this intersection over union lies in the best one are
            the same face.

    Returns:
        One detection a face with the score of its best one, the best face first.

    >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 12], [50, 50, 60, 60]])
    >>> found = Detections(boxes, np.zeros((3, 6, 2)), np.array([0.6, 0.9, 0.7]))
    >>> suppress(found).boxes.round(1).tolist()
    [[0.0, 0.0, 10.0, 11.2], [50.0, 50.0, 60.0, 60.0]]
    """
    left = np.argsort(-found.scores, kind="stable")
    boxes, keypoints, scores = [], [], []
    while len(left):
        same = overlap(found.boxes[left[0]], found.boxes[left]) > threshold
        same[0] = True
        members = left[same]
        weights = found.scores[members]
        boxes.append(np.average(found.boxes[members], axis=0, weights=weights))
        keypoints.append(np.average(found.keypoints[members], axis=0, weights=weights))
        scores.append(found.scores[left[0]])
        left = left[~same]
    return Detections(
        np.array(boxes).reshape(-1, 4),
        np.array(keypoints).reshape(-1, KEYPOINTS, 2),
        np.array(scores, dtype=np.float64),
    )


def overlap(box: NDArray[np.floating], boxes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of one box with many.

    Args:
        box: (4,) left, top, right, bottom.
        boxes: (K, 4).

    Returns:
        (K,) from 0 to 1.

    >>> overlap(np.array([0, 0, 2, 2]), np.array([[1, 0, 3, 2], [2, 2, 3, 3]]))
    array([0.33333333, 0.        ])
    """
    size = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = size.clip(min=0).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) - shared
    ratio: NDArray[np.float64] = shared / np.maximum(union, np.finfo(np.float64).tiny)
    return ratio
