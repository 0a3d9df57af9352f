"""Pictures of one's own in folders that are named for the expressions.

The class folders lie in the root, or in folders of the splits below it; what they are called is any
name that a database gives to an expression, such as happy, smile or happiness::

    happy/S001_003.png
    train/happy/S001_003.png        also val, valid, validation and test
    train/happy/S001/003.png        folders below a class do not matter

Who is on a picture is told by a regular expression, matched anywhere in the path below the root.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.listing import IMAGES, below, image_files, is_stray, nothing_read
from ferlit.data.places import MARK
from ferlit.data.records import EXPRESSIONS, canonical_expression, record_table
from ferlit.errors import DataError, UsageError

# The official splits by the names that people give them.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_FRAME = re.compile(r"\d{1,9}", re.ASCII)
_EXAMPLE = r"(?P<identity>S\d+)_"

_Unread = dict[str, str]


def read_folder(root: Path, *, identity: str = "") -> pd.DataFrame:
    r"""Read the pictures of all class folders.

    Args:
        root: The folder that holds the class folders, or the folders of the splits.
        identity: A regular expression with a group ``identity`` that is found somewhere in the path
            below the root, such as ``(?P<identity>S\d+)_``. Groups ``sequence`` and ``frame`` may
            tell the recording and the number of the picture in it; a sequence belongs to its class
            folder and identity. Without it, nobody is named.

    Returns:
        The record table. A picture whose path the pattern does not match, or that lies in no class
        folder, is unread, as is a folder with pictures whose name is no expression and no split.

    Raises:
        DataError: there are no class folders with pictures, or the pattern is wrong.

    >>> read_folder(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there are no class folders with pictures; ...
    """
    pattern = _compiled(identity) if identity else None
    rows: list[dict[str, object]] = []
    unread: _Unread = {}
    for split, part in _parts(root):
        for path in image_files(part) if part.is_dir() else ():
            unread[below(root, path)] = "the picture lies in no class folder"
        for folder in _folders(part):
            if part == root and folder.name.lower() in SPLIT_NAMES:
                continue
            try:
                expression = canonical_expression(folder.name)
            except DataError as error:
                if has_pictures(folder):
                    known = f"; or a split, {', '.join(SPLIT_NAMES)}" if part == root else ""
                    unread[below(root, folder)] = f"{error}{known}"
                continue
            for path in _pictures(folder):
                name = below(root, path)
                try:
                    told = _told(path, name, pattern)
                except DataError as error:
                    unread[name] = str(error)
                    continue
                if told.get("sequence"):
                    place = below(root, folder)
                    told["sequence"] = f"{place}/{told['identity']}/{told['sequence']}"
                rows.append({"image": name, "expression": expression, "split": split, **told})
    if not rows:
        raise nothing_read(
            f"{root}: there are no class folders with pictures; expected folders named for "
            f"{', '.join(EXPRESSIONS)}, below train, val and test or not",
            unread,
        )
    return record_table(rows, unread)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"folder: identity={pattern!r} is no regular expression ({error}); give one such as "
            f"{_EXAMPLE!r}"
        ) from error
    if "identity" not in compiled.groupindex:
        raise UsageError(
            f"folder: identity={pattern!r} has no group named identity; give one such as "
            f"{_EXAMPLE!r}"
        )
    return compiled


def _told(path: Path, name: str, pattern: re.Pattern[str] | None) -> dict[str, str | int]:
    """Identity, sequence and frame, as far as the pattern has them."""
    if MARK in name:
        raise DataError('the path has a "#", which stands for a row or frame; rename the file')
    if not path.as_posix().isprintable():
        raise DataError("the path has characters that are not printable; rename the file")
    if pattern is None:
        return {}
    match = pattern.search(name)
    if match is None or not match["identity"]:
        raise DataError(f"the pattern {pattern.pattern!r} finds no identity in the path")
    groups = {key: value or "" for key, value in match.groupdict().items()}
    frame = groups.get("frame", "")
    if frame and not _FRAME.fullmatch(frame):
        raise DataError(f"the pattern {pattern.pattern!r} finds the frame {frame!r}, no number")
    return {
        "identity": groups["identity"],
        "sequence": groups.get("sequence", ""),
        "frame": int(frame or 0),
    }


def _parts(root: Path) -> Iterator[tuple[str, Path]]:
    """The root, which has no split, and the folders of the splits."""
    yield "", root
    for folder in _folders(root):
        if folder.name.lower() in SPLIT_NAMES:
            yield SPLIT_NAMES[folder.name.lower()], folder


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/") if not is_stray(path.name))


def has_pictures(folder: Path) -> bool:
    """Whether there is a picture in a folder or in those below it."""
    return any(_pictures(folder))


def _pictures(folder: Path) -> Iterator[Path]:
    """The pictures in a folder and in those below it, in order."""
    for path in sorted(folder.glob("*")):
        if is_stray(path.name):
            continue
        if path.is_dir():
            yield from _pictures(path)
        elif path.suffix.lower() in IMAGES:
            yield path


FOLDER = Database(
    name="folder",
    classes=(),
    reader=read_folder,
    layout="folders named for the expressions, in the root or below train, val and test",
    options=(
        Option(
            "identity",
            "",
            "regular expression for the path below the root with a group named identity, and "
            f"optionally sequence and frame, such as {_EXAMPLE}",
        ),
    ),
)
