"""The list of RAF-DB: a line a picture, held against the pictures and where they lie."""

import re
from collections import defaultdict
from pathlib import Path

from ferlit.data.databases.listing import below, image_files, nothing_read
from ferlit.data.places import row_of
from ferlit.data.texts import read_text
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
_COMPOUND_LINES = 3_954
LIST = "list_patition_label.txt"
SPLIT_FOLDERS = ("train", "test", "valid")
_PARTS = {"train": ("train",), "test": ("test", "valid")}
SPLIT_OF = {part: split for split, parts in _PARTS.items() for part in parts}
_NAME = re.compile(r"((train|test)_[0-9]{1,9})\.jpg")
KNOWN = ", ".join(f"{code} {expression}" for code, expression in CODES.items())
OTHER = (
    f"the codes of the basic set are {KNOWN}; counted from 0, or in the codes of the compound "
    "set, every class would be another; take the list and folders as they were published"
)

Row = dict[str, str]


def rows_of_list(
    path: Path, top: Path, root: Path, image: str, unread: dict[str, str]
) -> list[Row]:
    """The records of the list's lines, in the order of their names.

    Args:
        path: The list.
        top: The folder that holds the pictures' folders.
        root: The folder that the names of the records start from.
        image: "aligned" or "original".
        unread: Takes the lines and pictures that are not used, with the reasons.

    Raises:
        DataError: see `ferlit.data.databases.rafdb.read_rafdb`.
    """
    try:
        lines = read_text(path).splitlines()
    except OSError as error:
        raise DataError(f"{path}: the list cannot be read ({error.strerror})") from error
    if sum(bool(line.strip()) for line in lines) == _COMPOUND_LINES:
        raise DataError(
            f"{path}: a list of {_COMPOUND_LINES:,} lines is that of the compound set; give the "
            "folder basic, whose list has 15,339"
        )
    rows: dict[str, Row] = {}
    listed: dict[str, tuple[int, str]] = {}  # line and code by name
    spoken_of: set[str] = set()
    pictures = _pictures(top, image)
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        place = row_of(below(root, path), number)
        name, code = (*line.split(), "", "")[:2]
        match = _NAME.fullmatch(name)
        if match is None:
            unread[place] = f"{line[:40]!r} is no line such as 'train_00001.jpg 5'"
            continue
        file = f"{match[1]}_aligned.jpg" if image == "aligned" else name
        spoken_of.add(file)
        if code not in CODES:
            if _is_other_code(code):
                raise DataError(f"{path}: line {number + 1} is {line.strip()[:40]!r}: {OTHER}")
            unread[place] = f"the expression {code[:20]!r}; known are {KNOWN}"
            continue
        first, same = listed.setdefault(name, (number, code))
        if code != same:
            raise DataError(
                f"{path}: line {number + 1} gives {name} the code {code}, line {first + 1} gives "
                f"it {same}; take the list as it was published"
            )
        found = pictures.get(file, [])
        if first != number:
            unread[place] = f"{name} was listed before"
        elif not found:
            unread[place] = f"there is no picture {file[:40]}"
        else:
            for picture in found:
                _check_place(picture, top, match[2], code, path)
            rows[name] = {
                "image": below(root, found[0]),
                "expression": CODES[code],
                "split": match[2],
            }
    unread |= {
        below(root, picture): f"no line of {path.name} speaks of it"
        for file, found in pictures.items()
        if file not in spoken_of
        for picture in found
    }
    if not listed:
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


def _pictures(top: Path, image: str) -> dict[str, list[Path]]:
    """The pictures by their names, wherever the forms have them."""
    places = [top / "Image" / image]
    if image == "aligned":
        for part in SPLIT_FOLDERS:
            places += [top / part, *sorted((top / part).glob("*/"))]
    pictures: dict[str, list[Path]] = defaultdict(list)
    for place in places:
        for path in image_files(place) if place.is_dir() else ():
            if path.is_file():
                pictures[path.name].append(path)
    return pictures


def _check_place(found: Path, top: Path, split: str, code: str, path: Path) -> None:
    """Check that a picture's folders tell the split and code of its line."""
    folders = found.relative_to(top).parts[:-1]
    other = [
        folder
        for folder in folders
        if SPLIT_OF.get(folder, split) != split or (folder.isdecimal() and folder != code)
    ]
    if other:
        raise DataError(
            f"{path}: the list gives {found.name} the split {split} and the code {code}, but it "
            f"lies in the folder {'/'.join(folders)}; unpack the database anew"
        )


def _is_other_code(code: str) -> bool:
    """Whether it is a number, but of another code than that of the list."""
    return code.isascii() and code.isdecimal() and code not in CODES
