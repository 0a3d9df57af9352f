"""Checkpoints as files: an archive keeps a checksum of each of its parts, which is compared here.

PyTorch writes these checksums (CRC-32) and does not look at them when it reads.
"""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from ferlit.errors import DataError
from ferlit.packed import ENDING, read_packed
from ferlit.shipped import place_of

# What Python's reader raises for a damaged archive; a name that is no text is a ValueError.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    IndexError,
)
_REMEDY = "take a whole copy of it; a run's last.ckpt or best.ckpt may still be whole"


def check_archive(path: Path) -> None:
    """Compare the checksums of a checkpoint; a file that is no archive is left to its reader.

    Args:
        path: What ``torch.save`` or ``torch.export.save`` wrote, of any version.

    Raises:
        DataError: it is damaged, or two of its parts have one name.

    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.ckpt")
    ...     torch.save({"weight": torch.ones(3)}, path)
    ...     check_archive(path)
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive)
            damaged = archive.testzip()
    except UNREADABLE as error:
        raise DataError(f"{path}: damaged ({error}); {_REMEDY}") from error
    if damaged is not None:
        raise DataError(f"{path}: damaged, its part {damaged} has another checksum; {_REMEDY}")


def check_members(path: Path, archive: zipfile.ZipFile) -> None:
    """See that an archive of PyTorch says one thing to every reader.

    Raises:
        DataError: two parts have one name, or one is compressed, which could unpack without end.
    """
    names: set[str] = set()
    for member in archive.infolist():
        if member.filename.casefold() in names:
            raise DataError(f"{path}: damaged, it has two parts of the name {member.filename}")
        names.add(member.filename.casefold())
        if member.compress_type != zipfile.ZIP_STORED:
            raise DataError(
                f"{path}: its part {member.filename} is compressed, which PyTorch never does"
            )


def read_checkpoint(path: Path, *, mmap: bool = False) -> Any:
    """The content of a checkpoint, once its checksums were compared.

    Nothing in it is run: it holds tensors and plain data, or is refused.

    Args:
        path: The file; one of ``ferlit export`` in safetensors, or the name of a network that comes
            with ferlit, is read as what it was exported from.
        mmap: Leave the tensors on the disk until they are used.

    Raises:
        DataError: it is missing, damaged, or holds something else.
    """
    import torch

    path = place_of(path)
    if not path.is_file():
        raise DataError(f"{path}: there is no such checkpoint")
    if path.suffix == ENDING:
        return read_packed(path)
    check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap or None)
    except Exception as error:  # a foreign file fails in many ways, from KeyError to EOFError
        raise DataError(
            f"{path}: not a checkpoint that loads safely ({type(error).__name__}): damaged, or "
            "made by another program"
        ) from error
