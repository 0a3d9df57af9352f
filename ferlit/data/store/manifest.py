"""Checksums of a store's files: a copy can be verified, and damage is seen at the opening."""

import hashlib
import random
import re
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ferlit.errors import DataError
from ferlit.files import write_text

MANIFEST = "manifest.sha256"
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\]+)")
_BLOCK = 1 << 20  # bytes that share a CRC-32
_DIGITS = 8  # of a CRC-32
WHOLE = 1 << 30  # bytes that are compared at the opening, which takes about half a second
_SAMPLE = 256  # blocks of what is larger


class DamagedError(DataError):
    """A store whose files are not as they were written.

    Args:
        path: The file.
        problem: What is wrong with it.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.damage = f"{path}: {problem}"
        super().__init__(
            f"{self.damage}. Make the store again with `ferlit prepare --database NAME --root "
            f"DIR --output {path.parent}`, which keeps its identities.csv, or copy it again"
        )


def checksum(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def block_checksums(path: Path) -> str:
    """The CRC-32 of every MiB of a file, eight hexadecimal digits each.

    They are quicker than SHA-256 and can be compared in part: see `check_blocks`.
    """
    with path.open("rb") as file:
        return "".join(f"{zlib.crc32(block):08x}" for block in iter(lambda: file.read(_BLOCK), b""))


def write_manifest(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write the checksums of a folder's files, in the form of ``sha256sum``.

    Args:
        folder: Holds the files.
        names: Which; None for all.
    """
    if names is None:
        names = (path.name for path in folder.iterdir() if path.is_file())
    chosen = sorted(set(names) - {MANIFEST})
    lines = [f"{checksum(folder / name)}  {name}\n" for name in chosen]
    write_text(folder / MANIFEST, "".join(lines))


def read_manifest(folder: Path) -> dict[str, str]:
    """The SHA-256 that each file of a folder was written with.

    Raises:
        DataError: there is no manifest, or it cannot be read.
        DamagedError: it is damaged.
    """
    path = folder / MANIFEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DamagedError(path, f"damaged ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); prepare the store again") from error
    digests: dict[str, str] = {}
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None or found[2] in digests:
            raise DamagedError(path, f"{line[:80]!r} is no checksum and name of one more file")
        digests[found[2]] = found[1]
    if not digests:
        raise DamagedError(path, "damaged: it names no file")
    return digests


def verify(folder: Path) -> list[str]:
    """Compare the files in a folder with its manifest.

    Returns:
        What differs, a line a file; nothing where all is as it was written.

    Raises:
        DataError: there is no manifest, or it is damaged.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as name:
    ...     folder = Path(name)
    ...     _ = (folder / "faces.npy").write_bytes(b"faces")
    ...     write_manifest(folder)
    ...     before = verify(folder)
    ...     _ = (folder / "faces.npy").write_bytes(b"other faces")
    ...     before, verify(folder)
    ([], ['faces.npy: changed since it was written'])
    """
    found = []
    for name, digest in read_manifest(folder).items():
        if not (folder / name).is_file():
            found.append(f"{name}: missing")
        elif checksum(folder / name) != digest:
            found.append(f"{name}: changed since it was written")
    return found


def check_file(path: Path, digests: Mapping[str, str]) -> None:
    """Compare a file with its line in the manifest.

    Raises:
        DamagedError: they differ, or there is no line.
    """
    if path.name not in digests:
        raise DamagedError(path.with_name(MANIFEST), f"does not list {path.name}")
    if checksum(path) != digests[path.name]:
        raise DamagedError(path, f"damaged: it is not what {MANIFEST} says that was written")


def check_blocks(path: Path, blocks: str) -> str:
    """Compare a file with the checksums of its blocks: all of them up to 1 GiB, else a sample.

    The sample is another one at each call.

    Args:
        path: The file.
        blocks: As `block_checksums` gave them.

    Returns:
        What was compared of a file that is too large, for people; "" for all of it.

    Raises:
        DamagedError: a block differs, or the file has another size.
    """
    count, size = len(blocks) // _DIGITS, path.stat().st_size
    if -(-size // _BLOCK) != count:
        raise DamagedError(path, f"damaged: it has {size} bytes instead of about {count} MiB")
    chosen = list(range(count))
    is_sample = count * _BLOCK > WHOLE and count > _SAMPLE
    if is_sample:
        # Not always the same ones, so that damage shows sooner or later.
        chosen = sorted(random.SystemRandom().sample(chosen, _SAMPLE))
    with path.open("rb", buffering=0) as file:
        for number in chosen:
            file.seek(number * _BLOCK)
            expected = blocks[number * _DIGITS : (number + 1) * _DIGITS]
            if f"{zlib.crc32(file.read(_BLOCK)):08x}" != expected:
                start = number * _BLOCK
                end = min(start + _BLOCK, size)
                raise DamagedError(path, f"damaged: its bytes {start} to {end} have changed")
    return f"{len(chosen)} of {count} MiB" if is_sample else ""
