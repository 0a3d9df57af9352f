"""A store's folder that is replaced as a whole, while others may read it.

The old one is set aside, the new one gets its name, then the old one goes. Between the two there is
a moment without a store. Who reads then waits for its end, and after a kill puts the old one back.
"""

import filecmp
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ferlit.data.store.identities import IDENTITIES
from ferlit.data.store.manifest import MANIFEST
from ferlit.errors import DataError
from ferlit.files import sync, whole_file
from ferlit.locks import owned

logger = logging.getLogger(__name__)
_MOMENT = 2.0  # seconds that a replacement may take between its two steps
_T = TypeVar("_T")


def put_in_place(new: Path, output: Path) -> None:
    """Replace a store; its ``identities.csv``, which somebody may have corrected, is kept.

    Args:
        new: The folder of the new store, beside ``output``.
        output: The store. Only the process that owns it (`ferlit.locks.owned`) may replace it.
    """
    aside = _aside(output)
    shutil.rmtree(aside, ignore_errors=True)
    _hand_on(output / IDENTITIES, new / IDENTITIES)
    if output.exists():
        output.rename(aside)
    new.rename(output)
    sync(output.parent)
    clear(output)


def clear(output: Path) -> None:
    """Remove what a replacement set aside, with the last corrections saved."""
    aside = _aside(output)
    table, kept = aside / IDENTITIES, output / IDENTITIES
    # Somebody may have saved it while the folders changed places.
    if table.is_file() and not (kept.is_file() and _age(kept) <= _age(table)):
        _hand_on(table, kept)
    shutil.rmtree(aside, ignore_errors=True)


def restore(output: Path) -> None:
    """Undo a replacement that was killed half way. Only the store's owner may.

    Args:
        output: The store.
    """
    if output.exists():
        clear(output)
        return
    places = [_aside(output)]
    earlier = output.with_name(f"{output.name}.old")  # where earlier versions set it aside
    if (earlier / MANIFEST).is_file():
        places.append(earlier)
    for aside in places:
        if aside.is_dir():
            aside.rename(output)
            sync(output.parent)
            logger.warning("%s: put back; a killed renewal had left it as %s", output, aside)
            return


def read_steadily(output: Path, read: Callable[[Path], _T]) -> _T:
    """Read a store, again where it was replaced meanwhile.

    Args:
        output: The store.
        read: Reads it.

    Raises:
        DataError: as ``read`` does; or a replacement that was killed cannot be undone.
    """
    while True:
        try:
            wait_for_replacement(output)
            before = _which(output)
            try:
                found = read(output)
            except (DataError, OSError):
                if _which(output) == before:
                    raise
                continue
        except OSError as error:
            raise DataError(f"{output}: cannot be read ({error.strerror or error})") from error
        if _which(output) == before:
            return found


def wait_for_replacement(output: Path) -> None:
    """Wait while a store is being replaced, and put it back where its owner was killed then."""
    aside, end = _aside(output), time.monotonic() + _MOMENT
    while not output.exists() and aside.exists():
        if time.monotonic() < end:
            time.sleep(0.01)
            continue
        try:
            with owned(output.resolve(), "putting it back"):
                restore(output)
        except OSError as error:
            raise DataError(
                f"{output} is missing: a renewal that was killed had set it aside as {aside}, and "
                f"it cannot be renamed ({error.strerror}); rename it back"
            ) from error


def _aside(output: Path) -> Path:
    output = output.resolve()
    return output.with_name(f".{output.name}.replaced")


def _age(file: Path) -> int:
    return -file.stat().st_mtime_ns


def _hand_on(table: Path, to: Path) -> None:
    """Keep the table of identities, as it is by now, in the other folder."""
    if not table.is_file():
        to.unlink(missing_ok=True)
    elif not to.is_file() or not filecmp.cmp(table, to, shallow=False):
        with whole_file(to) as draft:
            shutil.copy2(table, draft)


def _which(folder: Path) -> tuple[int, int, int] | None:
    """Which folder has the name at present."""
    try:
        status = folder.stat()
    except OSError:
        return None
    # The number of a folder that was removed is soon another's.
    return status.st_dev, status.st_ino, status.st_ctime_ns
