"""The trees of the stages before the last one, of as many people as can be learned from.

The small trees of `ferlit.data.databases.trees` have a database's quirks, but few people.
"""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.fer2013 import CODES
from ferlit.data.databases.multipie import CAMERA_SETS
from ferlit.data.databases.trees._aligned import Face, aligned_face, write_faces
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

# A session and recording of each expression of Multi-PIE.
_RECORDINGS = {
    ("01", "01"): "neutral",
    ("01", "02"): "happiness",
    ("02", "02"): "surprise",
    ("03", "03"): "disgust",
}
_USAGES = (*["Training"] * 4, "PublicTest", "PrivateTest")


def write_many_fer2013(root: Path, *, people: int = 60, seed: int = 1) -> None:
    """Write FER2013's CSV file: everybody with all seven expressions, two thirds for training.

    Args:
        root: A folder that does not exist.
        people: Their number.
        seed: Fixes everything.

    Raises:
        DataError: ``root`` exists.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_many_fer2013(Path(folder, "fer"), people=2)
    ...     len(Path(folder, "fer", "fer2013.csv").read_text().splitlines())
    15
    """
    rng = np.random.default_rng(seed)
    everybody = [Person.random(rng) for _ in range(people)]
    with new_tree(root) as draft:
        write_faces(
            draft / "fer2013.csv",
            [
                Face(code, _USAGES[number % len(_USAGES)], aligned_face(person, expression, rng))
                for number, person in enumerate(everybody)
                for code, expression in enumerate(CODES)
            ],
        )


def write_many_multipie(root: Path, *, people: int = 24, seed: int = 2) -> None:
    """Write aligned faces in Multi-PIE's folders: four expressions from five cameras each.

    Every camera sees another turn of the head; the light is that of the frontal flash.

    Args:
        root: A folder that does not exist.
        people: Their number, at most 999.
        seed: Fixes everything.

    Raises:
        DataError: ``root`` exists.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_many_multipie(Path(folder, "pie"), people=1)
    ...     sum(1 for _ in Path(folder, "pie").rglob("001_*_07.png"))
    20
    """
    rng = np.random.default_rng(seed)
    with new_tree(root) as draft:
        for number in range(1, people + 1):
            person, subject = Person.random(rng), f"{number:03d}"
            for (session, recording), expression in _RECORDINGS.items():
                for camera in CAMERA_SETS["frontal5"]:
                    folder = draft / f"session{session}/multiview/{subject}/{recording}/{camera}"
                    folder.mkdir(parents=True)
                    name = f"{subject}_{session}_{recording}_{camera.replace('_', '')}_07.png"
                    cv2.imwrite(str(folder / name), aligned_face(person, expression, rng))
