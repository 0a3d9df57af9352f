"""What lies in a database's folder, looks like an input, and was not read.

The readers name what they cannot use where they look; this finds what lies where none looks, or is
of a kind that none reads. What belongs to the database and is left out by its protocol, as most
frames of CK+ are, is no leftover: see `Database.unused`.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path, PurePosixPath

from ferlit.data.databases.listing import below, is_stray, text_of
from ferlit.data.media.kinds import KINDS, Kind, kind_of_content, kind_of_name, not_read, read_head
from ferlit.data.media.pictures import is_read
from ferlit.data.places import Place

_ELSEWHERE = "a picture that no record takes from there"
_MOST_NAMES = 20  # of a folder; of more, the folder is named
_FIRST = 3
# Annotations: there may be one for every picture, and none is opened.
_ANNOTATIONS = frozenset({".txt", ".csv", ".xml", ".json", ".npy", ".pts", ".mat", ".md"})
_OF_A_STORE = frozenset({"store.json", "fingerprint"})


def left_over(
    root: Path,
    images: Iterable[str],
    unread: Mapping[str, str],
    unused: Collection[str] = (),
    *,
    most: int | None = None,
) -> dict[str, str]:
    """The files that look like inputs and were neither read nor named.

    Args:
        root: The database's folder.
        images: The names in the record table.
        unread: What the reader names, files and folders.
        unused: Patterns of names below the root that belong to the database; "*" stands for any
            characters, "/" too. What is no picture that is read belongs to it only where the
            pattern has its ending, as "Sessions/*.avi".
        most: Look into so many folders at most: what is no database may be a whole disk.

    Returns:
        The reasons by name: of pictures and videos, archives, and where pictures lie also drawings.
    """
    read, named = _files(images), _files(unread)
    folders = {str(PurePosixPath(name).parent) for name in read if _is_picture(name)}
    found: dict[str, str] = {}
    for folder, names in islice(_folders(root), most):
        place = below(root, folder)
        here_and_above = (PurePosixPath(place), *PurePosixPath(place).parents)
        if not named.isdisjoint(map(str, here_and_above)):
            continue
        reasons: dict[str, str] = {}
        for name in names:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
            if suffix in _ANNOTATIONS:
                continue
            file = text_of(name) if place == "." else f"{place}/{text_of(name)}"
            if file in read or file in named:
                continue
            kind = KINDS.get(suffix)
            if kind is None:
                reason = _told_by_content(folder / name)
            else:
                reason = _reason(kind, is_among_pictures=place in folders or not read)
            if reason and not _is_unused(file, reason, unused):
                reasons[file] = reason
        found |= _shortened(place, reasons)
    return found


def _is_picture(name: str) -> bool:
    kind = kind_of_name(name)
    return kind is not None and kind.group == "picture"


def _files(names: Iterable[str]) -> set[str]:
    """The files of some names; "#" stands for a row or frame, or is part of a name."""
    return {file for name in names if name for file in (name, Place.parse(name).file)}


def _is_unused(file: str, reason: str, unused: Collection[str]) -> bool:
    """Whether it belongs to the database and is left out by its protocol."""
    matching = [pattern for pattern in unused if fnmatchcase(file.lower(), pattern.lower())]
    suffix = PurePosixPath(file).suffix.lower()
    return any(reason == _ELSEWHERE or pattern.endswith(suffix) for pattern in matching)


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """All folders with their files, but for strays and prepared stores."""
    for folder, inner, names in os.walk(root):
        if _OF_A_STORE & set(names):
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not is_stray(name))
        yield Path(folder), sorted(name for name in names if not is_stray(name))


def _reason(kind: Kind, *, is_among_pictures: bool) -> str:
    """Why a file was not read; "" where it looks like no input."""
    if kind.group == "picture":
        return _ELSEWHERE if is_read(kind) else not_read(kind)
    if kind.group == "drawing" and not is_among_pictures:
        return ""  # a paper or a licence
    return not_read(kind)


def _told_by_content(path: Path) -> str:
    kind = kind_of_content(read_head(path))
    if kind is None or kind.group not in ("picture", "video"):
        return ""
    return f"{kind.name} by its content, which its name does not say: give it the right ending"


def _shortened(place: str, reasons: dict[str, str]) -> dict[str, str]:
    """The files of a folder, or the folder with their number where there are many alike."""
    pictures = [name for name, reason in reasons.items() if reason == _ELSEWHERE]
    if len(pictures) <= _MOST_NAMES:
        return reasons
    first = ", ".join(PurePosixPath(name).name for name in pictures[:_FIRST])
    several = f"pictures that no record takes from there ({len(pictures)}: {first}, ...)"
    others = {name: reason for name, reason in reasons.items() if reason != _ELSEWHERE}
    return {place: several} | others
