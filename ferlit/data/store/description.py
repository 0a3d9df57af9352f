"""What a store says of itself: ``store.json``."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ferlit.data.records import SequenceRule, check_classes
from ferlit.data.store.manifest import MANIFEST, DamagedError, read_manifest
from ferlit.data.store.replacing import read_steadily
from ferlit.errors import DataError
from ferlit.files import write_text

DESCRIPTION = "store.json"


@dataclass(frozen=True)
class Description:
    """What ``store.json`` says.

    Args:
        database: Name of the database.
        classes: Its expressions in the order of the network's outputs.
        sequence_rule: How the images of a sequence vote, "max" or "mean".
        landmarks: Where the landmarks came from, see `ferlit prepare --landmarks`.
        fingerprint: Identifies the files that the store was made from and the way it was made.
        found: Number of images that the database has, as far as it is known.
        dropped: The images that could not be prepared, each with the reason.
        ferlit_version: The version that made the store.
        target_rule: What training does with ``targets.npy`` (see `Database.target_rule`); "" where
            it learns the labels.
        unread: Files and folders that could not be read, each with the reason; how many images are
            in them is not known.
        several: The images in which several faces were found, each with their number; the largest
            was taken.
        blocks: Checksums of ``faces.npy`` (see `ferlit.data.store.manifest.block_checksums`); "" in
            the store of an earlier version.
        reader: The options of the database's reader, with those that nobody chose; None in the
            store of an earlier version, which does not remember them.
    """

    database: str
    classes: tuple[str, ...]
    sequence_rule: SequenceRule
    landmarks: str
    fingerprint: str
    found: int
    dropped: dict[str, str] = field(default_factory=dict)
    ferlit_version: str = ""
    target_rule: str = ""
    unread: dict[str, str] = field(default_factory=dict)
    several: dict[str, int] = field(default_factory=dict)
    blocks: str = ""
    reader: dict[str, Any] | None = None

    def write(self, path: Path) -> None:
        write_text(path, self._text())

    def _text(self) -> str:
        values = asdict(self)
        if self.reader is None:
            del values["reader"]  # as the earlier version wrote it
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Description":
        """Read ``store.json``.

        Raises:
            DataError: the file is missing or cannot be read, or a class is called like a column.
            DamagedError: it is no description of a store, or not the one that was written.
        """
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise DataError(
                f"{path.parent}: no prepared store (it has no {path.name}); "
                "make one with `ferlit prepare`"
            ) from None
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            values = json.loads(content)
            description = cls(**{**values, "classes": tuple(values["classes"])})
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DamagedError(path, f"not the description of a store ({error})") from error
        check_classes(description.classes, str(path.parent))
        digests = written_digests(path.parent, description)
        # Written in another way, such as on one line, it says the same.
        texts = (content, description._text().encode())
        if digests and digests.get(path.name) not in [hashlib.sha256(t).hexdigest() for t in texts]:
            raise DamagedError(path, f"damaged: it is not what {MANIFEST} says that was written")
        return description


def find_description(folder: Path) -> Description | None:
    """The description of the store in a folder, or None where there is none.

    Raises:
        DataError: it cannot be read.
        DamagedError: it is damaged.
    """

    def read(folder: Path) -> Description | None:
        path = folder / DESCRIPTION
        return Description.read(path) if path.is_file() else None

    return read_steadily(folder, read)


def written_digests(folder: Path, description: Description) -> dict[str, str]:
    """What the manifest says; nothing where an earlier version wrote none."""
    if description.blocks or (folder / MANIFEST).exists():
        return read_manifest(folder)
    return {}
