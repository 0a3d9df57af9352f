"""From a database on disk to a prepared store: read, register, save.

The faces are made in parts; finished parts stay, so an interrupted preparation can go on. The store
gets its name only when it is whole. One process makes it, and others wait for that.
"""

import logging
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace as replace_values
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferlit.data.databases import Database
from ferlit.data.databases.listing import is_image
from ferlit.data.faces.detection import make_detector
from ferlit.data.faces.maker import FaceMaker
from ferlit.data.preparation.choices import other_options, plain_options
from ferlit.data.preparation.contact_sheet import CONTACT_SHEET, contact_sheet
from ferlit.data.preparation.duplicates import warn_of_duplicates
from ferlit.data.preparation.fingerprint import fingerprint
from ferlit.data.preparation.landmarks import choose_landmarks, warn_of_missing
from ferlit.data.preparation.parts import Outcome, join_parts, make_parts, read_face
from ferlit.data.preparation.summary import WarningList, list_reasons, summarise, write_report
from ferlit.data.preparation.unfinished import begin, is_finished, seal, tidy
from ferlit.data.records import EXPRESSIONS, unread_files, write_records
from ferlit.data.store import DESCRIPTION, FACES, RECORDS, TARGETS, Description, Store
from ferlit.data.store.manifest import MANIFEST, DamagedError, block_checksums
from ferlit.data.store.replacing import put_in_place, read_steadily, restore
from ferlit.errors import DataError
from ferlit.locks import owned

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
    repair: bool = False,
    progress: bool = True,
) -> Store:
    """Prepare a database: every image registered to a 60 x 60 grey face.

    An image that cannot be read or registered is dropped with its reason; the rest goes on. Where
    another process prepares the same output, this one waits, and takes the store that it made, or
    goes on with the parts that it left when it was killed.

    Args:
        database: Its reader.
        root: Folder of the database.
        output: Folder of the store. A finished store of the same files is opened as it is.
        options: Of the database, see `Database.with_options`.
        landmarks: See `choose_landmarks`. Of several faces found in a picture the largest is taken.
        landmark_models: See `make_detector`.
        workers: The most processes; None for one a core. Small databases stay in this one, see
            `ferlit.data.preparation.workers`.
        resume: Go on with the parts that an interrupted preparation left.
        replace: Remove a store at ``output`` that was made from other files or settings, or that is
            damaged.
        repair: Make a damaged store again.
        progress: Show a progress bar.

    Returns:
        The store.

    Raises:
        DataError: the root does not hold the database, no image could be prepared, ``output`` holds
            something else or cannot be written.
        DamagedError: the store at ``output`` is damaged.
        FerlitError: a process ended before its work was done.
    """
    read_steadily(output, _refuse_others)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{output}: this folder cannot be made ({error.strerror})") from error
    started = time.perf_counter()
    with WarningList() as warnings:
        database = database.with_options(options)
        records = database.read(root)
        source = choose_landmarks(database, records, landmarks)
        warn_of_missing(records, source)
    print_ = fingerprint(database, root, records, source)
    asked = (database, source, print_)
    look = partial(_what_to_make, *asked, replace=replace, repair=repair or replace)
    if read_steadily(output, look) is None:
        return _as_it_is(output, records)
    make = FaceMaker(root, source, make_detector(source, landmark_models), database.read_landmarks)
    place = output.resolve()  # a link to a store stays one
    folder = place.with_name(place.name + ".partial")
    try:
        with owned(place, "preparing it") as has_waited:
            restore(place)
            reason = look(output)
            if reason is None:
                return _as_it_is(output, records)
            if reason:
                logger.warning("%s. It is made again now", reason)
            resume = resume or has_waited  # its owner was killed
            if not (resume and is_finished(folder, print_)):
                begin(folder, print_, resume=resume)
                outcome = make_parts(records, make, folder, workers=workers, progress=progress)
                if len(outcome.dropped) == len(records):
                    shutil.rmtree(folder)
                    raise DataError(
                        f"{database.name} at {root}: none of the {len(records)} images could be "
                        "prepared:\n" + list_reasons(outcome.dropped)
                    )
                kept = records[~records["image"].isin(list(outcome.dropped))]
                description = _describe(database, records, kept, outcome)
                description = replace_values(description, landmarks=source, fingerprint=print_)
                targets = database.read_targets(root, kept["image"].tolist())
                if targets is not None:
                    np.save(folder / TARGETS, targets)
                _finish(folder, kept, description)
                warnings += warn_of_duplicates(kept, np.load(folder / FACES, mmap_mode="r"))
                seconds = time.perf_counter() - started
                write_report(summarise(kept, description, warnings, seconds), folder)
                seal(folder)
                del kept
                _warn_of_losses(description)
            del records  # the store reads its own table
            tidy(folder)
            put_in_place(folder, place)
    except OSError as error:
        kept_at = f"; what was finished is kept in {folder}: go on with --resume"
        raise DataError(
            f"{output}: cannot be made ({error})" + (kept_at if folder.exists() else "")
        ) from error
    return Store.open(output)


def _refuse_others(output: Path) -> None:
    is_damaged = (output / MANIFEST).is_file() and (output / FACES).is_file()
    if output.exists() and not (output / DESCRIPTION).is_file() and not is_damaged:
        raise DataError(f"{output} exists and is not a store; choose another folder")


def _what_to_make(
    database: Database,
    landmarks: str,
    print_: str,
    output: Path,
    *,
    replace: bool,
    repair: bool,
) -> str | None:
    """Why there is something to make: the damage to what is there, how it differs, or "".

    Returns:
        None where the store at ``output`` is the one that is wanted.

    Raises:
        DataError: it is another one and must stay.
        DamagedError: it is damaged and must stay.
    """
    if not output.exists():
        return ""
    try:
        if not (output / DESCRIPTION).is_file():
            raise DamagedError(output / DESCRIPTION, "missing")
        old = Description.read(output / DESCRIPTION)
        if old.fingerprint == print_:
            Store.open(output, identities=False)
            return None
    except DamagedError as error:
        if not repair:
            raise
        return error.damage
    found = _differences(old, database, landmarks)
    if not replace:
        why = f" ({'; '.join(found)})" if found else f" (of {old.database})"
        raise DataError(
            f"{output} exists and was made from other files or settings{why}; "
            "remove it or choose another folder"
        )
    return f"{output}: {'; '.join(found)}" if found else ""


def _differences(old: Description, database: Database, landmarks: str) -> list[str]:
    """How a store was made otherwise, as far as it tells; its files may be others too."""
    if old.database != database.name:
        return [f"of {old.database} there, not {database.name}"]
    found = other_options(old, database.chosen)
    if old.landmarks != landmarks:
        found.append(f"landmarks {old.landmarks} there, not {landmarks}")
    return found


def _describe(
    database: Database, records: pd.DataFrame, kept: pd.DataFrame, outcome: Outcome
) -> Description:
    """All but the landmarks, the fingerprint and the checksums."""
    unread = unread_files(records)
    images = {name: reason for name, reason in unread.items() if is_image(name)}
    return Description(
        database=database.name,
        classes=database.classes or _shown(kept),
        sequence_rule=database.sequence_rule,
        landmarks="",
        fingerprint="",
        found=len(records) + len(images),
        dropped=images | outcome.dropped,
        ferlit_version=_own_version(),
        target_rule=database.target_rule,
        unread={name: reason for name, reason in unread.items() if name not in images},
        several=outcome.several,
        reader=plain_options(database),
    )


def _finish(folder: Path, kept: pd.DataFrame, description: Description) -> None:
    """Join the parts and write the table and the description."""
    join_parts(folder, folder / FACES, len(kept))
    sheet = contact_sheet(kept, partial(read_face, folder / FACES), description.classes)
    sheet.save(folder / CONTACT_SHEET)
    write_records(kept, folder / RECORDS)
    blocks = block_checksums(folder / FACES)
    replace_values(description, blocks=blocks).write(folder / DESCRIPTION)


def _warn_of_losses(description: Description) -> None:
    dropped, unread = description.dropped, description.unread
    said = []
    if dropped:
        said.append(f"{len(dropped)} of {description.found} images could not be prepared")
    if unread:
        said.append(f"{len(unread)} files or folders were not read")
    if said:
        logger.warning("%s:\n%s", "; ".join(said), list_reasons(dropped | unread))


def _as_it_is(output: Path, records: pd.DataFrame) -> Store:
    """The store of the same files, which says nothing of those that came since and are not read."""
    store, unread = Store.open(output), unread_files(records)
    known = store.description.dropped.keys() | store.description.unread.keys()
    new = {name: reason for name, reason in unread.items() if name not in known}
    if new:
        logger.warning(
            "%s stays as it is; %d files or folders that it does not mention were not read:\n%s",
            store.folder,
            len(new),
            list_reasons(new),
        )
    return store


def _shown(records: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in EXPRESSIONS if (records["expression"] == name).any())


def _own_version() -> str:
    try:
        return version("ferlit")
    except PackageNotFoundError:  # run from a folder that was never installed
        return ""
