"""RAF-DB: real-world affective faces, 15,339 pictures of the basic expressions from the web.

Li et al., Reliable crowdsourcing and deep locality-preserving learning for expression recognition
in the wild, CVPR 2017. The basic set, with its official split and no identities::

    basic/EmoLabel/list_patition_label.txt              "train_00001.jpg 5" (so spelt)
    basic/Image/aligned/train_00001_aligned.jpg         100 x 100 pixels
    basic/Image/original/train_00001.jpg                as found; they need registration

The aligned pictures are also passed on as flat folders ``train`` and ``valid`` beside the list, and
as class folders ``train/1`` to ``train/7`` and ``test/1`` to ``test/7`` without it. The compound
set, which has a list of the same name, is another database.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read
from ferlit.data.records import EXPRESSIONS, record_table
from ferlit.errors import DataError

# The expressions by their code in the list.
CODES = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happiness",
    "5": "sadness",
    "6": "anger",
    "7": "neutral",
}
PUBLISHED = Published("images", total=15_339, splits={"train": 12_271, "test": 3_068})
_COMPOUND_LINES = 3_954
_LIST = "list_patition_label.txt"
_TOPS = ("", "basic", "DATASET")
_SPLIT_FOLDERS = ("train", "test", "valid")
_PARTS = {"train": ("train",), "test": ("test", "valid")}
_NAME = re.compile(r"((train|test)_[0-9]{1,9})\.jpg")
_ALIGNED = re.compile(r"(train|test)_[0-9]+(?:_aligned)?\.(?:jpe?g|png)", re.IGNORECASE)
_KNOWN = ", ".join(f"{code} {expression}" for code, expression in CODES.items())
_LAYOUT = f"basic/EmoLabel/{_LIST} and basic/Image/aligned, or the folders train/1 to test/7"

_Row = dict[str, str]


def read_rafdb(root: Path, *, image: str = "aligned") -> pd.DataFrame:
    """Read the basic set of RAF-DB in any of its forms.

    A line of the list that cannot be understood, or whose picture is missing, and a picture or
    class folder with an unexpected name are listed as unread.

    Args:
        root: The folder ``basic`` or the one above it.
        image: "aligned" or "original". The original pictures have no landmarks and are not aligned.

    Returns:
        The record table.

    Raises:
        DataError: it is in none of the forms, is the compound set, or there are no such pictures.

    >>> read_rafdb(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no RAF-DB, that is basic/EmoLabel/list_patition_...
    """
    unread: dict[str, str] = {}
    for top in (root / name for name in _TOPS):
        for path in (top / "EmoLabel" / _LIST, top / _LIST):
            if path.is_file():
                return record_table(_rows_of_list(path, top, root, image, unread), unread)
        if any((top / part / code).is_dir() for part in _SPLIT_FOLDERS for code in CODES):
            if image != "aligned":
                raise DataError(
                    f"{top}: image={image!r}, but class folders hold only aligned pictures; give "
                    f"the folder that holds EmoLabel/{_LIST}, or image='aligned'"
                )
            return record_table(_rows_of_folders(top, root, unread), unread)
    raise DataError(f"{root}: there is no RAF-DB, that is {_LAYOUT}")


def _rows_of_list(
    path: Path, top: Path, root: Path, image: str, unread: dict[str, str]
) -> list[_Row]:
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path}: the list cannot be read ({error.strerror})") from error
    if sum(bool(line.strip()) for line in lines) == _COMPOUND_LINES:
        raise DataError(
            f"{path}: a list of {_COMPOUND_LINES:,} lines is that of the compound set; give the "
            "folder basic, whose list has 15,339"
        )
    rows: dict[str, _Row] = {}
    has_lines = False
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        place = f"{below(root, path)}#{number}"
        name, code = (*line.split(), "", "")[:2]
        match = _NAME.fullmatch(name)
        if match is None:
            unread[place] = f"{line[:40]!r} is no line such as 'train_00001.jpg 5'"
            continue
        if code not in CODES:
            unread[place] = f"the expression {code[:20]!r}; known are {_KNOWN}"
            continue
        has_lines = True
        file = f"{match[1]}_aligned.jpg" if image == "aligned" else name
        folders = _folders(top, image, match[2], code)
        found = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if found is None:
            unread[place] = f"there is no picture {file[:40]}"
        elif name in rows:
            unread[place] = f"{name} was listed before"
        else:
            rows[name] = {
                "image": below(root, found),
                "expression": CODES[code],
                "split": match[2],
            }
    if not has_lines:
        raise nothing_read(
            f"{path}: the list has no line such as 'train_00001.jpg 5'; unpack it anew", unread
        )
    if not rows:
        folder = top / "Image" / image
        raise DataError(
            f"{folder}: not one picture of the list {path} is there; unpack Image/{image} of the "
            "database, or choose image=aligned or image=original by what you have"
        )
    return [rows[name] for name in sorted(rows)]


def _folders(top: Path, image: str, split: str, code: str) -> Iterator[Path]:
    """Where a picture may lie, by the forms."""
    yield top / "Image" / image
    if image == "aligned":
        for part in _PARTS[split]:
            yield top / part
            yield top / part / code


def _rows_of_folders(top: Path, root: Path, unread: dict[str, str]) -> list[_Row]:
    rows: list[_Row] = []
    for part in _SPLIT_FOLDERS:
        for folder in sorted((top / part).glob("*/")):
            if is_stray(folder.name):
                continue
            if folder.name not in CODES:
                unread[below(root, folder)] = f"the folder is no expression; known are {_KNOWN}"
                continue
            for image in image_files(folder):
                place = below(root, image)
                match = _ALIGNED.fullmatch(image.name)
                if match is None:
                    unread[place] = "the name does not tell the split, as train_00001_aligned.jpg"
                elif image.is_file():
                    rows.append(
                        {
                            "image": place,
                            "expression": CODES[folder.name],
                            "split": match[1].lower(),
                        }
                    )
    if not rows:
        raise nothing_read(
            f"{top}: the class folders hold no pictures such as train_00001_aligned.jpg", unread
        )
    return rows


RAFDB = Database(
    name="rafdb",
    classes=tuple(name for name in EXPRESSIONS if name in CODES.values()),
    reader=read_rafdb,
    layout=_LAYOUT,
    unused=lambda options: (
        f"*Image/{'original' if options['image'] == 'aligned' else 'aligned'}/*",
    ),
    is_aligned=lambda options: bool(options["image"] == "aligned"),
    has_identities=False,
    published=PUBLISHED,
    options=(
        Option(
            "image",
            "aligned",
            "the aligned faces, or the original pictures, which need landmarks of their own",
            choices=("aligned", "original"),
        ),
    ),
)
