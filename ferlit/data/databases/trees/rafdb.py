"""A small RAF-DB of synthetic people, in each of the forms that it is passed on in."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ferlit.data.databases.rafdb import CODES
from ferlit.data.databases.trees._wild import cropped_face, face_box, photograph_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

LIST = "list_patition_label.txt"
SIZE = (100, 100)


def write_rafdb(
    root: Path, *, seed: int = 0, form: Literal["official", "flat", "folders"] = "official"
) -> None:
    """Write a tree with the layout of RAF-DB: 14 pictures for training and 7 for the test.

    Each expression is there twice and once.

    Args:
        root: A folder that does not exist.
        seed: Fixes everything.
        form: "official", with aligned and original pictures; "flat", aligned pictures in ``train``
            and ``valid`` beside the list; or "folders", class folders without a list.

    Raises:
        DataError: ``root`` exists.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_rafdb(Path(folder, "RAF-DB"))
    ...     print(Path(folder, "RAF-DB/basic/EmoLabel", LIST).read_text()[:36])
    train_00001.jpg 1
    train_00002.jpg 1
    """
    rng = np.random.default_rng(seed)
    people = [Person.random(rng) for _ in range(4)]
    names = {f"train_{number + 1:05d}": str(number // 2 + 1) for number in range(14)}
    names |= {f"test_{number + 1:04d}": str(number + 1) for number in range(7)}
    with new_tree(root) as tree:
        top = tree / "basic" if form == "official" else tree
        for number, (name, code) in enumerate(names.items()):
            person, split = people[number % len(people)], name.partition("_")[0]
            aligned = (
                top
                / {
                    "official": "Image/aligned",
                    "flat": "train" if split == "train" else "valid",
                    "folders": f"{split}/{code}",
                }[form]
            )
            aligned.mkdir(parents=True, exist_ok=True)
            face = cropped_face(person, CODES[code], SIZE, rng)
            cv2.imwrite(str(aligned / f"{name}_aligned.jpg"), face)
            if form == "official":
                _write_original(top, name, person, CODES[code], rng)
        if form != "folders":
            labels = top / "EmoLabel" if form == "official" else top
            labels.mkdir(exist_ok=True)
            lines = "".join(f"{name}.jpg {code}\n" for name, code in names.items())
            (labels / LIST).write_text(lines)
        (top / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_original(
    top: Path, name: str, person: Person, expression: str, rng: np.random.Generator
) -> None:
    """The whole picture, with the box of the face that a detector found."""
    picture, points = photograph_of(person, expression, rng)
    left, right = top / "Image/original", top / "Annotation/auto"
    for folder in (left, right):
        folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(left / f"{name}.jpg"), picture)
    x, y, width, height = face_box(points)
    (right / f"{name}_auto_attri.txt").write_text(f"{x} {y} {x + width} {y + height}\n")
