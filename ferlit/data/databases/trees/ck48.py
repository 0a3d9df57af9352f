"""The CK+48 twin of a CK+ tree: the same frames as small aligned faces in class folders."""

from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from ferlit.data.databases.ckplus import read_ckplus
from ferlit.data.databases.trees._aligned import central
from ferlit.data.faces.landmarks import read_landmarks
from ferlit.data.faces.registration import register
from ferlit.data.media.images import read_image
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.tree import write_ckplus


def write_ck48(root: Path, *, tree: Path | None = None, seed: int = 0) -> None:
    """Write the last three frames of each labelled sequence of a CK+ tree as CK+48 has them.

    Args:
        root: A folder that does not exist.
        tree: The CK+ tree, with landmarks; None for one of three people with all seven
            expressions, 63 images.
        seed: Fixes the people where there is no tree.

    Raises:
        DataError: ``root`` exists, or ``tree`` is no CK+ tree.

    >>> with TemporaryDirectory() as folder:
    ...     ckplus = Path(folder, "ckplus")
    ...     write_ckplus(ckplus, subjects=1, expressions_per_subject=1, frames=3)
    ...     write_ck48(Path(folder, "ck48"), tree=ckplus)
    ...     sorted(path.name for path in Path(folder, "ck48").rglob("*.png"))
    ['S005_001_00000001.png', 'S005_001_00000002.png', 'S005_001_00000003.png']
    """
    with TemporaryDirectory() as folder, new_tree(root) as draft:
        if tree is None:
            tree = Path(folder, "ckplus")
            write_ckplus(tree, subjects=3, seed=seed, expressions_per_subject=7, frames=3)
        for record in read_ckplus(tree).to_dict("records"):
            points = read_landmarks(tree / record["landmarks"])
            face = central(register(read_image(tree, record["image"]), points))
            name = record["expression"].replace("happiness", "happy")
            path = draft / "CK+48" / name / Path(record["image"]).name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), face)
        (draft / "CK+48" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
