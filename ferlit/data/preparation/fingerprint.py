"""What a store was made from and how, in one checksum."""

import hashlib
from pathlib import Path

import pandas as pd

from ferlit.data.databases import Database
from ferlit.data.places import Place

_RECIPE = 3
_ROWS = 4096  # of the table that become text at a time


def fingerprint(database: Database, root: Path, records: pd.DataFrame, landmarks: str) -> str:
    """A checksum over the record table, the sizes and times of its files, and the recipe.

    Args:
        database: With the user's options.
        root: Its folder.
        records: Its table.
        landmarks: As `ferlit.data.preparation.landmarks.choose_landmarks` returns it.
    """
    told = (database.name, database.classes, database.sequence_rule, database.target_rule)
    shaped = {
        option.name: database.chosen[option.name]
        for option in database.options
        if option.shapes_targets and database.chosen[option.name] != option.default
    }
    recipe = (_RECIPE, landmarks, *told, *([shaped] if shaped else []))
    digest = hashlib.sha256(f"{recipe}\n".encode())
    for start in range(0, len(records), _ROWS):
        rows = records.iloc[start : start + _ROWS]
        digest.update(rows.to_csv(index=False, header=start == 0).encode())
    names = set(records["image"]) | set(records["landmarks"]) - {""}
    for name in sorted({Place.parse(name).file for name in names}):
        try:
            stat = (root / name).stat()
        except OSError:
            continue  # a missing file is reported when it is read
        digest.update(f"{name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
