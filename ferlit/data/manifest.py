"""Checksums of a store's files, so that a copy can be verified."""

import hashlib
from pathlib import Path

from ferlit.errors import DataError

MANIFEST = "manifest.sha256"


def checksum(path: Path) -> str:
    """The SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> None:
    """Write the checksums of all files in a folder, in the form of ``sha256sum``."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    lines = [f"{checksum(folder / name)}  {name}\n" for name in names if name != MANIFEST]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


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
    path = folder / MANIFEST
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); prepare the store again") from error
    found = []
    for line in lines:
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name or Path(name).name != name:
            raise DataError(f"{path}: {line[:80]!r} is no checksum and name of a file")
        if not (folder / name).is_file():
            found.append(f"{name}: missing")
        elif checksum(folder / name) != digest:
            found.append(f"{name}: changed since it was written")
    return found
