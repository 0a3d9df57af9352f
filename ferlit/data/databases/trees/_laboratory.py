"""What the trees of databases recorded in a laboratory have in common."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.synthetic.drawing import Pose, draw_face
from ferlit.data.synthetic.person import Person

Picture = NDArray[np.uint8]


def face_of(
    person: Person,
    expression: str,
    size: tuple[int, int],
    rng: np.random.Generator,
    share: float = 1.0,
) -> Picture:
    """A face in the middle of a picture of a given size.

    Args:
        person: Who.
        expression: Which; "neutral" for none.
        size: Width and height, upright: the sides of the drawing are cut off.
        rng: Draws where the head is and the camera's noise.
        share: How much of the expression is shown.

    Returns:
        (H, W) grey.
    """
    movement = person.movement(expression)
    pose = Pose(x=rng.normal(0, 2), y=rng.normal(0, 2), angle=rng.normal(0, 0.01))
    partial = {unit: share * strength for unit, strength in movement.items()}
    picture, _ = draw_face(person, partial, pose, rng)
    height, width = picture.shape
    margin = max(0, round((width - height * size[0] / size[1]) / 2))
    return np.asarray(cv2.resize(picture[:, margin : width - margin], size), dtype=np.uint8)
