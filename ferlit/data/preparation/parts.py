"""The faces of a preparation in parts of a few hundred: made, kept, and joined in the end.

A finished part stays, so that an interrupted preparation can go on; one that was damaged since is
made again. Nothing here holds more than one part in memory.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ferlit.data.faces.maker import FaceMaker, Made
from ferlit.data.faces.registration import FACE_SIZE
from ferlit.data.preparation.workers import Chunk, useful_workers, working
from ferlit.errors import DataError
from ferlit.files import whole_file

logger = logging.getLogger(__name__)
PARTS = "part-*.npz"
_PART = 512  # faces in a part
_CHUNK = 16  # images that a worker gets at a time: neighbours, as they may share a file


class Outcome(NamedTuple):
    """What became of the images."""

    dropped: dict[str, str]  # images without a face, each with the reason
    several: dict[str, int]  # images with more than one face, each with their number


class _RateColumn(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


def make_parts(
    records: pd.DataFrame,
    make: FaceMaker,
    folder: Path,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Outcome:
    """Write the parts that are not there yet, or are damaged.

    Args:
        records: The record table.
        make: Makes a face.
        folder: Takes the parts.
        workers: The most processes; None for one a core.
        progress: Show a progress bar.

    Raises:
        FerlitError: a worker ended too early.
    """
    starts = range(0, len(records), _PART)
    missing = [
        start for start in starts if not _is_whole(_path(folder, start), len(records) - start)
    ]
    left = [name for start in missing for name in records["image"].iloc[start : start + _PART]]
    outcome = Outcome({}, {})
    columns = (
        TextColumn("preparing faces"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, disable=not progress) as bar,
        working(make, useful_workers(left, make.landmarks, workers)) as make_faces,
    ):
        task = bar.add_task("", total=len(records))
        results = make_faces(_chunks(records, missing))
        for start in starts:
            images = records["image"].iloc[start : start + _PART]
            path = _path(folder, start)
            if start in missing:
                made: list[Made] = []
                while len(made) < len(images):
                    made += next(results)
                    bar.update(task, completed=start + len(made))
                _write(path, made)
            bar.update(task, completed=start + len(images))
            _, reasons, numbers = _read(path)
            outcome.dropped.update(
                (image, reason) for image, reason in zip(images, reasons, strict=True) if reason
            )
            outcome.several.update(
                (image, number) for image, number in zip(images, numbers, strict=True) if number > 1
            )
    return outcome


def join_parts(folder: Path, path: Path, count: int) -> None:
    """Write the faces of all parts into one file. The parts stay: see `remove_parts`.

    Args:
        folder: Holds the parts.
        path: The file, (n, 60, 60) uint8 in NumPy's format.
        count: n.

    Raises:
        DataError: the parts hold another number of faces.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (count, FACE_SIZE, FACE_SIZE)}
    written = 0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in _parts(folder):
            faces = _read(part)[0]
            file.write(faces.tobytes())
            written += len(faces)
    if written != count:
        raise DataError(
            f"{folder}: the parts hold {written} faces instead of {count}; remove this folder and "
            "prepare the store again"
        )


def remove_parts(folder: Path) -> None:
    """Remove the parts, which were joined."""
    for part in _parts(folder):
        part.unlink()


def read_face(path: Path, row: int) -> NDArray[np.uint8]:
    """One face out of the file that `join_parts` wrote.

    A memory map would not do where a few are read here and there: systems map far more of the file
    than that, and count it as memory of the process.

    Args:
        path: The file.
        row: Which.

    Returns:
        (60, 60) grey.
    """
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        file.seek(row * FACE_SIZE**2, os.SEEK_CUR)
        face = np.frombuffer(file.read(FACE_SIZE**2), dtype=np.uint8)
    return face.reshape(FACE_SIZE, FACE_SIZE)


def _path(folder: Path, start: int) -> Path:
    return folder / f"part-{start // _PART:06d}.npz"


def _chunks(records: pd.DataFrame, starts: list[int]) -> Iterator[Chunk]:
    for start in starts:
        end = min(start + _PART, len(records))
        for first in range(start, end, _CHUNK):
            rows = records.iloc[first : min(first + _CHUNK, end)]
            yield list(zip(rows["image"], rows["landmarks"], strict=True))


def _write(path: Path, made: list[Made]) -> None:
    faces = [each.face for each in made if each.face is not None]
    with whole_file(path) as draft, draft.open("wb") as file:
        np.savez(
            file,
            faces=np.stack(faces) if faces else np.empty((0, FACE_SIZE, FACE_SIZE), np.uint8),
            reasons=np.array([each.reason for each in made]),
            faces_found=np.array([each.faces_found for each in made]),
        )


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(PARTS))


def _read(path: Path) -> tuple[NDArray[np.uint8], list[str], list[int]]:
    """The faces of a part, and of each image why it has none and how many were found."""
    with np.load(path) as part:  # compares its members with their checksums
        return part["faces"], part["reasons"].tolist(), part["faces_found"].tolist()


def _is_whole(path: Path, left: int) -> bool:
    """Whether a part is there and as it was written.

    Args:
        path: Of the part.
        left: Images from its first one to the last of all.
    """
    if not path.exists():
        return False
    try:
        faces, reasons, numbers = _read(path)
        count = min(left, _PART)
        if len(reasons) == len(numbers) == count and reasons.count("") == len(faces):
            return faces.dtype == np.uint8 and faces.shape[1:] == (FACE_SIZE, FACE_SIZE)
        problem = f"{len(faces)} faces of {len(reasons)} images"
    except Exception as error:  # whatever a damaged file gives
        problem = str(error) or type(error).__name__
    logger.warning("%s: damaged (%s), its faces are made again", path, problem)
    return False
