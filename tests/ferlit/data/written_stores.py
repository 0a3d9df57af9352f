"""Small stores that are written at once, with everything in them chosen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferlit.data.records import SequenceRule, record_table, write_records
from ferlit.data.store import DESCRIPTION, FACES, RECORDS, TARGETS, Description, Store
from ferlit.data.store.manifest import block_checksums, write_manifest

CLASSES = ("anger", "fear", "happiness")


def write_store(
    folder: Path,
    database: str = "jaffe",
    *,
    people: Sequence[str] = ("1", "2", "3", "4"),
    classes: Sequence[str] = CLASSES,
    splits: Sequence[str] = ("",),
    each: int = 2,
    frames: bool = False,
    seed: int = 0,
    landmarks: str = "none",
    sequence_rule: SequenceRule = "max",
    target_rule: str = "",
    faces: NDArray[np.uint8] | None = None,
) -> Store:
    """A store: ``each`` faces of every person and class, person i in part i of ``splits``."""
    rows = [
        {
            "image": f"{person or number}/{name}{shot}.png",
            "expression": name,
            "identity": person,
            "sequence": f"{person}{name}" if frames else "",
            "split": splits[number % len(splits)],
        }
        for number, person in enumerate(people)
        for name in classes
        for shot in range(each)
    ]
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    drawn = rng.integers(256, size=(len(rows), 60, 60), dtype=np.uint8) if faces is None else faces
    np.save(folder / FACES, drawn)
    if target_rule:
        labels = [classes.index(str(row["expression"])) for row in rows]
        targets = np.full((len(rows), len(classes)), 0.1, np.float32)
        targets[np.arange(len(rows)), labels] += 0.7
        np.save(folder / TARGETS, targets)
    write_records(record_table(rows), folder / RECORDS)
    Description(
        database=database,
        classes=tuple(classes),
        sequence_rule=sequence_rule,
        landmarks=landmarks,
        fingerprint=f"{database} {seed}",
        found=len(rows),
        target_rule=target_rule,
        blocks=block_checksums(folder / FACES),
    ).write(folder / DESCRIPTION)
    write_manifest(folder)
    return Store.open(folder)
