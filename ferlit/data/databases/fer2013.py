"""FER2013: 35,887 aligned 48 x 48 faces from the web, with an official split and no identities.

Goodfellow et al., Challenges in representation learning: a report on three machine learning
contests, ICONIP 2013. It is passed on in several forms, all of which are read, in the root or in a
folder ``fer2013`` below it:

- ``fer2013.csv`` (emotion,pixels,Usage), or ``icml_face_data.csv`` (emotion, Usage, pixels, with
  spaces in the header);
- ``train.csv`` (emotion,pixels) and ``test.csv`` (pixels; its labels are withheld);
- folders ``train/happy/Training_100.jpg``, ``test/happy/PublicTest_100.jpg``, where ``test`` holds
  both tests; or with ``validation`` (``val``, ``valid``) for the first of them, beside which the
  names need not tell the split. Name and folder must agree.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database
from ferlit.data.databases.counts import Published
from ferlit.data.databases.folder import SPLIT_NAMES, has_pictures
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read, warn_of_unused
from ferlit.data.places import row_of
from ferlit.data.records import EXPRESSIONS, SPLITS, canonical_expression, record_table
from ferlit.data.texts import csv_header, csv_rows
from ferlit.errors import ContradictionError, DataError

# The expressions by their code in the CSV files.
CODES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
BY_CODE = {str(code): name for code, name in enumerate(CODES)}
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
_LAYOUT = (
    "fer2013.csv, icml_face_data.csv, train.csv and test.csv, or the folders train and test, with "
    "validation or not"
)
# The splits that a folder may hold, by its name.
_PARTS = {
    **{name: (split,) for name, split in SPLIT_NAMES.items() if split != "test"},
    **{usage.lower(): (split,) for usage, split in USAGES.items()},
    **{name: ("val", "test") for name, split in SPLIT_NAMES.items() if split == "test"},
}

_Row = dict[str, object]
_Unread = dict[str, str]


def read_fer2013(root: Path) -> pd.DataFrame:
    """Read FER2013 in any of its forms; a CSV file is preferred to folders.

    Args:
        root: The folder that holds it, or the one above.

    Returns:
        The record table; PublicTest is the validation split, PrivateTest the test split. A row with
        an unknown emotion or Usage is unread, as is an image that does not tell the split or lies
        in the folders of two classes, and a folder that is no split.

    Raises:
        DataError: it is in none of the forms, the CSV file cannot be read, or the name of an image
            tells another split than its folder.

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
        forms = [
            *([folder / name] for name in _WITH_USAGE if (folder / name).is_file()),
            [folder / name for name in _CHALLENGE if (folder / name).is_file()],
            sorted(
                (path for path in folder.glob("*/") if path.name.lower() in _PARTS),
                key=lambda path: (SPLITS.index(_PARTS[path.name.lower()][0]), path.name),
            ),
        ]
        if forms[-2] and forms[-2][0].name != "train.csv":
            del forms[-2]
        forms = [paths for paths in forms if paths]
        if not forms:
            continue
        paths, *others = forms
        warn_of_unused(root, paths, [path for form in others for path in form])
        if paths[0].is_dir():
            return list(_rows_of_folders(folder, paths, root, unread))
        if paths[0].name in _WITH_USAGE:
            return list(_rows_with_usage(paths[0], root, unread))
        return [row for path in paths for row in _challenge_rows(path, root, unread)]
    raise DataError(f"{root}: there is no FER2013, that is {_LAYOUT}")


def _rows_with_usage(path: Path, root: Path, unread: _Unread) -> Iterator[_Row]:
    rows = list(csv_rows(path, ("emotion", "Usage")))
    _check_codes(path, (emotion for emotion, _ in rows))
    for row, (emotion, usage) in enumerate(rows):
        image = row_of(below(root, path), row)
        if usage not in USAGES:
            unread[image] = f"the Usage {usage[:40]!r}; known are {', '.join(USAGES)}"
        elif emotion not in BY_CODE:
            unread[image] = _unknown_emotion(emotion)
        else:
            yield {"image": image, "expression": BY_CODE[emotion], "split": USAGES[usage]}


def _check_codes(path: Path, emotions: Iterable[str]) -> None:
    """Refuse codes that are counted from 1, as every class would be another."""
    found = set(emotions)
    if "0" not in found and found.issuperset(map(str, range(1, len(CODES) + 1))):
        raise ContradictionError(
            f"{path}: its emotions go from 1 to {len(CODES)}, so that each is another than in "
            f"FER2013 ({_known()}); take the file as it was published, or subtract 1"
        )


def _challenge_rows(path: Path, root: Path, unread: _Unread) -> Iterator[_Row]:
    try:
        is_labelled = "emotion" in csv_header(path)
        if not is_labelled and path.name == "train.csv":
            raise DataError(f"{path}: there is no column emotion")
        texts = [text for (text,) in csv_rows(path, ("emotion" if is_labelled else "pixels",))]
        if is_labelled:
            _check_codes(path, texts)
        for row, text in enumerate(texts):
            image = row_of(below(root, path), row)
            if is_labelled and text not in BY_CODE:
                unread[image] = _unknown_emotion(text)
                continue
            expression = BY_CODE[text] if is_labelled else ""
            yield {"image": image, "expression": expression, "split": _CHALLENGE[path.name]}
    except DataError as error:
        if path.name == "train.csv" or isinstance(error, ContradictionError):
            raise
        unread[below(root, path)] = str(error).removeprefix(f"{path}: ")


def _rows_of_folders(top: Path, parts: list[Path], root: Path, unread: _Unread) -> Iterator[_Row]:
    """The images of the folders of splits."""
    has_val = any(_PARTS[part.name.lower()] == ("val",) for part in parts)
    for folder in sorted(top.glob("*/")):
        if folder not in parts and not is_stray(folder.name) and has_pictures(folder):
            unread[below(root, folder)] = f"no split; known are {', '.join(_PARTS)}"
    found: list[tuple[Path, _Row]] = []
    classes: dict[str, set[str]] = {}  # of a name that tells the split and number
    for part in parts:
        splits = _PARTS[part.name.lower()]
        held = ("test",) if has_val and len(splits) > 1 else splits
        for path in image_files(part):
            unread[below(root, path)] = "the image lies in no class folder"
        for class_folder in sorted(part.glob("*/")):
            if is_stray(class_folder.name):
                continue
            try:
                expression = canonical_expression(class_folder.name)
            except DataError as error:
                unread[below(root, class_folder)] = str(error)
                continue
            for path in image_files(class_folder):
                split = _split(path, root, held, has_val)
                if split is None:
                    unread[below(root, path)] = (
                        "the name does not tell the split, as Training_100.jpg, "
                        "PublicTest_100.jpg and PrivateTest_100.jpg do"
                    )
                    continue
                classes.setdefault(path.stem.lower(), set()).add(expression)
                image = below(root, path)
                found.append((path, {"image": image, "expression": expression, "split": split}))
    for path, row in found:
        shown = classes[path.stem.lower()]
        if len(shown) > 1 and _STEM.fullmatch(path.stem):
            unread[str(row["image"])] = (
                f"{path.stem} lies in the folders of {' and '.join(sorted(shown))}"
            )
        else:
            yield row


def _split(path: Path, root: Path, held: tuple[str, ...], has_val: bool) -> str | None:
    """The split by the name, or by the folder where each has its own; None where neither tells."""
    match = _STEM.fullmatch(path.stem)
    if match is None:
        return held[0] if has_val else None
    split = {usage.lower(): split for usage, split in USAGES.items()}[match[1].lower()]
    if split not in held:
        raise DataError(
            f"{root}: {below(root, path)} is of {split} by its name and of {' or '.join(held)} by "
            "its folder; unpack the database anew, or read the folders as they are with "
            "--database folder"
        )
    return split


def _known() -> str:
    return ", ".join(f"{code} {name}" for code, name in BY_CODE.items())


def _unknown_emotion(code: str) -> str:
    return f"the emotion {code[:40]!r}; known are {_known()}"


FER2013 = Database(
    name="fer2013",
    classes=tuple(name for name in EXPRESSIONS if name in CODES),
    reader=read_fer2013,
    layout=_LAYOUT,
    licence=(
        "published for a competition on Kaggle; the pictures were found on the web, and the rights "
        "are with their owners"
    ),
    is_aligned=True,
    has_identities=False,
    published=(PUBLISHED,),
)
