"""What the trees of databases gathered from films and the web have in common."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.synthetic.drawing import Pose, draw_face
from ferlit.data.synthetic.person import Person, Points

Picture = NDArray[np.uint8]

# Blue, green and red of a skin against its grey.
_TINT = (0.85, 0.95, 1.1)


def photograph_of(
    person: Person, expression: str, rng: np.random.Generator
) -> tuple[Picture, Points]:
    """A colour photograph with the head anywhere near its middle.

    Args:
        person: Who.
        expression: Which; "neutral" for none.
        rng: Draws the pose and the camera's noise.

    Returns:
        (490, 640, 3) in OpenCV's order of the colours, and (68, 2) landmarks in its pixels.
    """
    movement = person.movement(expression)
    pose = Pose(
        x=rng.uniform(-60, 60),
        y=rng.uniform(-10, 10),
        angle=rng.uniform(-0.15, 0.15),
        scale=rng.uniform(0.85, 1.05),
    )
    grey, points = draw_face(person, movement, pose, rng)
    colours = (grey[..., None] * np.array(_TINT)).clip(0, 255)
    return np.asarray(colours, dtype=np.uint8), points


def face_box(points: Points) -> tuple[int, int, int, int]:
    """Left, top, width and height of the square about the landmarks, a little larger than they."""
    center = (points.min(axis=0) + points.max(axis=0)) / 2
    side = 1.2 * float((points.max(axis=0) - points.min(axis=0)).max())
    left, top = np.round(center - side / 2).astype(int)
    return int(left), int(top), round(side), round(side)


def cropped_face(
    person: Person, expression: str, size: tuple[int, int], rng: np.random.Generator
) -> Picture:
    """The face cut out of a photograph, in colour.

    Args:
        person: Who.
        expression: Which; "neutral" for none.
        size: Width and height of the crop.
        rng: Draws the photograph.

    Returns:
        (H, W, 3) in OpenCV's order of the colours.
    """
    picture, points = photograph_of(person, expression, rng)
    left, top, side, _ = face_box(points)
    stretch = size[1] / size[0]
    x, y = left + side / 2, top + side / 2
    half_width, half_height = side / 2, side * stretch / 2
    corners = np.array(
        [
            (x - half_width, y - half_height),
            (x + half_width, y - half_height),
            (x - half_width, y + half_height),
        ],
        dtype=np.float32,
    )
    target = np.array([(0, 0), (size[0], 0), (0, size[1])], dtype=np.float32)
    crop = cv2.warpAffine(
        picture,
        cv2.getAffineTransform(corners, target),
        size,
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(crop, dtype=np.uint8)
