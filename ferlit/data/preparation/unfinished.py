"""The folder of a store that is being made: begun, gone on with, sealed by its checksums.

First it has the parts of the faces and the mark of what they are made from, then all files of the
store, then their checksums, with which it lacks nothing but its name.
"""

import logging
import shutil
from pathlib import Path

from ferlit.data.preparation.contact_sheet import CONTACT_SHEET
from ferlit.data.preparation.parts import PARTS, remove_parts
from ferlit.data.preparation.summary import REPORT
from ferlit.data.store import DESCRIPTION, FACES, RECORDS, TARGETS, Store
from ferlit.data.store.identities import IDENTITIES
from ferlit.data.store.manifest import MANIFEST, DamagedError, write_manifest
from ferlit.errors import DataError
from ferlit.files import sync, write_text

logger = logging.getLogger(__name__)
_MARK = "fingerprint"
_SEALED = (FACES, RECORDS, DESCRIPTION, TARGETS, REPORT, CONTACT_SHEET)


def begin(folder: Path, fingerprint: str, *, resume: bool) -> None:
    """Make the folder, or go on with it.

    Args:
        folder: Of the unfinished store.
        fingerprint: Of what it is made from.
        resume: Keep what was made from the same before.

    Raises:
        DataError: it holds files that no preparation has made.
    """
    mark = folder / _MARK
    is_same = mark.is_file() and mark.read_bytes() == fingerprint.encode()
    if folder.exists() and not (resume and is_same):
        _remove(folder)
        if resume:
            logger.warning("%s: of other files or settings, so it was begun anew", folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    write_text(mark, fingerprint)


def is_finished(folder: Path, fingerprint: str) -> bool:
    """Whether the store only lacks its name, and is as it was written."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        store = Store.open(folder, identities=False)
    except DamagedError as error:
        logger.warning("%s. It is made again now", error.damage)
        return False
    return store.description.fingerprint == fingerprint


def seal(folder: Path) -> None:
    """Bring all files to the disk, and then their checksums."""
    names = [name for name in _SEALED if (folder / name).is_file()]
    for name in names:
        sync(folder / name)
    write_manifest(folder, names)


def tidy(folder: Path) -> None:
    """Remove what the finished store does not need."""
    remove_parts(folder)
    (folder / _MARK).unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    own = {_MARK, MANIFEST, IDENTITIES, *_SEALED}
    left = [path for path in folder.iterdir() if not path.match(PARTS) and path.name not in own]
    # Drafts, of earlier versions too.
    strangers = [p for p in left if not (p.name.startswith(".") or p.suffix == ".draft")]
    if strangers:
        raise DataError(
            f"{folder} is in the way: it holds {strangers[0].name}, so it is no unfinished store; "
            "move it, or choose another folder for the new one"
        )
    shutil.rmtree(folder)
