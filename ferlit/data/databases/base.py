"""What a reader of a database is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from ferlit.data.records import validate_records
from ferlit.errors import DataError


@dataclass(frozen=True)
class Database:
    """A facial expression database and how it is read.

    Args:
        name: Its name on the command line.
        classes: Its expressions, in the order of the network's outputs.
        reader: From the root folder to the record table (see `ferlit.data.records`); it raises
            `DataError` where the folder does not hold this database.
        layout: The expected layout in one line, for error messages.
        is_aligned: Whether the images are small aligned faces that need no registration.
        has_identities: Whether the records name the persons.
        sequence_rule: How the images of a sequence vote: "max" or "mean".
        create: Writes the database into a folder that does not exist, where it can be made.
    """

    name: str
    classes: tuple[str, ...]
    reader: Callable[[Path], pd.DataFrame]
    layout: str
    is_aligned: bool = False
    has_identities: bool = True
    sequence_rule: Literal["max", "mean"] = "max"
    create: Callable[[Path], None] | None = None

    def read(self, root: Path) -> pd.DataFrame:
        """Read and validate the record table of the copy below ``root``.

        Raises:
            DataError: the folder is missing, is not this database, or breaks its rules.
        """
        source = f"{self.name} at {root}"
        if not root.exists() and self.create is not None:
            self.create(root)
        if not root.is_dir():
            what = "is a file, not a folder" if root.exists() else "does not exist"
            raise DataError(f"{source}: this folder {what}; expected: {self.layout}")
        if not any(root.iterdir()):
            raise DataError(f"{source}: this folder is empty; expected: {self.layout}")
        return validate_records(self.reader(root), self.classes, source)
