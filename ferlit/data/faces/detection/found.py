"""What a detector finds in a picture, and what a detector is."""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Found(NamedTuple):
    """A face in a picture; (0, 0) is the centre of the pixel at the upper left."""

    points: NDArray[np.float64]  # (49, 2), see ferlit.data.faces.landmarks
    score: float  # how sure the detector is; only comparable within one detector
    box: Box
    # How far the stages of the detector are apart about the landmarks, as a share of the box.
    disagreement: float = 0.0

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
