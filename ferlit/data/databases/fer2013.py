"""FER2013: 35,887 aligned 48 x 48 faces from the web, with an official split and no identities.

Goodfellow et al., Challenges in representation learning: a report on three machine learning
contests, ICONIP 2013. It is passed on in several forms, all of which are read, in the root or in a
folder ``fer2013`` below it:

- ``fer2013.csv`` (emotion,pixels,Usage), or ``icml_face_data.csv`` (emotion, Usage, pixels, with
  spaces in the header);
- ``train.csv`` (emotion,pixels) and ``test.csv`` (pixels; its labels are withheld);
- folders ``train/happy/Training_100.jpg``, ``test/happy/PublicTest_100.jpg``.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read
from ferlit.data.images import csv_header, csv_rows
from ferlit.data.records import EXPRESSIONS, canonical_expression, record_table
from ferlit.errors import DataError

# The expressions by their code in the CSV files.
CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
_CODES = {str(code): name for code, name in enumerate(CODES)}
USAGES = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
PUBLISHED = Published(
    "images",
    total=35_887,
    expressions={
        "neutral": 6198,
        "anger": 4953,
        "disgust": 547,
        "fear": 5121,
        "happiness": 8989,
        "sadness": 6077,
        "surprise": 4002,
    },
    splits={"train": 28_709, "val": 3_589, "test": 3_589},
)
_WITH_USAGE = ("fer2013.csv", "icml_face_data.csv")
_CHALLENGE = {"train.csv": "train", "test.csv": "test"}
_STEM = re.compile(rf"({'|'.join(USAGES)})_\d+", re.IGNORECASE | re.ASCII)
_LAYOUT = "fer2013.csv, icml_face_data.csv, train.csv and test.csv, or the folders train and test"

_Row = dict[str, object]
_Unread = dict[str, str]


def read_fer2013(root: Path) -> pd.DataFrame:
    """Read FER2013 in any of its forms; a CSV file is preferred to folders.

    Args:
        root: The folder that holds it, or the one above.

    Returns:
        The record table; PublicTest is the validation split, PrivateTest the test split. A row with
        an unknown emotion or Usage is unread, as is an image whose name does not tell the split.

    Raises:
        DataError: it is in none of the forms, or the CSV file cannot be read.

    >>> read_fer2013(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no FER2013, that is fer2013.csv, ...
    """
    unread: _Unread = {}
    rows = _rows(root, unread)
    if not rows:
        raise nothing_read(f"{root}: no images found", unread)
    return record_table(rows, unread)


def _rows(root: Path, unread: _Unread) -> list[_Row]:
    for folder in (root, root / "fer2013"):
        for name in _WITH_USAGE:
            if (folder / name).is_file():
                return list(_rows_with_usage(folder / name, root, unread))
        if (folder / "train.csv").is_file():
            return [
                row
                for name in _CHALLENGE
                if (folder / name).is_file()
                for row in _challenge_rows(folder / name, root, unread)
            ]
        if (folder / "train").is_dir() or (folder / "test").is_dir():
            return list(_rows_of_folders(folder, root, unread))
    raise DataError(f"{root}: there is no FER2013, that is {_LAYOUT}")


def _rows_with_usage(path: Path, root: Path, unread: _Unread) -> Iterator[_Row]:
    for row, (emotion, usage) in enumerate(csv_rows(path, ("emotion", "Usage"))):
        image = f"{below(root, path)}#{row}"
        if usage not in USAGES:
            unread[image] = f"the Usage {usage[:40]!r}; known are {', '.join(USAGES)}"
        elif emotion not in _CODES:
            unread[image] = _unknown_emotion(emotion)
        else:
            yield {"image": image, "expression": _CODES[emotion], "split": USAGES[usage]}


def _challenge_rows(path: Path, root: Path, unread: _Unread) -> Iterator[_Row]:
    try:
        is_labelled = "emotion" in csv_header(path)
        if not is_labelled and path.name == "train.csv":
            raise DataError(f"{path}: there is no column emotion")
        for row, (text,) in enumerate(csv_rows(path, ("emotion" if is_labelled else "pixels",))):
            image = f"{below(root, path)}#{row}"
            if is_labelled and text not in _CODES:
                unread[image] = _unknown_emotion(text)
                continue
            expression = _CODES[text] if is_labelled else ""
            yield {"image": image, "expression": expression, "split": _CHALLENGE[path.name]}
    except DataError as error:
        if path.name == "train.csv":
            raise
        unread[below(root, path)] = str(error).removeprefix(f"{path}: ")


def _rows_of_folders(folder: Path, root: Path, unread: _Unread) -> Iterator[_Row]:
    """The images of ``train`` and ``test``; the name tells the split, as test holds two of them."""
    usages = {usage.lower(): split for usage, split in USAGES.items()}
    for part in (folder / "train", folder / "test"):
        for class_folder in sorted(part.glob("*/")):
            if is_stray(class_folder.name):
                continue
            try:
                expression = canonical_expression(class_folder.name)
            except DataError as error:
                unread[below(root, class_folder)] = str(error)
                continue
            for path in image_files(class_folder):
                match = _STEM.fullmatch(path.stem)
                if match is None:
                    unread[below(root, path)] = (
                        "the name does not tell the split, as Training_100.jpg, "
                        "PublicTest_100.jpg and PrivateTest_100.jpg do"
                    )
                    continue
                yield {
                    "image": below(root, path),
                    "expression": expression,
                    "split": usages[match[1].lower()],
                }


def _unknown_emotion(code: str) -> str:
    known = ", ".join(f"{code} {name}" for code, name in _CODES.items())
    return f"the emotion {code[:40]!r}; known are {known}"


FER2013 = Database(
    name="fer2013",
    classes=tuple(name for name in EXPRESSIONS if name in CODES),
    reader=read_fer2013,
    layout=_LAYOUT,
    is_aligned=True,
    has_identities=False,
    published=PUBLISHED,
)
