"""A prepared store: the registered faces of a database, ready to train on.

A folder: ``faces.npy`` (n x 60 x 60 uint8, memory-mapped), ``records.csv`` (the record table, row i
for face i) and ``store.json`` (database, classes, how it was made, what was dropped); for FER+ also
``targets.npy`` (n x K float32), what several people saw in the faces. Beside them, for people:
``report.json``, ``contact_sheet.png`` and the checksums ``manifest.sha256``. Where the database
does not name the persons, ``ferlit identities`` adds ``identities.csv``.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.identities import IDENTITIES, with_identities
from ferlit.data.outdated import refuse_shifted_ferplus
from ferlit.data.records import read_records
from ferlit.errors import DataError

FACES, RECORDS, DESCRIPTION = "faces.npy", "records.csv", "store.json"
TARGETS = "targets.npy"


@dataclass(frozen=True)
class Description:
    """What ``store.json`` says.

    Args:
        database: Name of the database.
        classes: Its expressions in the order of the network's outputs.
        sequence_rule: How the images of a sequence vote, "max" or "mean".
        landmarks: Where the landmarks came from, see `ferlit.data.landmark_sources`.
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
    """

    database: str
    classes: tuple[str, ...]
    sequence_rule: Literal["max", "mean"]
    landmarks: str
    fingerprint: str
    found: int
    dropped: dict[str, str] = field(default_factory=dict)
    ferlit_version: str = ""
    target_rule: str = ""
    unread: dict[str, str] = field(default_factory=dict)
    several: dict[str, int] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Description":
        """Read ``store.json``.

        Raises:
            DataError: the file is missing or is no description of a store.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{**values, "classes": tuple(values["classes"])})
        except FileNotFoundError:
            raise DataError(
                f"{path.parent}: no prepared store (it has no {path.name}); "
                "make one with `ferlit prepare`"
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(f"{path}: not the description of a store ({error})") from error


@dataclass(frozen=True)
class Store:
    """An opened store.

    Args:
        folder: Where it lies.
        description: What it holds.
        records: The record table, row i for face i.
        faces: (n, 60, 60) uint8, memory-mapped.
        targets: (n, K) float32, what several people saw, where training learns that.
    """

    folder: Path
    description: Description
    records: pd.DataFrame
    faces: NDArray[np.uint8]
    targets: NDArray[np.float32] | None = None

    @classmethod
    def open(cls, folder: Path, *, identities: bool = True) -> "Store":
        """Open a store.

        Args:
            folder: Where it lies.
            identities: Fill in the persons that the database does not name from
                ``identities.csv``, where there is one (see `ferlit.data.identities`).

        Raises:
            DataError: there is none, or its files do not fit together.
        """
        description = Description.read(folder / DESCRIPTION)
        records = read_records(folder / RECORDS)
        refuse_shifted_ferplus(folder, description.database, records["image"])
        faces = _load(folder / FACES, len(records))
        targets = _load(folder / TARGETS, len(records)) if description.target_rule else None
        if identities and (folder / IDENTITIES).is_file():
            records = with_identities(records, folder / IDENTITIES)
        return cls(folder, description, records, faces, targets)


def _load(path: Path, rows: int) -> NDArray[Any]:
    """An array of the store, memory-mapped, with a row for each record."""
    try:
        values: NDArray[Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if len(values) != rows:
        raise DataError(
            f"{path.parent}: {path.name} holds {len(values)} rows and {RECORDS} {rows}; "
            "prepare the store again"
        )
    return values
