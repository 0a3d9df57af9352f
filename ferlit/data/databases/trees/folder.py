"""Synthetic people in folders that are named for the expressions."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.trees._laboratory import face_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

# The class folders with the expressions that they hold, and the splits of the people.
FOLDERS = {
    "Neutral": "neutral",
    "angry": "anger",
    "contempt": "contempt",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
}
_SPLITS = {"S001": "train", "S002": "train", "S003": "validation", "S004": "test"}
_SIZE = (120, 150)


def write_folder(root: Path, *, splits: bool = True, seed: int = 0) -> None:
    """Write 34 pictures: four people with all eight expressions, and two that do not fit.

    ``happy/webcam.png`` is a smile whose name tells nobody, and the folder ``bored``, with one
    picture, is named for no expression.

    Args:
        root: A folder that does not exist.
        splits: Class folders below ``train``, ``validation`` and ``test``, with two, one and one of
            the people; otherwise directly in the root.
        seed: Fixes everything.

    Raises:
        DataError: ``root`` exists.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_folder(Path(folder, "mine"), splits=False)
    ...     sorted(path.name for path in Path(folder, "mine", "happy").iterdir())
    ['.DS_Store', 'S001_005.png', 'S002_005.png', 'S003_005.jpg', 'S004_005.png', 'webcam.png']
    """
    rng = np.random.default_rng(seed)
    with new_tree(root) as draft:
        for subject, split in _SPLITS.items():
            top = draft / split if splits else draft
            person = Person.random(rng)
            suffix = "jpg" if subject == "S003" else "png"
            for number, (name, expression) in enumerate(FOLDERS.items()):
                (top / name).mkdir(parents=True, exist_ok=True)
                face = face_of(person, expression, _SIZE, rng)
                cv2.imwrite(str(top / name / f"{subject}_{number:03d}.{suffix}"), face)
        top = draft / "train" if splits else draft
        (top / "bored").mkdir()
        face = face_of(person, "neutral", _SIZE, rng)
        cv2.imwrite(str(top / "bored" / "S004_008.png"), face)
        face = face_of(person, "happiness", _SIZE, rng)
        cv2.imwrite(str(top / "happy" / "webcam.png"), face)
        (top / "happy" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (draft / "README.txt").write_text("four people\n")
