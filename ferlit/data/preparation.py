"""From a database on disk to a prepared store: read, register, save.

The faces are made in parts of a few hundred; finished parts stay, so an interrupted preparation can
go on. The store gets its name only when it is whole.
"""

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
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

from ferlit.data.contact_sheet import contact_sheet
from ferlit.data.databases import Database
from ferlit.data.detection import Detector, largest_face
from ferlit.data.identities import IDENTITIES
from ferlit.data.images import read_image
from ferlit.data.landmark_sources import choose_landmarks, make_detector, warn_of_missing
from ferlit.data.landmarks import read_landmarks, select_49
from ferlit.data.manifest import write_manifest
from ferlit.data.records import EXPRESSIONS, unread_files, write_records
from ferlit.data.registration import FACE_SIZE, pad_aligned, register
from ferlit.data.store import DESCRIPTION, FACES, RECORDS, Description, Store
from ferlit.data.summary import WarningList, summarise, write_report
from ferlit.errors import DataError

CONTACT_SHEET = "contact_sheet.png"
_PART = 512  # faces in a part
_RECIPE = 1  # raise when the same files would give other faces
logger = logging.getLogger(__name__)


class _RateColumn(ProgressColumn):
    """Images a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")


def fingerprint(database: Database, root: Path, records: pd.DataFrame, landmarks: str) -> str:
    """A checksum over the record table, the sizes and times of its files, and the recipe."""
    recipe = (_RECIPE, landmarks, database.name, database.classes, database.sequence_rule)
    digest = hashlib.sha256(f"{recipe}\n".encode())
    digest.update(records.to_csv(index=False).encode())
    files = {name.partition("#")[0] for name in records["image"]}
    for name in sorted(files | set(records["landmarks"]) - {""}):
        try:
            stat = (root / name).stat()
        except OSError:
            continue  # a missing file is reported when it is read
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def prepare_store(
    database: Database,
    root: Path,
    output: Path,
    *,
    options: Mapping[str, Any] | None = None,
    landmarks: str = "auto",
    landmark_models: Path | None = None,
    workers: int | None = None,
    resume: bool = False,
    replace: bool = False,
    progress: bool = True,
) -> Store:
    """Prepare a database: every image registered to a 60 x 60 grey face.

    An image that cannot be read or registered is dropped with its reason; the rest goes on.

    Args:
        database: Its reader.
        root: Folder of the database.
        output: Folder of the store. A finished store of the same files is opened as it is.
        options: Of the database's reader, see `Database.options`.
        landmarks: See `choose_landmarks`. Of several faces found in a picture the largest is taken.
        landmark_models: See `make_detector`.
        workers: Threads; None for one a core.
        resume: Go on with the parts that an interrupted preparation left.
        replace: Remove a store at ``output`` that was made from other files or settings.
        progress: Show a progress bar.

    Returns:
        The store.

    Raises:
        DataError: the root does not hold the database, no image could be prepared, or ``output``
            holds something else.
    """
    if output.exists() and not (output / DESCRIPTION).is_file():
        raise DataError(f"{output} exists and is not a store; choose another folder")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output}: this folder cannot be made ({error.strerror})") from error
    started = time.perf_counter()
    with WarningList() as warnings:
        records = database.read(root, options)
        source = choose_landmarks(database, records, landmarks, options)
        warn_of_missing(records, source)
    unread = unread_files(records)
    print_ = fingerprint(database, root, records, source)
    if output.exists():
        old = Description.read(output / DESCRIPTION)
        if old.fingerprint == print_:
            return Store.open(output)
        if not replace:
            raise DataError(
                f"{output} exists and was made from other files or settings (of {old.database}); "
                "remove it or choose another folder"
            )

    detector = make_detector(source, landmark_models)
    partial_folder = output.with_name(output.name + ".partial")
    mark = partial_folder / "fingerprint"
    is_same = mark.is_file() and mark.read_text() == print_
    if partial_folder.exists() and not (resume and is_same):
        shutil.rmtree(partial_folder)
    partial_folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(print_)
    make = partial(_make_face, root, source, detector)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the workers are the threads
    try:
        workers = workers or os.cpu_count() or 1
        dropped = _make_parts(records, make, partial_folder, workers, progress)
    finally:
        cv2.setNumThreads(threads)
    if len(dropped) == len(records):
        shutil.rmtree(partial_folder)
        raise DataError(
            f"{database.name} at {root}: none of the {len(records)} images could be prepared:\n"
            + list_reasons(dropped)
        )
    kept = records[~records["image"].isin(list(dropped))]
    dropped = unread | dropped
    description = Description(
        database=database.name,
        classes=database.classes or _shown(records),
        sequence_rule=database.sequence_rule,
        landmarks=source,
        fingerprint=print_,
        found=len(records) + len(unread),
        dropped=dropped,
        ferlit_version=_own_version(),
    )
    _finish(partial_folder, kept, description)
    report = summarise(kept, description, warnings, time.perf_counter() - started)
    write_report(report, partial_folder)
    write_manifest(partial_folder)
    if (output / IDENTITIES).is_file():  # somebody may have corrected it
        shutil.copy2(output / IDENTITIES, partial_folder)
    if output.exists():
        shutil.rmtree(output)
    partial_folder.rename(output)
    if dropped:
        logger.warning(
            "%d of %d images could not be prepared and were dropped:\n%s",
            len(dropped),
            description.found,
            list_reasons(dropped),
        )
    return Store.open(output)


def list_reasons(dropped: dict[str, str], most: int = 20) -> str:
    """The dropped images with their reasons, a line each.

    >>> print(list_reasons({"a.png": "truncated", "b.png": "missing"}, most=1))
      a.png: truncated
      and 1 more (store.json lists them all)
    """
    lines = [f"  {image}: {reason}" for image, reason in list(dropped.items())[:most]]
    if len(dropped) > most:
        lines.append(f"  and {len(dropped) - most} more (store.json lists them all)")
    return "\n".join(lines)


def _make_face(
    root: Path, landmarks: str, detector: Detector | None, image: str, points: str
) -> NDArray[np.uint8] | str:
    """One face, or the reason why there is none."""
    try:
        picture = read_image(root, image)
        if landmarks == "none":
            return pad_aligned(picture)
        if detector is not None:
            return register(picture, largest_face(detector, picture))
        if not points:
            return "it has no landmarks"
        return register(picture, select_49(read_landmarks(root / points)))
    except DataError as error:
        return str(error).removeprefix(f"{root / image}: ")  # the caller names the image


def _make_parts(
    records: pd.DataFrame,
    make: "partial[NDArray[np.uint8] | str]",
    folder: Path,
    workers: int,
    progress: bool,
) -> dict[str, str]:
    """Write the faces in parts, skipping the parts that are there; return what was dropped."""
    dropped: dict[str, str] = {}
    columns = (
        TextColumn("preparing faces"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with ThreadPoolExecutor(workers) as pool, Progress(*columns, disable=not progress) as bar:
        task = bar.add_task("", total=len(records))
        for start in range(0, len(records), _PART):
            rows = records.iloc[start : start + _PART]
            path = folder / f"part-{start // _PART:06d}.npz"
            if not path.exists():
                made = []
                for result in pool.map(make, rows["image"], rows["landmarks"]):
                    made.append(result)
                    bar.advance(task)
                faces = [face for face in made if not isinstance(face, str)]
                reasons = [face if isinstance(face, str) else "" for face in made]
                stacked = (
                    np.stack(faces) if faces else np.empty((0, FACE_SIZE, FACE_SIZE), np.uint8)
                )
                draft = path.with_suffix(".draft")
                with draft.open("wb") as file:
                    np.savez(file, faces=stacked, reasons=np.array(reasons))
                draft.rename(path)
            else:
                bar.advance(task, len(rows))
                reasons = np.load(path)["reasons"].tolist()
            dropped |= {
                str(image): reason
                for image, reason in zip(rows["image"], reasons, strict=True)
                if reason
            }
    return dropped


def _finish(folder: Path, kept: pd.DataFrame, description: Description) -> None:
    """Join the parts and write the table and the description."""
    faces = np.lib.format.open_memmap(
        folder / FACES, mode="w+", dtype=np.uint8, shape=(len(kept), FACE_SIZE, FACE_SIZE)
    )
    start = 0
    parts = sorted(folder.glob("part-*.npz"))
    for path in parts:
        part = np.load(path)["faces"]
        faces[start : start + len(part)] = part
        start += len(part)
    faces.flush()
    contact_sheet(kept, faces, description.classes).save(folder / CONTACT_SHEET)
    write_records(kept, folder / RECORDS)
    description.write(folder / DESCRIPTION)
    for path in [*parts, folder / "fingerprint"]:
        path.unlink()


def _shown(records: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in EXPRESSIONS if (records["expression"] == name).any())


def _own_version() -> str:
    try:
        return version("ferlit")
    except PackageNotFoundError:  # run from a folder that was never installed
        return ""
