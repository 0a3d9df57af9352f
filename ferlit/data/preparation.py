"""From a database on disk to a prepared store: read, register, save.

The faces are made in parts; finished parts stay, so an interrupted preparation can go on. The store
gets its name only when it is whole.
"""

import logging
import shutil
import time
from collections.abc import Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferlit.data.contact_sheet import contact_sheet
from ferlit.data.databases import Database
from ferlit.data.databases.listing import is_image
from ferlit.data.duplicates import warn_of_duplicates
from ferlit.data.faces import FaceMaker
from ferlit.data.fingerprint import fingerprint
from ferlit.data.identities import IDENTITIES
from ferlit.data.landmark_sources import choose_landmarks, make_detector, warn_of_missing
from ferlit.data.manifest import write_manifest
from ferlit.data.parts import join_parts, make_parts, read_face
from ferlit.data.records import EXPRESSIONS, unread_files, write_records
from ferlit.data.store import DESCRIPTION, FACES, RECORDS, TARGETS, Description, Store
from ferlit.data.summary import WarningList, list_reasons, summarise, write_report
from ferlit.errors import DataError

CONTACT_SHEET = "contact_sheet.png"
_MARK = "fingerprint"
logger = logging.getLogger(__name__)


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
        workers: The most processes; None for one a core. Small databases stay in this one, see
            `ferlit.data.workers`.
        resume: Go on with the parts that an interrupted preparation left.
        replace: Remove a store at ``output`` that was made from other files or settings.
        progress: Show a progress bar.

    Returns:
        The store.

    Raises:
        DataError: the root does not hold the database, no image could be prepared, or ``output``
            holds something else.
        FerlitError: a process ended before its work was done.
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
    print_ = fingerprint(database, root, records, source, options)
    if output.exists() and _is_made(output, print_, replace):
        store = Store.open(output)
        _warn_of_new(store, unread_files(records))
        return store
    make = FaceMaker(root, source, make_detector(source, landmark_models))
    partial_folder = _partial_folder(output, print_, resume)
    outcome = make_parts(records, make, partial_folder, workers=workers, progress=progress)
    if len(outcome.dropped) == len(records):
        shutil.rmtree(partial_folder)
        raise DataError(
            f"{database.name} at {root}: none of the {len(records)} images could be prepared:\n"
            + list_reasons(outcome.dropped)
        )
    kept = records[~records["image"].isin(list(outcome.dropped))]
    unread = unread_files(records)
    images = {name: reason for name, reason in unread.items() if is_image(name)}
    description = Description(
        database=database.name,
        classes=database.classes or _shown(records),
        sequence_rule=database.sequence_rule,
        landmarks=source,
        fingerprint=print_,
        found=len(records) + len(images),
        dropped=images | outcome.dropped,
        ferlit_version=_own_version(),
        target_rule=database.rule_of_targets(options),
        unread={name: reason for name, reason in unread.items() if name not in images},
        several=outcome.several,
    )
    targets = database.read_targets(root, kept["image"].tolist(), options)
    if targets is not None:
        np.save(partial_folder / TARGETS, targets)
    _finish(partial_folder, kept, description)
    warnings += warn_of_duplicates(kept, np.load(partial_folder / FACES, mmap_mode="r"))
    report = summarise(kept, description, warnings, time.perf_counter() - started)
    write_report(report, partial_folder)
    write_manifest(partial_folder)
    _put_in_place(partial_folder, output)
    _warn_of_losses(description)
    del records, kept  # the store reads its own table
    return Store.open(output)


def _is_made(output: Path, print_: str, replace: bool) -> bool:
    """Whether the store at ``output`` is the one that is wanted; an error where it must stay."""
    old = Description.read(output / DESCRIPTION)
    if old.fingerprint != print_ and not replace:
        raise DataError(
            f"{output} exists and was made from other files or settings (of {old.database}); "
            "remove it or choose another folder"
        )
    return old.fingerprint == print_


def _partial_folder(output: Path, print_: str, resume: bool) -> Path:
    """The folder of the unfinished store, emptied unless it can be gone on with."""
    folder = output.with_name(output.name + ".partial")
    mark = folder / _MARK
    is_same = mark.is_file() and mark.read_text() == print_
    if folder.exists() and not (resume and is_same):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(print_)
    return folder


def _finish(folder: Path, kept: pd.DataFrame, description: Description) -> None:
    """Join the parts and write the table and the description."""
    join_parts(folder, folder / FACES, len(kept))
    sheet = contact_sheet(kept, partial(read_face, folder / FACES), description.classes)
    sheet.save(folder / CONTACT_SHEET)
    write_records(kept, folder / RECORDS)
    description.write(folder / DESCRIPTION)
    (folder / _MARK).unlink()


def _put_in_place(folder: Path, output: Path) -> None:
    if (output / IDENTITIES).is_file():  # somebody may have corrected it
        shutil.copy2(output / IDENTITIES, folder)
    # An interruption must not leave half a store, and not lose those corrections with it.
    old = output.with_name(output.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    folder.rename(output)
    shutil.rmtree(old, ignore_errors=True)


def _warn_of_losses(description: Description) -> None:
    dropped, unread = description.dropped, description.unread
    said = []
    if dropped:
        said.append(f"{len(dropped)} of {description.found} images could not be prepared")
    if unread:
        said.append(f"{len(unread)} files or folders were not read")
    if said:
        logger.warning("%s:\n%s", "; ".join(said), list_reasons(dropped | unread))


def _warn_of_new(store: Store, unread: Mapping[str, str]) -> None:
    """A store of the same files says nothing of those that came since and are not read."""
    known = store.description.dropped.keys() | store.description.unread.keys()
    new = {name: reason for name, reason in unread.items() if name not in known}
    if new:
        logger.warning(
            "%s stays as it is; %d files or folders that it does not mention were not read:\n%s",
            store.folder,
            len(new),
            list_reasons(new),
        )


def _shown(records: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in EXPRESSIONS if (records["expression"] == name).any())


def _own_version() -> str:
    try:
        return version("ferlit")
    except PackageNotFoundError:  # run from a folder that was never installed
        return ""
