"""Rows of numbers that take long to compute, kept in a file."""

import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from ferlit.errors import DataError
from ferlit.files import sync
from ferlit.locks import owned

_BATCH = 64
logger = logging.getLogger(__name__)


def cached_rows(
    path: Path,
    count: int,
    size: int,
    compute: Callable[[int, int], NDArray[np.float32]],
) -> NDArray[np.float32]:
    """Rows of numbers from a file, or computed once into it; an interruption loses one batch.

    Each row is kept with its CRC-32. Rows that were damaged since are computed again. Where another
    process computes them, this one waits.

    Args:
        path: The file: row after row, float32 and then uint32.
        count: Number of rows.
        size: Numbers in a row.
        compute: The rows from a first to before a last.

    Returns:
        (count, size) numbers.

    Raises:
        DataError: the file cannot be written.
    """
    kind = np.dtype([("row", np.float32, (size,)), ("crc", np.uint32)])
    try:
        kept = _whole_rows(path, kind)
        if len(kept) == count:
            return kept
        with owned(path, "embedding the faces of a store"):
            kept = _whole_rows(path, kind)
            if len(kept) != count:
                if path.exists():
                    logger.warning("%s: damaged, its embeddings are computed again", path)
                _complete(path.with_suffix(".part"), kind, count, compute)
                path.with_suffix(".part").replace(path)
                kept = _whole_rows(path, kind)
        return kept
    except OSError as error:
        raise DataError(
            f"{path.parent}: the embeddings of the store's faces cannot be kept there ({error}); "
            "make room, or go without --store"
        ) from error


def _complete(
    draft: Path,
    kind: "np.dtype[np.void]",
    count: int,
    compute: Callable[[int, int], NDArray[np.float32]],
) -> None:
    """Write the rows that a draft lacks."""
    draft.touch()
    done = min(len(_whole_rows(draft, kind)), count) // _BATCH * _BATCH
    with draft.open("r+b") as file:
        file.seek(done * kind.itemsize)
        file.truncate()
        console = Console(stderr=True)
        starts = range(done, count, _BATCH)
        for start in track(starts, "embedding the store's faces", console=console):
            rows = compute(start, min(start + _BATCH, count))
            batch = np.zeros(len(rows), kind)
            batch["row"] = rows
            batch["crc"] = [zlib.crc32(row.tobytes()) for row in batch["row"]]
            file.write(batch.tobytes())
            file.flush()
    sync(draft)


def _whole_rows(path: Path, kind: "np.dtype[np.void]") -> NDArray[np.float32]:
    """The rows of a file before the first that is not as it was written."""
    content = path.read_bytes() if path.is_file() else b""
    table = np.frombuffer(content, kind, len(content) // kind.itemsize)
    rows = np.ascontiguousarray(table["row"], np.float32)
    is_whole = [zlib.crc32(row.tobytes()) for row in rows] == table["crc"]
    return rows if np.all(is_whole) else rows[: int(np.argmin(is_whole))]
