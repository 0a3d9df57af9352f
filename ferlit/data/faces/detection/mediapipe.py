"""MediaPipe's face detector and face mesh, run by OpenCV.

Two nets: BlazeFace (`blazeface`) finds the face; the mesh (Kartynnik et al., Real-time facial
surface geometry from monocular video on mobile GPUs, 2019) places 468 points in an upright crop of
it, 49 of which stand for the landmarks. The files of both are found or fetched by `models`.

BlazeFace wants a head with something around it that is not too small. So a picture is searched as a
whole first; where there is no face, or one that fills more than half of it, the picture gets a
black border, a quarter and then half as wide as its longer side; if there is still no face, its
parts are searched, a half and a quarter as large, where the net has as many pixels. What cannot be
a face (`plausibility`) does not end the search.

That suffices for the largest face, which is what a preparation wants. For recognition, closer looks
(`closer`) find those beside it. A head a quarter as large as the longer side of the picture is
usually seen in the whole; closer looks find nearly all down to a tenth, and two in three at a
sixteenth (`python -m benchmarks.detection`). A face whose middle lies within another one is taken
for a part of it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.detection.blazeface import INPUT_SIZE, Detections, decode, pool, suppress
from ferlit.data.faces.detection.closer import look_closer
from ferlit.data.faces.detection.crops import Crop, crop_of_box, crop_of_mesh, rotation
from ferlit.data.faces.detection.found import Found
from ferlit.data.faces.detection.nets import net, run
from ferlit.data.faces.detection.plausibility import is_plausible
from ferlit.data.faces.detection.same import is_same
from ferlit.data.faces.detection.squares import Square, centered_square, cut, overlapping_squares
from ferlit.data.media.pictures import check_grey
from ferlit.errors import DataError

# The points of the mesh that stand for the 49 landmarks, in their order.
_BROWS = (71, 63, 105, 66, 107, 336, 296, 334, 293, 301)
_NOSE = (168, 197, 5, 4, 75, 97, 2, 326, 305)
_EYES = (33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380)
_OUTER_MOUTH = (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)
_INNER_MOUTH = (82, 13, 312, 317, 14, 87)
MESH_POINTS = _BROWS + _NOSE + _EYES + _OUTER_MOUTH + _INNER_MOUTH
# Where the mesh has the first keypoints of the detector: the eyes, the nose's tip, the mouth.
_SEEN_BY_BOTH = (_EYES[:6], _EYES[6:], (4,), _OUTER_MOUTH)
_MESH = 468
_MESH_SIZE = 192

_BORDERS = (0.0, 0.25, 0.5)
_LARGEST = 16384  # pixels of a square's side
_FILLS = 0.5  # of the searched square: the box of a larger face is unsure
_LEAST_AT_FIRST = 0.1  # presence in the first crop of a closer look; faces have 0.2 and more
_OUTPUTS = ("regressors", "classificators"), ("conv2d_21", "conv2d_31")


@dataclass(frozen=True)
class MediaPipeDetector:
    """Finds faces and their landmarks by MediaPipe's nets.

    Args:
        detection_model: ``face_detection_short_range.tflite``.
        mesh_model: ``face_landmark.tflite``.
        least_score: Of the detector, 0 to 1. At 0.3 more faces are found and many that are none.
        least_presence: How likely the crop must be a face for the mesh, 0 to 1.
        everywhere: Also look for faces beside those that are found at first sight.

    Raises:
        DataError: a score is not from 0 to 1, or this OpenCV cannot run the nets.
    """

    detection_model: Path
    mesh_model: Path
    least_score: float = 0.5
    least_presence: float = 0.5
    everywhere: bool = False

    def __post_init__(self) -> None:
        for name in ("least_score", "least_presence"):
            if not 0 <= getattr(self, name) <= 1:
                raise DataError(f"{name}={getattr(self, name)}: from 0 to 1")
        for path in (self.detection_model, self.mesh_model):
            net(path)  # fails here, not in the middle of a preparation

    def __call__(self, picture: NDArray[np.uint8]) -> list[Found]:
        """The faces of a picture.

        Args:
            picture: (H, W) grey.

        Returns:
            The largest face first; [] where there is none. Where nothing plausible is found, what
            was found first.

        Raises:
            DataError: not a grey picture.
        """
        check_grey(picture)
        if not self.everywhere:
            return _first_plausible(self._searches(picture), picture.shape)
        faces = _first_plausible(self._whole(picture), picture.shape)
        return self._beside(picture, faces)

    def _searches(self, picture: NDArray[np.uint8]) -> Iterator[list[Found]]:
        """The faces found in one way after the other."""
        yield from self._whole(picture)
        for squares in overlapping_squares(picture.shape, INPUT_SIZE):
            each = [self._detect(picture, square) for square in squares]
            yield self._faces(picture, suppress(pool(each)))

    def _whole(self, picture: NDArray[np.uint8]) -> Iterator[list[Found]]:
        """The same by looking at the whole picture."""
        filling: list[Detections] = []
        for border in _BORDERS:
            square = centered_square(picture.shape, border)
            found = suppress(self._detect(picture, square))
            sides = found.boxes[:, 2:] - found.boxes[:, :2]
            if sides.max(initial=0) > _FILLS * square.side:
                filling.append(found)
            else:
                yield self._faces(picture, found)
        for found in reversed(filling):
            yield self._faces(picture, found)

    def _beside(self, picture: NDArray[np.uint8], faces: list[Found]) -> list[Found]:
        """The plausible ones of these faces and others, the largest first."""
        faces = [face for face in faces if is_plausible(face, picture.shape)]
        boxes = [face.box for face in faces]
        found = look_closer(picture, boxes, self._blazeface, self.least_score)
        for box, keypoints, score in zip(*found, strict=True):
            if any(is_same(face, box, keypoints[: len(_SEEN_BY_BOTH)]) for face in faces):
                continue
            face = self._face(picture, box, keypoints, score, least_at_first=_LEAST_AT_FIRST)
            if face is not None and is_plausible(face, picture.shape):
                faces.append(face)
        return sorted(faces, key=lambda face: face.size, reverse=True)

    def _faces(self, picture: NDArray[np.uint8], found: Detections) -> list[Found]:
        """The detections that are faces for the mesh too, with their landmarks."""
        faces = [self._face(picture, *detection) for detection in zip(*found, strict=True)]
        return sorted(filter(None, faces), key=lambda face: face.size, reverse=True)

    def _face(
        self,
        picture: NDArray[np.uint8],
        box: NDArray[np.float64],
        keypoints: NDArray[np.float64],
        score: float,
        least_at_first: float = 0.0,
    ) -> Found | None:
        # The second crop is made from the first mesh: better where the box is off.
        first, presence = self._mesh(picture, crop_of_box(box, keypoints))
        if presence < least_at_first:
            return None
        mesh, presence = self._mesh(picture, crop_of_mesh(first))
        if presence < self.least_presence:
            return None
        left, top, right, bottom = (box - 0.5).tolist()
        apart = _disagreement(box, keypoints, first, mesh)
        return Found(mesh[list(MESH_POINTS)] - 0.5, float(score), (left, top, right, bottom), apart)

    def _detect(self, picture: NDArray[np.uint8], square: Square) -> Detections:
        """BlazeFace in one square."""
        whole = square
        if (factor := math.ceil(square.side / _LARGEST)) > 1:
            # Without this the square of a large panorama would not fit into the memory.
            height, width = (max(length // factor, 1) for length in picture.shape)
            picture = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
            square = Square(*(length // factor for length in square))
        small = cv2.resize(
            cut(picture, square),
            (INPUT_SIZE, INPUT_SIZE),
            interpolation=cv2.INTER_AREA if square.side > INPUT_SIZE else cv2.INTER_LINEAR,
        )
        found = self._blazeface(np.asarray(small, dtype=np.uint8), self.least_score)
        return found.moved(whole.side / INPUT_SIZE, (whole.left, whole.top))

    def _blazeface(
        self, picture: NDArray[np.uint8], least_score: float, look: int = -1
    ) -> Detections:
        """BlazeFace in a picture whose sides are multiples of 16."""
        values = picture / np.float32(127.5) - 1
        regressors, logits = run(self.detection_model, values, _OUTPUTS[0], look + 1)
        shape = picture.shape[0], picture.shape[1]
        return decode(regressors.reshape(-1, 16), logits.reshape(-1), least_score, shape)

    def _mesh(self, picture: NDArray[np.uint8], crop: Crop) -> tuple[NDArray[np.float64], float]:
        """The mesh, (468, 2), counted from the corner of the picture, and how likely it is one."""
        linear = rotation(crop.angle) * (crop.side / _MESH_SIZE)
        origin = crop.center - linear @ (_MESH_SIZE / 2, _MESH_SIZE / 2)
        # The warp counts from the centres of pixels.
        shift = origin + linear @ (0.5, 0.5) - 0.5
        upright = cv2.warpAffine(
            picture,
            np.column_stack([linear, shift]),
            (_MESH_SIZE, _MESH_SIZE),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        points, logit = run(self.mesh_model, upright / np.float32(255), _OUTPUTS[1])
        mesh = points.reshape(_MESH, 3)[:, :2].astype(np.float64) @ linear.T + origin
        return mesh, 1 / (1 + math.exp(-float(logit.reshape(-1)[0])))


def _first_plausible(searches: Iterator[list[Found]], shape: tuple[int, ...]) -> list[Found]:
    """What is found first and has a plausible face, else what is found first."""
    first: list[Found] = []
    for faces in searches:
        if any(is_plausible(face, shape) for face in faces):
            return faces
        first = first or faces
    return first


def _disagreement(
    box: NDArray[np.float64],
    keypoints: NDArray[np.float64],
    first: NDArray[np.float64],
    mesh: NDArray[np.float64],
) -> float:
    """How far detector and mesh, and the two meshes, are apart, as a share of the box's side."""
    center = [mesh[list(points)].mean(axis=0) for points in _SEEN_BY_BOTH]
    from_detector = np.linalg.norm(keypoints[: len(center)] - center, axis=1).mean()
    from_first = np.linalg.norm((mesh - first)[list(MESH_POINTS)], axis=1).mean()
    return float((from_detector + from_first) / (box[2:] - box[:2]).max())
