"""From the record of an image to its registered face, or to the reason why there is none."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection import Detector, plausible_faces
from ferlit.data.faces.flatness import check_face
from ferlit.data.faces.landmarks import landmarks_below
from ferlit.data.faces.registration import pad_aligned, register
from ferlit.data.media.images import read_image
from ferlit.errors import DataError


def make_face(
    picture: NDArray[np.uint8], points: NDArray[np.floating] | None = None
) -> NDArray[np.uint8]:
    """The (60, 60) face of a picture, in training and in recognition.

    Args:
        picture: (H, W) grey.
        points: Its landmarks; None where the picture is an aligned face.

    Raises:
        DataError: it cannot be registered by these landmarks.
        FlatFaceError: it shows nothing.
    """
    return check_face(pad_aligned(picture) if points is None else register(picture, points))


class Made(NamedTuple):
    """What became of an image."""

    face: NDArray[np.uint8] | None  # (60, 60)
    reason: str = ""  # why there is no face
    faces_found: int = 0  # in the picture, where faces were looked for


@dataclass(frozen=True)
class FaceMaker:
    """Makes the faces of one database.

    Args:
        root: Its folder.
        landmarks: As `ferlit.data.preparation.landmarks.choose_landmarks` returns it.
        detector: Finds the landmarks, where they must be found.
        read_landmarks: From the root and a name in the record table to the landmarks that come with
            an image.
    """

    root: Path
    landmarks: str
    detector: Detector | None = None
    read_landmarks: Callable[[Path, str], NDArray[np.float64]] = landmarks_below

    def __call__(self, image: str, points: str) -> Made:
        """The face of an image; of several in a picture, the largest.

        Args:
            image: Its name in the record table.
            points: The name of its landmarks there.
        """
        try:
            return self._make(image, points)
        except DataError as error:
            # The caller names the image; other files are named from the root on.
            reason = str(error).removeprefix(f"{self.root / image}: ")
            return Made(None, reason.replace(f"{self.root}{os.sep}", ""))

    def _make(self, image: str, points: str) -> Made:
        picture = read_image(self.root, image)
        if self.landmarks == "none":
            return Made(make_face(picture))
        if self.detector is not None:
            faces = plausible_faces(self.detector, picture)
            return Made(make_face(picture, faces[0].points), faces_found=len(faces))
        if not points:
            return Made(None, "it has no landmarks")
        return Made(make_face(picture, self.read_landmarks(self.root, points)))
