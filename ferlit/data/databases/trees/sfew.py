"""A small SFEW 2.0 of synthetic people, with the database's layout and quirks."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.trees._wild import cropped_face, photograph_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

# The class folders with the expressions that they hold.
FOLDERS = {
    "Angry": "anger",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "happiness",
    "Neutral": "neutral",
    "Sad": "sadness",
    "Surprise": "surprise",
}
SIZE = (143, 181)
# An aligned "face" of the training part that is none.
NOT_A_FACE = "Airheads_000519240_00000099.png"
# Clips: film and start time. Each shows one person; no film is in two splits.
_TRAIN = ("Airheads_000519240", "Airheads_001404920", "21_001404920", "21_000230110")
_VAL = ("HarryPotter_Deathly_Hallows_1_005528520", "HarryPotter_Deathly_Hallows_1_001130040")
_TEST = ("Bridesmaids_000412200",)


def write_sfew(root: Path, *, seed: int = 0) -> None:
    """Write a tree with the layout of SFEW 2.0: 15 training, 7 validation and 4 test images.

    Each class has two images for training and one for validation; among the sad ones lies one more
    that is not a face.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_sfew(Path(folder, "SFEW"))
    ...     sorted(path.name for path in Path(folder, "SFEW").glob("Test/*/*.png"))
    ['Bridesmaids_000412200_00000001.png', 'Bridesmaids_000412200_00000002.png',
     'Bridesmaids_000412200_00000003.png', 'Bridesmaids_000412200_00000004.png']
    """
    rng = np.random.default_rng(seed)
    people = {clip: Person.random(rng) for clip in (*_TRAIN, *_VAL, *_TEST)}

    def write(folder: Path, clip: str, frame: int, expression: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        face = cropped_face(people[clip], expression, SIZE, rng)
        cv2.imwrite(str(folder / f"{clip}_{frame:08d}.png"), face)

    with new_tree(root) as tree:
        train, val = tree / "Train/Train_Aligned_Faces", tree / "Val/Val_Aligned_Faces"
        for number, (folder, expression) in enumerate(FOLDERS.items()):
            for k in range(2):
                write(train / folder, _TRAIN[(number + k) % 4], 10 * number + k + 1, expression)
            write(val / folder, _VAL[number % 2], number + 1, expression)
        for frame, expression in enumerate(("anger", "fear", "happiness", "neutral"), start=1):
            write(tree / "Test/Test_Aligned_Faces", _TEST[0], frame, expression)
        noise = rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        cv2.imwrite(str(train / "Sad" / NOT_A_FACE), noise)
        # The frames that the faces come from, and descriptors, lie beside the aligned faces.
        photograph, _ = photograph_of(people[_TRAIN[0]], "anger", rng)
        (tree / "Train/Angry").mkdir()
        whole = cv2.resize(photograph, (720, 576))
        cv2.imwrite(str(tree / "Train/Angry" / f"{_TRAIN[0]}_00000001.png"), whole)
        (tree / "Train/LPQ.mat").write_bytes(b"MATLAB 5.0 MAT-file")
        for stray in ("Train/.DS_Store", "Train/Train_Aligned_Faces/Angry/Thumbs.db"):
            (tree / stray).write_bytes(b"\0\0\0\1Bud1")
