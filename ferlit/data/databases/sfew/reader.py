"""SFEW 2.0: static facial expressions in the wild, 1,766 frames of films.

Dhall et al., Video and image based emotion recognition challenges in the wild: EmotiW 2015, ICMI
2015. Three archives of aligned faces (143 x 181 pixels, in colour) unpack into one folder::

    Train/Train_Aligned_Faces/Angry/Airheads_000519240_00000005.png
    Val/Val_Aligned_Faces/Happy/21_001404920_00000004.png           or Val_Aligned_Faces_new
    Test/Test_Aligned_Faces/Bridesmaids_000412200_00000012.png      flat: no labels are given out

A name tells the film, the time at which the clip starts and the number of the frame in the clip;
the film may be a number or contain underscores. No part of it is a person: the database names
nobody. `clip_of` gives what comes closest, as the frames of one clip mostly show one face.

The faces are cut out roughly, so they still need registration. About 130 of them are not faces; a
list of such names can be excluded.
"""

import logging
from collections.abc import Iterator
from pathlib import Path, PurePath

import pandas as pd

from ferlit.data.clips import clip_of
from ferlit.data.databases.base import RESEARCH_ONLY, Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read, warn_of_unused
from ferlit.data.databases.sfew.labels import TABLE, check_labels
from ferlit.data.records import canonical_expression, record_table
from ferlit.data.texts import composed, read_text
from ferlit.errors import DataError

CLASSES = ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise")
PUBLISHED = Published("images", total=1_766, splits={"train": 958, "val": 436, "test": 372})
# Each split with the folders that hold it, best first: the "new" faces replace the first edition's.
_FOLDERS = {
    "train": ("Train", ("Train_Aligned_Faces",)),
    "val": ("Val", ("Val_Aligned_Faces_new", "Val_Aligned_Faces")),
    "test": ("Test", ("Test_Aligned_Faces",)),
}
_LAYOUT = "Train/Train_Aligned_Faces/Angry/..., Val/Val_Aligned_Faces/..., Test/Test_Aligned_Faces"
logger = logging.getLogger(__name__)

_Row = dict[str, str]


def read_sfew(root: Path, *, exclude: Path | None = None) -> pd.DataFrame:
    """Read the aligned faces of SFEW 2.0.

    A class folder or an image with an unexpected name is listed as unread, as is an image of which
    there are several in other folders. Where the copy has a table of labels
    (``sfew_2.0_labels.csv``), it is held against the folders.

    Args:
        root: The folder that holds ``Train``, ``Val`` and ``Test``, or the one above it; the
            folders of the archives may also lie there directly.
        exclude: A text file with the name of an image a line: those are left out.

    Returns:
        The record table; the images of the test have no expression.

    Raises:
        DataError: there are no such folders, no images in them, no file ``exclude``, or a table of
            labels disagrees with the folders.

    >>> read_sfew(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no SFEW 2.0, that is Train/Train_Aligned_Faces...
    """
    unwanted = set() if exclude is None else _names_in(Path(exclude))
    folders = {split: folder for split in _FOLDERS if (folder := _folder_of(root, split))}
    if not folders:
        raise DataError(
            f"{root}: there is no SFEW 2.0, that is {_LAYOUT}; unpack Train_Aligned_Faces.zip, "
            "Val_Aligned_Faces_new.zip and Test_Aligned_Faces.zip there"
        )
    unread: dict[str, str] = {}
    rows = [row for split in folders for row in _rows(folders[split], root, split, unread)]
    rows = _distinct(rows, unread)
    _check_table(root, rows)
    if not rows:
        places = ", ".join(str(folder) for folder in folders.values())
        raise nothing_read(
            f"{places}: no images named as Airheads_000519240_00000005.png; expected: {_LAYOUT}",
            unread,
        )
    found = set().union(*(_names_of(row) for row in rows))
    if lost := sorted(unwanted - found):
        some = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        logger.warning("%s: %d names to exclude are no images: %s", exclude, len(lost), some)
    return record_table((row for row in rows if not _names_of(row) & unwanted), unread)


def _distinct(rows: list[_Row], unread: dict[str, str]) -> list[_Row]:
    """The rows without the frames that lie in several folders, which cannot all be right."""
    same: dict[str, list[str]] = {}
    for row in rows:
        same.setdefault(PurePath(row["image"]).stem, []).append(row["image"])
    for images in same.values():
        if len(images) > 1:
            places = " and ".join(PurePath(image).parent.as_posix() for image in images)
            unread |= dict.fromkeys(images, f"the frame is in {places}")
    return [row for row in rows if row["image"] not in unread]


def _check_table(root: Path, rows: list[_Row]) -> None:
    """Hold the folders against the table of labels of some copies."""
    tables = (root / place / TABLE for place in ("", "SFEW"))
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        return
    folders = {
        PurePath(composed(row["image"])).stem: (row["expression"], row["split"]) for row in rows
    }
    if lost := sorted(check_labels(table, folders)):
        some = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        logger.warning("%s: %d images have no row: %s", table, len(lost), some)


def _names_of(row: _Row) -> set[str]:
    """How a list may call the image: with or without the suffix."""
    path = PurePath(composed(row["image"]))
    return {path.name, path.stem}


def _folder_of(root: Path, split: str) -> Path | None:
    """The folder of a split's aligned faces."""
    part, names = _FOLDERS[split]
    candidates = (
        top / folder
        for top in (root, root / "SFEW")
        for name in names
        for folder in (Path(part, name), Path(name))
    )
    found = [folder for folder in candidates if folder.is_dir()]
    if found:
        warn_of_unused(root, found[:1], found[1:])
    return found[0] if found else None


def _rows(folder: Path, root: Path, split: str, unread: dict[str, str]) -> Iterator[_Row]:
    """The images of a split; they lie in class folders, but those of the test directly."""
    if split == "test":
        yield from _images(folder, root, split, "", unread)
    else:
        for image in image_files(folder):
            unread[below(root, image)] = "the image lies in no class folder"
    for class_folder in sorted(folder.glob("*/")):
        expression = _expression(class_folder.name)
        if is_stray(class_folder.name):
            continue
        if split == "test":
            reason = "a folder, but the images of the test are in no class folders"
            unread[below(root, class_folder)] = reason
        elif expression is None:
            reason = f"the folder is no expression of SFEW; known are {', '.join(CLASSES)}"
            unread[below(root, class_folder)] = reason
        else:
            yield from _images(class_folder, root, split, expression, unread)


def _images(
    folder: Path, root: Path, split: str, expression: str, unread: dict[str, str]
) -> Iterator[_Row]:
    for image in image_files(folder):
        try:
            clip_of(image.name)
        except DataError as error:
            unread[below(root, image)] = str(error)
        else:
            if image.is_file():
                yield {"image": below(root, image), "expression": expression, "split": split}


def _expression(folder: str) -> str | None:
    try:
        expression = canonical_expression(folder)
    except DataError:
        return None
    return expression if expression in CLASSES else None


def _names_in(path: Path) -> set[str]:
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: the list of images to exclude cannot be read ({error.strerror}); give a text "
            "file with a name a line"
        ) from error
    return {composed(line) for line in lines if line.strip()}


SFEW = Database(
    name="sfew",
    classes=CLASSES,
    reader=read_sfew,
    layout=_LAYOUT,
    licence=f"{RESEARCH_ONLY}; frames of films, whose rights are with their owners",
    unused=("*Train/*", "*Val/*", "*Test/*", "*_Aligned_Faces*"),
    has_identities=False,
    published=(PUBLISHED,),
    options=(
        Option(
            "exclude",
            None,
            "text file with the name of an image a line, such as those that are not faces; they "
            "are left out",
            kind=Path,
        ),
    ),
)
