"""Small aligned faces, and FER2013's way of writing them into a CSV file."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.faces.registration import register
from ferlit.data.synthetic.drawing import Pose, draw_face
from ferlit.data.synthetic.person import Person

SIZE = 48
HEADERS = {
    "fer2013.csv": ("emotion", "pixels", "Usage"),
    "icml_face_data.csv": ("emotion", " Usage", " pixels"),
    "train.csv": ("emotion", "pixels"),
    "test.csv": ("pixels",),
}

Picture = NDArray[np.uint8]


class Face(NamedTuple):
    """A row of FER2013."""

    code: int
    usage: str
    picture: Picture  # (48, 48) grey


def aligned_face(person: Person, expression: str, rng: np.random.Generator) -> Picture:
    """The registered face of a person, cut to (48, 48).

    Args:
        person: Who.
        expression: Which; "neutral" for none.
        rng: Draws where the head is and the camera's noise.
    """
    movement = person.movement(expression)
    pose = Pose(x=rng.normal(0, 5), y=rng.normal(0, 5), angle=rng.normal(0, 0.05))
    return central(register(*draw_face(person, movement, pose, rng)))


def central(face: Picture) -> Picture:
    """The (48, 48) middle of a registered face."""
    border = (len(face) - SIZE) // 2
    return face[border : border + SIZE, border : border + SIZE]


def write_faces(path: Path, faces: Iterable[Face]) -> None:
    """Write a CSV file with the header, and the columns, that its name has in FER2013's forms."""
    header = HEADERS[path.name]
    lines = [",".join(header)]
    for face in faces:
        values = {
            "emotion": str(face.code),
            "pixels": " ".join(map(str, face.picture.ravel())),
            "Usage": face.usage,
        }
        lines.append(",".join(values[name.strip()] for name in header))
    path.write_text("\n".join(lines) + "\n")
