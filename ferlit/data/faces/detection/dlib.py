"""dlib's face detector and its 68 landmarks, an extra: ``pip install 'ferlit[dlib]'``.

Histograms of oriented gradients find the face (upright within about 30 degrees), and regression
trees its 68 points (Kazemi and Sullivan, One millisecond face alignment with an ensemble of
regression trees, CVPR 2014). The trees were trained on 300-W, whose licence excludes commercial
use.
"""

import importlib
import importlib.util
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection.found import Found
from ferlit.data.faces.detection.same import is_same
from ferlit.data.faces.landmarks import select_49
from ferlit.data.media.pictures import check_grey
from ferlit.errors import DataError

INSTALL = "pip install 'ferlit[dlib]'"
_POINTS = 68
_LEAST_FACE = 80  # pixels; the detector sees nothing smaller
_SMALLEST = 4 * _LEAST_FACE  # a picture with shorter sides is enlarged
_SMALLEST_SHARE = 16  # of the longer side: the smallest face looked for beside others
_BORDER = 0.25  # for the faces that fill the picture
_tools = threading.local()  # the detector keeps its pyramid between calls


@dataclass(frozen=True)
class DlibDetector:
    """Finds faces and their landmarks by dlib.

    Args:
        least_score: Of the detector; 0 is dlib's own choice, lower finds more.
        everywhere: Also look for faces of less than 80 pixels, down to a sixteenth of the longer
            side of the picture, beside larger ones.

    Raises:
        DataError: dlib or its model is not installed.
    """

    least_score: float = 0.0
    everywhere: bool = False

    def __post_init__(self) -> None:
        _loaded()  # fails here, not in the middle of a preparation

    def __call__(self, picture: NDArray[np.uint8]) -> list[Found]:
        """The faces of a picture.

        A picture with a side below 320 pixels is enlarged, and all get a black border, a quarter of
        the longer side, so that faces that fill the picture are found.

        Args:
            picture: (H, W) grey.

        Returns:
            The largest face first; [] where there is none.

        Raises:
            DataError: not a grey picture.
        """
        check_grey(picture)
        scale = max(1.0, _SMALLEST / min(picture.shape))
        faces = self._faces(picture, scale)
        closer = _SMALLEST_SHARE * _LEAST_FACE / max(picture.shape)
        if self.everywhere and closer > scale:
            # A face that is known keeps the landmarks that a preparation would find.
            for face in self._faces(picture, closer):
                if not any(is_same(other, face.box, face.points) for other in faces):
                    faces.append(face)
        return sorted(faces, key=lambda face: face.size, reverse=True)

    def _faces(self, picture: NDArray[np.uint8], scale: float) -> list[Found]:
        """The faces of the enlarged picture, in pixels of the picture itself."""
        detector, predictor = _loaded()
        large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        border = round(_BORDER * max(large.shape))
        large = np.pad(np.asarray(large, dtype=np.uint8), border)
        ratio = (large.shape[0] - 2 * border) / picture.shape[0]
        rectangles, scores, _ = detector.run(large, 0, self.least_score)
        faces = []
        for rectangle, score in zip(rectangles, scores, strict=True):
            shape = predictor(large, rectangle)
            points = np.array([(shape.part(k).x, shape.part(k).y) for k in range(_POINTS)])
            edges = (
                rectangle.left(),
                rectangle.top(),
                rectangle.right() + 1,
                rectangle.bottom() + 1,
            )
            left, top, right, bottom = ((np.array(edges) - border) / ratio - 0.5).tolist()
            points = select_49((points - border + 0.5) / ratio - 0.5)
            faces.append(Found(points, float(score), (left, top, right, bottom)))
        return faces


def _loaded() -> tuple[Any, Any]:
    """This thread's own detector and predictor."""
    if not hasattr(_tools, "loaded"):
        try:
            # The module of the same name, whatever this file is called.
            dlib = importlib.import_module("dlib")
        except ImportError as error:
            raise DataError(f"dlib is not installed ({error}); {INSTALL}") from error
        _tools.loaded = (dlib.get_frontal_face_detector(), _predictor(dlib))
    return _tools.loaded  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def _predictor(dlib: Any) -> Any:
    """Shared by the threads, as it is large and does not change."""
    # The package itself is not imported: it would need setuptools to find its own files.
    package = importlib.util.find_spec("face_recognition_models")
    folders = (package.submodule_search_locations if package else None) or []
    for folder in folders:
        path = Path(folder, "models", "shape_predictor_68_face_landmarks.dat")
        if path.is_file():
            return dlib.shape_predictor(str(path))
    raise DataError(f"face_recognition_models, which holds dlib's landmarks, is missing; {INSTALL}")
