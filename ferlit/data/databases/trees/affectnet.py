"""A small AffectNet of synthetic people, in both of its forms."""

from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ferlit.data.databases.affectnet import CODES
from ferlit.data.databases.affectnet.lists import COLUMNS
from ferlit.data.databases.trees._wild import cropped_face, face_box, photograph_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person, Points

SIZE = (224, 224)
_VALENCES = dict.fromkeys(CODES, -0.5) | {"neutral": 0.0, "happiness": 0.7, "surprise": 0.2}
_OUTSIDE = "-2"  # valence and arousal of what shows no expression


def write_affectnet(root: Path, *, seed: int = 0, form: Literal["old", "new"] = "new") -> None:
    """Write a tree with a layout of AffectNet: 16 pictures for training, 8 for validation.

    Each expression is there twice and once. The old form's lists have five rows more: no
    expression, uncertain (twice) and no face, and one whose face was not found.

    Args:
        root: A folder that does not exist.
        seed: Fixes everything.
        form: "old", with CSV lists, of which the one for validation has no header, or "new", with a
            file of annotations each.

    Raises:
        DataError: ``root`` exists.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_affectnet(Path(folder, "tree"))
    ...     sorted(path.name for path in Path(folder, "tree").glob("*/annotations/0_*"))[:4]
    ['0_aro.npy', '0_aro.npy', '0_exp.npy', '0_exp.npy']
    """
    rng = np.random.default_rng(seed)
    people = [Person.random(rng) for _ in range(4)]
    with new_tree(root) as tree:
        (_write_old if form == "old" else _write_new)(tree, people, rng)
        (tree / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_old(tree: Path, people: list[Person], rng: np.random.Generator) -> None:
    lists = tree / "Manually_Annotated_file_lists"
    lists.mkdir()
    rows = {
        "training.csv": [",".join(COLUMNS)]
        + [_write_photograph(tree, people[(k + k // 8) % 4], k % 8, rng) for k in range(16)]
        + [_write_photograph(tree, people[0], code, rng) for code in (8, 9, 9, 10)]
        + [_write_photograph(tree, people[1], 6, rng, has_box=False)],
        "validation.csv": [_write_photograph(tree, people[k % 4], k, rng) for k in range(8)],
    }
    for name, lines in rows.items():
        (lists / name).write_text("\n".join(lines) + "\n")


def _write_photograph(
    tree: Path, person: Person, code: int, rng: np.random.Generator, has_box: bool = True
) -> str:
    """A whole picture; its row of a list is returned."""
    expression = CODES[code] if code < len(CODES) else "neutral"
    picture, points = photograph_of(person, expression, rng)
    suffix = str(rng.choice(["jpg", "JPG", "png"]))
    name = f"{rng.integers(1, 1000)}/{rng.bytes(28).hex()}.{suffix}"
    path = tree / "Manually_Annotated_Images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)
    box = face_box(points) if has_box else (-1, -1, -1, -1)
    affect = [f"{value:.6f}" for value in _affect(code, rng)] if code < 8 else [_OUTSIDE] * 2
    return ",".join([name, *map(str, box), _joined(points), str(code), *affect])


def _write_new(tree: Path, people: list[Person], rng: np.random.Generator) -> None:
    for folder, count in (("train_set", 16), ("val_set", 8)):
        for part in ("images", "annotations"):
            (tree / folder / part).mkdir(parents=True)
        for number in range(count):
            code = number % len(CODES)
            face = cropped_face(people[(number + number // 8) % 4], CODES[code], SIZE, rng)
            cv2.imwrite(str(tree / folder / "images" / f"{number}.jpg"), face)
            affect = _affect(code, rng)
            values = {
                # Both ways of storing a number occur.
                "exp": np.array(str(code)) if folder == "train_set" else np.array(code),
                "val": np.array(f"{affect[0]:.6f}"),
                "aro": np.array(f"{affect[1]:.6f}"),
                "lnd": rng.uniform(0, SIZE[0], 136),
            }
            for kind, value in values.items():
                np.save(tree / folder / "annotations" / f"{number}_{kind}.npy", value)


def _affect(code: int, rng: np.random.Generator) -> tuple[float, float]:
    """Valence and arousal; the valence goes with the expression."""
    valence, arousal = rng.uniform(-1, 1, 2)
    return _VALENCES[CODES[code]] + 0.2 * valence, arousal


def _joined(points: Points) -> str:
    return ";".join(f"{value:.2f}" for value in points.ravel())
