"""Locks for whatever two processes may make at once: the second waits, or is turned away."""

import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from ferlit.errors import FerlitError

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)
_SOON_SECONDS = 1.0  # a wait as short as this needs no word
PATIENCE_SECONDS = 10.0  # for the last children of a process that was killed


class TakenError(FerlitError):
    """Another process works in a folder."""


@contextmanager
def owned(path: Path, purpose: str) -> Iterator[bool]:
    """Be the only process that works on ``path``.

    The system gives a dead owner's lock back, so that nobody waits for it. The lock lies beside
    ``path``, in two files whose names begin with a dot; they go when it is free.

    Args:
        path: What is made, a file or a folder; it need not exist.
        purpose: What this process does with it, for those who wait, such as "preparing it".

    Yields:
        Whether another process had it before: what was to be made may be there by now.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, owned(Path(folder, "store"), "making it") as waited:
    ...     waited
    False
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    lock = FileLock(place)
    note = path.with_name(f".{path.name}.owner")
    has_waited = False
    try:
        lock.acquire(timeout=_SOON_SECONDS)
    except Timeout:
        has_waited = True
        logger.warning("%s: waiting for %s", path, _owner(note))
        lock.acquire()
    try:
        _write(note, purpose)
        yield has_waited
    finally:
        note.unlink(missing_ok=True)
        if os.name != "nt":  # there the release removes it
            place.unlink(missing_ok=True)  # who waited for this file takes a new one
        lock.release()


def is_taken(file: int) -> bool:
    """Whether another process holds an open file; from now on this one does, where it can be.

    A child that inherits the open file holds it as long as it lives, even where this process is
    killed. On Windows, and in file systems without locks, none is ever taken.

    Args:
        file: A file, or a folder.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return True
            time.sleep(0.2)
        except OSError:  # this file system knows no locks
            return False
        else:
            return False
    return False


@contextmanager
def alone_in(folder: Path, command: str, remedy: str) -> Iterator[None]:
    """Keep other processes of a command out of a folder.

    Args:
        folder: It is made where it is missing.
        command: Of ferlit, such as "fit".
        remedy: What to do instead of waiting for the other's end.

    Raises:
        TakenError: there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":  # no locks there
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if is_taken(handle):
            raise TakenError(
                f"{folder}: another ferlit {command} is running there; wait for its end, or "
                f"{remedy}"
            )
        try:
            yield
        finally:
            with suppress(OSError):  # in file systems without locks
                fcntl.flock(handle, fcntl.LOCK_UN)  # children may hold it a little longer
    finally:
        os.close(handle)


def _write(note: Path, purpose: str) -> None:
    since = datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    text = f"process {os.getpid()} on {platform.node()} ({command}), {purpose} since {since}"
    note.write_text(text, encoding="utf-8")


def _owner(note: Path) -> str:
    try:
        return note.read_text(encoding="utf-8") or "another process"
    except OSError:  # between its lock and its note
        return "another process"
