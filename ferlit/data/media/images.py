"""Pictures as grey arrays, from files of many kinds and from CSV files with a picture a row.

Whatever is wrong with a picture, one error names it, so that a preparation can drop the picture and
go on.
"""

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path, PurePath
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.pictures import decode
from ferlit.data.places import Place
from ferlit.data.texts import csv_rows

_CSV_SIZE = 48  # FER2013 and what imitates it
_VIDEO = ".avi"
_VIEWS: dict[str, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    "": lambda picture: picture,
    "left": lambda picture: picture[:, : picture.shape[1] // 2],
    "right": lambda picture: picture[:, picture.shape[1] // 2 :],
    "clockwise": lambda picture: np.rot90(picture, k=-1),
}
_parsing = threading.Lock()


class _CsvPictures(NamedTuple):
    pictures: NDArray[np.uint8]  # (rows, 48, 48)
    reasons: dict[int, str]  # why a row is no picture


def read_image(root: Path, name: str) -> NDArray[np.uint8]:
    """Read one picture of a database.

    Colours become grey, 16 bits become 8, transparent parts black, and the rotation that a camera
    noted is applied, see `ferlit.data.media.pictures`.

    Args:
        root: The database's folder.
        name: The file below it, or a place in it (see `ferlit.data.places`): a row of a CSV file
            whose column ``pixels`` has the 48 x 48 grey values, or a frame of a video, whose views
            "left", "right" and "clockwise" are half of it, or the frame turned.

    Returns:
        (H, W) grey.

    Raises:
        UnreadableImageError: the file is missing, outside the root, damaged, no picture that
            can be read rightly, or the CSV file or video has no such picture.

    >>> from PIL import Image
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("RGB", (4, 3), "white").save(Path(folder, "a.png"))
    ...     read_image(Path(folder), "a.png")
    array([[255, 255, 255, 255], [255, 255, 255, 255], [255, 255, 255, 255]], dtype=uint8)
    """
    try:
        is_whole = (root / name).is_file()  # whatever its name has of a "#"
        place = Place(name) if is_whole else Place.parse(name)
        path = root / place.file
        if PurePath(place.file).is_absolute() or ".." in PurePath(place.file).parts:
            raise UnreadableImageError("the name leads out of the database's folder")
        if not path.is_file():
            raise UnreadableImageError("there is no such file")
        if path.stat().st_size == 0:
            raise UnreadableImageError("the file is empty")
        if path.suffix.lower() == _VIDEO:
            return _video_picture(path, place)
        return decode(path) if place.number is None else _csv_picture(path, place.part)
    except Exception as error:
        # Pillow's decoders raise anything from OSError to IndexError on damaged files.
        reason = str(error) or type(error).__name__
        raise UnreadableImageError(f"{root / name}: {reason}") from error


def _video_picture(path: Path, place: Place) -> NDArray[np.uint8]:
    number, view = place.number or "", place.view or ""
    if not number.isdecimal():
        raise UnreadableImageError(f"{number!r} is no number of a frame")
    if view not in _VIEWS:
        raise UnreadableImageError(
            f"the view {view!r}; known are {', '.join(filter(None, _VIEWS))}"
        )
    # FFmpeg is loaded where there are videos.
    from ferlit.data.media.video_files import check_avi
    from ferlit.data.media.videos import read_frames

    check_avi(path)

    count = 0
    # Frame by frame: to seek is off by some frames with many codecs.
    for frame in read_frames(path):
        count = frame.number + frame.length
        if count > int(number):
            break
    else:
        raise UnreadableImageError(f"the video has only {count} frames")
    if frame.read is None:
        raise UnreadableImageError(f"frame {number} is lost: {frame.problem}")
    picture = frame.read()
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    return np.ascontiguousarray(_VIEWS[view](grey))


def _csv_picture(path: Path, row: str) -> NDArray[np.uint8]:
    if path.suffix.lower() != ".csv":
        raise UnreadableImageError(f"only a CSV file has pictures that are numbered, as #{row} is")
    if not row.isdecimal():
        raise UnreadableImageError(f"{row!r} is no number of a row")
    stat = path.stat()
    with _parsing:  # the other threads wait for the first one's table instead of parsing it too
        table = _parse_csv(path, stat.st_mtime_ns, stat.st_size)
    index = int(row)
    if index >= len(table.pictures):
        raise UnreadableImageError(f"the file has only {len(table.pictures)} rows")
    if index in table.reasons:
        raise UnreadableImageError(table.reasons[index])
    return np.array(table.pictures[index])


@lru_cache(maxsize=2)
def _parse_csv(path: Path, _modified: int, _size: int) -> _CsvPictures:
    """All pictures of a CSV file; the time and size make a changed file a new one."""
    expected = _CSV_SIZE * _CSV_SIZE
    pictures: list[NDArray[np.uint8]] = []
    reasons: dict[int, str] = {}
    for row, (text,) in enumerate(csv_rows(path, ("pixels",))):
        picture = np.zeros(expected, dtype=np.uint8)
        try:
            values = np.fromstring(text, dtype=np.int64, sep=" ")
        except ValueError:
            reasons[row] = "a pixel is no whole number"
        else:
            if len(values) != expected:
                reasons[row] = f"{len(values)} pixels instead of {_CSV_SIZE} x {_CSV_SIZE}"
            elif values.min() < 0 or values.max() > 255:
                reasons[row] = f"pixels from {values.min()} to {values.max()}, not from 0 to 255"
            else:
                picture[:] = values
        pictures.append(picture)
    stacked = np.array(pictures, dtype=np.uint8).reshape(-1, _CSV_SIZE, _CSV_SIZE)
    return _CsvPictures(stacked, reasons)
