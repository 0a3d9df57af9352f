"""A prepared store: the registered faces of a database, ready to train on.

A folder: ``faces.npy`` (n x 60 x 60 uint8, memory-mapped), ``records.csv`` (the record table, row i
for face i) and ``store.json`` (database, classes, how it was made, what was dropped). Beside them,
for people: ``report.json``, ``contact_sheet.png`` and the checksums ``manifest.sha256``. Where the
database does not name the persons, ``ferlit identities`` adds ``identities.csv``.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.identities import IDENTITIES, with_identities
from ferlit.data.records import read_records
from ferlit.errors import DataError

FACES, RECORDS, DESCRIPTION = "faces.npy", "records.csv", "store.json"


@dataclass(frozen=True)
class Description:
    """What ``store.json`` says.

    Args:
        database: Name of the database.
        classes: Its expressions in the order of the network's outputs.
        sequence_rule: How the images of a sequence vote, "max" or "mean".
        landmarks: Where the landmarks came from, see `ferlit.data.landmark_sources`.
        fingerprint: Identifies the files that the store was made from and the way it was made.
        found: Number of images that the database has.
        dropped: The images that could not be prepared, each with the reason.
        ferlit_version: The version that made the store.
    """

    database: str
    classes: tuple[str, ...]
    sequence_rule: Literal["max", "mean"]
    landmarks: str
    fingerprint: str
    found: int
    dropped: dict[str, str] = field(default_factory=dict)
    ferlit_version: str = ""

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
    """

    folder: Path
    description: Description
    records: pd.DataFrame
    faces: NDArray[np.uint8]

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
        try:
            faces = np.load(folder / FACES, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DataError(f"{folder / FACES}: cannot be read ({error})") from error
        if len(faces) != len(records):
            raise DataError(
                f"{folder}: {FACES} holds {len(faces)} faces and {RECORDS} {len(records)} rows; "
                "prepare the store again"
            )
        if identities and (folder / IDENTITIES).is_file():
            records = with_identities(records, folder / IDENTITIES)
        return cls(folder, description, records, faces)
