"""A small FER2013 of synthetic people in each of the forms that it is passed on in."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.fer2013 import CODES
from ferlit.data.databases.trees._aligned import Face, aligned_face, write_faces
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

FORMS = ("fer2013.csv", "icml_face_data.csv", "train.csv", "folders")
# What the people are used for, and what the class folders are called.
_USAGES = (*["Training"] * 4, "PublicTest", "PrivateTest")
_FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def write_fer2013(root: Path, *, form: str = "fer2013.csv", seed: int = 0) -> None:
    r"""Write 43 faces: six people with all seven expressions, and one twice.

    As in the database, a face comes again in another split: the last row is the first one, as
    PrivateTest. So Training has 28, PublicTest 7 and PrivateTest 8 faces.

    Args:
        root: A folder that does not exist.
        form: "fer2013.csv", "icml_face_data.csv" (spaces in the header), "train.csv" (with a
            test.csv without labels, as in the challenge) or "folders".
        seed: Fixes everything.

    Raises:
        DataError: ``root`` exists.
        ValueError: an unknown form.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_fer2013(Path(folder, "fer"), form="icml_face_data.csv")
    ...     Path(folder, "fer", "icml_face_data.csv").read_text()[:26]
    'emotion, Usage, pixels\n0,T'
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r}; known are {', '.join(FORMS)}")
    rng = np.random.default_rng(seed)
    faces = [
        Face(code, usage, aligned_face(person, expression, rng))
        for usage, person in [(usage, Person.random(rng)) for usage in _USAGES]
        for code, expression in enumerate(CODES)
    ]
    faces.append(faces[0]._replace(usage="PrivateTest"))
    with new_tree(root) as draft:
        if form == "folders":
            _write_folders(draft, faces)
        elif form == "train.csv":
            write_faces(draft / "train.csv", [face for face in faces if face.usage == "Training"])
            write_faces(draft / "test.csv", [face for face in faces if face.usage != "Training"])
        else:
            write_faces(draft / form, faces)
        (draft / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_folders(root: Path, faces: list[Face]) -> None:
    """``test`` holds both tests; the names tell them apart."""
    for row, face in enumerate(faces):
        part = "train" if face.usage == "Training" else "test"
        folder = root / part / _FOLDERS[face.code]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{face.usage}_{10_000_000 + row}.jpg"), face.picture)
    (root / "train" / "angry" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
