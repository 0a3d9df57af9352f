"""Synthetic people in a record table of one's own."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.drawing import draw_face
from ferlit.data.synthetic.person import Person

_NAMES = {
    "neutral": "Neutral",
    "anger": "angry",
    "contempt": "contempt",
    "disgust": "disgusted",
    "fear": "fear",
    "happiness": "smile",
    "sadness": "Sad",
    "surprise": "surprise",
}
_SPLITS = {"anna": "train", "ben": "validation", "carla": "test"}
_FRAMES = 2
# Rows that cannot be used: an expression that is none, no such file, a file outside the root.
WRONG_ROWS = (
    "faces/anna_neutral_1.png,bored,anna,anna_bored,1,train,",
    "faces/nobody.png,happy,anna,,,train,",
    "../anna.png,happy,anna,,,train,",
)


def write_csv_table(root: Path, *, seed: int = 0) -> None:
    r"""Write a table of 52 rows, of which 49 can be used.

    Three people show all eight expressions in two frames each, and those of anna have landmarks.
    A row more has no label, and three are the `WRONG_ROWS`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_csv_table(Path(folder, "mine"))
    ...     print(*Path(folder, "mine", "records.csv").read_text().splitlines()[:2], sep="\n")
    image,expression,identity,sequence,frame,split,landmarks
    faces/anna_neutral_1.png,Neutral,anna,anna_neutral,1,train,points/anna_neutral_1.txt
    """
    rng = np.random.default_rng(seed)
    with new_tree(root) as draft:
        for folder in ("faces", "points"):
            (draft / folder).mkdir()
        lines = ["image,expression,identity,sequence,frame,split,landmarks"]
        for person_name, split in _SPLITS.items():
            person = Person.random(rng)
            for expression, name in _NAMES.items():
                for frame in range(1, _FRAMES + 1):
                    stem = f"{person_name}_{expression}_{frame}"
                    _write_face(draft, stem, person, expression, frame / _FRAMES)
                    points = f"points/{stem}.txt" if person_name == "anna" else ""
                    sequence = f"{person_name}_{expression}"
                    row = (name, person_name, sequence, str(frame), split, points)
                    lines.append(",".join((f"faces/{stem}.png", *row)))
        _write_face(draft, "unlabelled", person, "fear", 1.0)
        lines += ["faces/unlabelled.png,,carla,,,test,", *WRONG_ROWS]
        (draft / "records.csv").write_text("\n".join(lines) + "\n")


def _write_face(root: Path, stem: str, person: Person, expression: str, share: float) -> None:
    movement = person.movement(expression)
    partial = {unit: share * strength for unit, strength in movement.items()}
    picture, points = draw_face(person, partial)
    cv2.imwrite(str(root / "faces" / f"{stem}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if stem.startswith("anna"):
        np.savetxt(root / "points" / f"{stem}.txt", points, fmt="%.4f")
