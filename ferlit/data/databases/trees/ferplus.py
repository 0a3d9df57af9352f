"""A small FER+ of synthetic people: faces with the votes of ten people on each, in both forms."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.fer2013 import CODES
from ferlit.data.databases.ferplus.votes import COLUMNS
from ferlit.data.databases.trees._aligned import SIZE, Face, aligned_face, write_faces
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

FORMS = ("csv", "folders")
# The rows of what is no face and of what most could not tell.
NO_FACE, UNKNOWN = 5, 21
_PARTS = {
    "Training": "FER2013Train",
    "PublicTest": "FER2013Valid",
    "PrivateTest": "FER2013Test",
}
# How the people's expressions are voted on: for the one that is shown, the next two of the columns
# and "unknown"; a vote that misses goes to the third next.
_CLEAR, _MOST, _HALF, _THREE = (10, 0, 0, 0), (6, 3, 0, 0), (5, 4, 0, 0), (4, 3, 3, 0)
_UNSURE, _RATHER = (4, 2, 0, 3), (8, 0, 0, 2)
_USAGES = (*["Training"] * 4, "PublicTest", "PrivateTest")


def write_ferplus(root: Path, *, form: str = "csv", seed: int = 0) -> None:
    """Write 50 rows: six people with all eight expressions, one without a face, one unknown.

    Of the training part (32 expressions of four people) everybody agrees on 8, a majority on 24,
    and three expressions share 8; of the 8 for validation 4 are clear, and of the 4 others
    "unknown" has a third; of the 8 for testing all are clear, one of them by nine votes. Two rows
    more of the training part, 5 and 21, are no face, without a name, and one that most could not
    tell. As in the database, the numbers in the names count only the rows that have one.

    Args:
        root: A folder that does not exist.
        form: "csv" (``fer2013/fer2013.csv`` and ``ferplus/fer2013new.csv``) or "folders".
        seed: Fixes everything.

    Raises:
        DataError: ``root`` exists.
        ValueError: an unknown form.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_ferplus(Path(folder, "fer"))
    ...     Path(folder, "fer/ferplus/fer2013new.csv").read_text().splitlines()[2]
    'Training,fer0000001.png,0,10,0,0,0,0,0,0,0,0'
    """
    if form not in FORMS:
        raise ValueError(f"form={form!r}; known are {', '.join(FORMS)}")
    rng = np.random.default_rng(seed)
    faces: list[Face] = []
    votes: list[list[int]] = []
    for number, usage in enumerate(_USAGES):
        person = Person.random(rng)
        for shown, expression in enumerate(COLUMNS[:8]):
            # FER2013 has no contempt; such faces carry any of its labels.
            code = CODES.index(expression) if expression in CODES else CODES.index("neutral")
            faces.append(Face(code, usage, aligned_face(person, expression, rng)))
            votes.append(_votes(number, shown))
    votes[-1][COLUMNS.index("unknown")] -= 1
    noise = rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    for row, face, counts in (
        (NO_FACE, Face(0, "Training", noise), [0] * 9 + [10]),
        (UNKNOWN, faces[0], [4] + [0] * 7 + [6, 0]),
    ):
        faces.insert(row, face)
        votes.insert(row, counts)
    with new_tree(root) as draft:
        if form == "csv":
            _write_tables(draft, faces, votes)
        else:
            _write_folders(draft, faces, votes)


def _votes(person: int, shown: int) -> list[int]:
    kinds = (_CLEAR, _MOST, _HALF, _THREE, _RATHER if shown % 2 == 0 else _UNSURE, _RATHER)
    first, second, third, unknown = kinds[person]
    votes = [0] * len(COLUMNS)
    for offset, count in enumerate((first, second, third, 10 - sum(kinds[person]))):
        votes[(shown + offset) % 8] += count
    votes[COLUMNS.index("unknown")] = unknown
    return votes


def _names(votes: list[list[int]]) -> list[str]:
    """By row; the numbers pass over what is no face."""
    is_named = [counts[-1] < 10 for counts in votes]
    return [
        f"fer{sum(is_named[:row]):07d}.png" if named else "" for row, named in enumerate(is_named)
    ]


def _write_tables(root: Path, faces: list[Face], votes: list[list[int]]) -> None:
    for folder in ("fer2013", "ferplus"):
        (root / folder).mkdir()
    write_faces(root / "fer2013" / "fer2013.csv", faces)
    lines = [",".join(("Usage", "Image name", *COLUMNS))]
    for face, name, counts in zip(faces, _names(votes), votes, strict=True):
        lines.append(",".join((face.usage, name, *map(str, counts))))
    (root / "ferplus" / "fer2013new.csv").write_text("\n".join(lines) + "\n")


def _write_folders(root: Path, faces: list[Face], votes: list[list[int]]) -> None:
    for usage, part in _PARTS.items():
        folder = root / "data" / part
        folder.mkdir(parents=True)
        lines = []
        for face, name, counts in zip(faces, _names(votes), votes, strict=True):
            if face.usage != usage or not name:
                continue
            cv2.imwrite(str(folder / name), face.picture)
            box = f'"(0, 0, {SIZE}, {SIZE})"'
            lines.append(",".join((name, box, *map(str, counts))))
        (folder / "label.csv").write_text("\n".join(lines) + "\n")
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
