"""Files of a database: in order, without what systems leave there, and never outside the root."""

import logging
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ferlit.data.media.kinds import KINDS
from ferlit.data.places import Place, is_row
from ferlit.errors import DataError

# Also of kinds that are not read, so that such a picture is dropped by name and not passed over.
IMAGES = frozenset(ending for ending, kind in KINDS.items() if kind.group == "picture")
_STRAYS = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_MOST_REASONS = 3
logger = logging.getLogger(__name__)


def is_stray(name: str) -> bool:
    """Whether a name is one that systems and archives leave beside the data.

    >>> [name for name in ("._a.png", "Thumbs.db", "__MACOSX", "ReadMe", "a.png") if is_stray(name)]
    ['._a.png', 'Thumbs.db', '__MACOSX', 'ReadMe']
    """
    lower = name.lower()
    return lower.startswith((".", "readme")) or lower in _STRAYS


def is_image(name: str) -> bool:
    """Whether a name stands for one image: a picture, or a row of a table (``file#k``).

    >>> [is_image(name) for name in ("a.PNG", "list.csv#7", "list.csv", "Sessions/1", "1/a.avi")]
    [True, True, False, False, False]
    """
    return PurePosixPath(name).suffix.lower() in IMAGES or is_row(name)


def image_files(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by their suffixes, in order."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGES and not is_stray(path.name)
    )


def below(root: Path, path: Path) -> str:
    r"""The path below the root; bytes of a name that are no text are written as ``\udcff``.

    >>> below(Path("data"), Path("data", "anger", "a.png"))
    'anger/a.png'
    """
    return text_of(path.relative_to(root).as_posix())


def text_of(name: str) -> str:
    r"""A name as text; bytes of it that are none are written as ``\udcff``.

    >>> text_of("caf\udce9.png")
    'caf\\udce9.png'
    """
    return name.encode(errors="backslashreplace").decode()


def file_below(root: Path, name: str) -> str:
    """Check a file's name that was taken from an annotation.

    Args:
        root: The database's folder.
        name: The file below it; it may be a place in one (see `ferlit.data.places`).

    Returns:
        The name as a posix path.

    Raises:
        DataError: the name leads out of the root, or there is no such file.

    >>> file_below(Path("data"), "../secret.png")
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: '../secret.png' leads out of the database's folder
    """
    place = Place.parse(name)
    file = place.file
    path = PurePosixPath(file)
    if path.is_absolute() or Path(file).is_absolute() or ".." in path.parts:
        raise DataError(f"{name!r} leads out of the database's folder")
    # Names from macOS have letters and accents apart, which looks the same.
    for form in (file, *(unicodedata.normalize(kind, file) for kind in ("NFC", "NFD"))):
        try:
            if (root / form).is_file():
                return str(place._replace(file=PurePosixPath(form).as_posix()))
        except (OSError, ValueError):  # too long, or with characters that no file name has
            pass
    raise DataError(f"there is no file {name[:200]!r}")


def warn_of_unused(root: Path, used: Iterable[Path], others: Iterable[Path]) -> None:
    """Warn where a copy holds more than one form of a database, of which one is read."""
    if left := [below(root, path) for path in others]:
        logger.warning(
            "%s: %s is read; not used: %s",
            root,
            " with ".join(below(root, path) for path in used),
            ", ".join(left),
        )


def nothing_read(message: str, unread: Mapping[str, str]) -> DataError:
    """The error that nothing of a database could be read, with the first reasons.

    >>> nothing_read("data: no images found", {"a.png": "a bad name"})
    DataError('data: no images found; a.png: a bad name')
    """
    reasons = [f"{name}: {reason}" for name, reason in list(unread.items())[:_MOST_REASONS]]
    more = len(unread) - len(reasons)
    return DataError("; ".join([message, *reasons, *([f"and {more} more"] if more else [])]))
