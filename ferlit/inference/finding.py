"""The faces of a picture, cut out exactly as a preparation cuts out those of the training."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection import Detector, is_plausible, make_detector
from ferlit.data.faces.maker import make_face
from ferlit.errors import DataError, UsageError

logger = logging.getLogger(__name__)

FINDERS = ("mediapipe", "dlib")
ALIGNED = "none"  # the pictures are cropped faces


class RegisteredFace(NamedTuple):
    """A face of a picture, before it is recognised."""

    face: NDArray[np.uint8]  # (60, 60)
    box: tuple[float, float, float, float]  # left, top, right, bottom
    points: NDArray[np.float64] | None = None  # (49, 2), where they were looked for
    score: float | None = None  # of the detector


def choose_finder(trained_with: str, wanted: str | None = None) -> str:
    """What finds the faces: what the model was trained with, unless something else is wanted.

    A database's own landmarks do not come with other pictures, so that mediapipe takes their place.
    It also does for a model that was trained on aligned faces: a picture taken whole for a face
    would get a label even if there is none in it.

    Args:
        trained_with: See `ferlit.data.loading.preprocessing.Preprocessing`.
        wanted: "mediapipe", "dlib", or "none" where the pictures are cropped faces.

    Returns:
        One of these three.

    Raises:
        UsageError: something else is wanted.

    >>> choose_finder("database"), choose_finder("dlib"), choose_finder("mediapipe", "none")
    ('mediapipe', 'dlib', 'none')
    """
    if wanted is not None:
        if wanted not in (*FINDERS, ALIGNED):
            raise UsageError(
                f"landmarks={wanted!r}; known are mediapipe, dlib and none (cropped faces)"
            )
        return wanted
    if trained_with in FINDERS:
        return trained_with
    if trained_with == ALIGNED:
        logger.info(
            "the model was trained on cropped faces; mediapipe finds the faces here. If the "
            "pictures are cropped faces as well, say so with --aligned (landmarks='none')"
        )
    else:
        logger.info(
            "the model was trained with the %s's landmarks; mediapipe finds them here, which puts "
            "the eyes about a pixel elsewhere",
            trained_with,
        )
    return FINDERS[0]


@dataclass(frozen=True)
class FaceFinder:
    """Finds the faces of a picture and registers them.

    Args:
        detector: Finds faces and landmarks; None where every picture is a cropped face.

    >>> (found,) = FaceFinder(None)(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48))
    >>> found.face.shape, found.box
    ((60, 60), (-0.5, -0.5, 47.5, 47.5))
    """

    detector: Detector | None

    @classmethod
    def of(cls, landmarks: str, models: Path | None = None) -> "FaceFinder":
        """What `choose_finder` chose.

        Args:
            landmarks: The choice.
            models: See `ferlit.data.faces.detection.make_detector`.

        Raises:
            DataError: the models cannot be had, or dlib is not installed.
        """
        return cls(make_detector(landmarks, models, everywhere=True))

    def __call__(self, picture: NDArray[np.uint8]) -> list[RegisteredFace]:
        """The faces of a grey picture (H, W), the largest first; [] where there is none.

        Raises:
            FlatFaceError: the picture is to be a cropped face, and is plain.
        """
        if self.detector is None:
            height, width = picture.shape
            return [RegisteredFace(make_face(picture), (-0.5, -0.5, width - 0.5, height - 0.5))]
        faces = []
        for found in self.detector(picture):
            if not is_plausible(found, picture.shape):
                continue
            try:
                face = make_face(picture, found.points)
            except DataError as error:  # most of it lies outside of the picture, or it is plain
                logger.debug("a face at %s was left out: %s", found.box, error)
                continue
            faces.append(RegisteredFace(face, found.box, found.points, found.score))
        return faces
