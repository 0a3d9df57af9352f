"""A small JAFFE of synthetic people, with the database's layout and quirks."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.jaffe import CODES
from ferlit.data.databases.trees._laboratory import face_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

# The last one is called like an expression.
SUBJECTS = ("KA", "KL", "SA")
SIZE = (256, 256)


def write_jaffe(root: Path, *, seed: int = 0) -> None:
    """Write a tree with the layout of JAFFE: 23 pictures of three people.

    Each has every expression once; two have a second take of one.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_jaffe(Path(folder, "tree"))
    ...     sorted(path.name for path in Path(folder, "tree").glob("jaffe/KA.A*"))
    ['KA.AN1.1.tiff', 'KA.AN2.2.tiff']
    """
    rng = np.random.default_rng(seed)
    serial = 0
    with new_tree(root) as tree:
        (tree / "jaffe").mkdir()
        for subject, twice in zip(SUBJECTS, ("AN", "HA", ""), strict=True):
            person = Person.random(rng)
            for code, expression in CODES.items():
                for take in range(1, 3 if code == twice else 2):
                    serial += 1
                    name = f"{subject}.{code}{take}.{serial}.tiff"
                    picture = face_of(person, expression, SIZE, rng)
                    cv2.imwrite(str(tree / "jaffe" / name), picture)
        (tree / "jaffe/README").write_text("The Japanese Female Facial Expression Database\n")
        (tree / "jaffe/.DS_Store").write_bytes(b"\0\0\0\1Bud1")
