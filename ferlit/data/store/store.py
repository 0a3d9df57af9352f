"""Opening a prepared store, with its damage told."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.faces.registration import FACE_SIZE
from ferlit.data.records import read_records, validate_records
from ferlit.data.store.description import DESCRIPTION, Description, written_digests
from ferlit.data.store.identities import IDENTITIES, with_identities
from ferlit.data.store.manifest import (
    MANIFEST,
    WHOLE,
    DamagedError,
    check_blocks,
    check_file,
    checksum,
)
from ferlit.data.store.outdated import refuse_shifted_ferplus
from ferlit.data.store.replacing import read_steadily
from ferlit.errors import DataError

FACES, RECORDS, TARGETS = "faces.npy", "records.csv", "targets.npy"


class Member(NamedTuple):
    """A store among those whose rows are counted together.

    Args:
        name: What it is called there.
        store: The store.
        start: Where its rows begin.
    """

    name: str
    store: "Store"
    start: int

    @property
    def rows(self) -> slice:
        """Its rows among all."""
        return slice(self.start, self.start + len(self.store.records))


@dataclass(frozen=True)
class Store:
    """An opened store.

    Args:
        folder: Where it lies.
        description: What it holds.
        records: The record table, row i for face i.
        faces: (n, 60, 60) uint8, memory-mapped.
        targets: (n, K) float32, what several people saw, where training learns that.
        digests: The SHA-256 of each of its files, and of the table of identities that was applied.
    """

    folder: Path
    description: Description
    records: pd.DataFrame
    faces: NDArray[np.uint8]
    targets: NDArray[np.float32] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, *, identities: bool = True) -> "Store":
        """Open a store, and see that its files are as they were written.

        That is compared once a process, whole up to 1 GiB of faces; of more, a sample.

        Args:
            folder: Where it lies.
            identities: Fill in the persons that the database does not name from
                ``identities.csv``, where there is one (see `ferlit.data.store.identities`).

        Raises:
            DataError: there is none, or its table of identities is wrong.
            DamagedError: a file has changed, or they do not fit together.
        """
        return read_steadily(folder, partial(cls._open, identities=identities))

    @classmethod
    def _open(cls, folder: Path, *, identities: bool) -> "Store":
        description = Description.read(folder / DESCRIPTION)
        digests = written_digests(folder, description)
        others = [FACES, *([TARGETS] if description.target_rule else [])]
        seen = (folder.resolve(), *(_state(folder / name) for name in (MANIFEST, RECORDS, *others)))
        compare = partial(_compare, folder, description, {} if seen in _compared else digests)
        records = _read_records(folder / RECORDS)
        compare([RECORDS])
        refuse_shifted_ferplus(folder, description.database, records["image"])
        faces = _load(folder / FACES, np.dtype(np.uint8), (len(records), FACE_SIZE, FACE_SIZE))
        targets = None
        if description.target_rule:
            shape = (len(records), len(description.classes))
            targets = _load(folder / TARGETS, np.dtype(np.float32), shape)
        compare(others)
        if not digests and seen not in _compared:
            logger.warning("%s: has no %s, so that damage to it is not seen", folder, MANIFEST)
            records = validate_records(records, description.classes, str(folder))
        _compared.add(seen)
        if identities and (folder / IDENTITIES).is_file():
            records = with_identities(records, folder / IDENTITIES)
            digests = {**digests, IDENTITIES: checksum(folder / IDENTITIES)}
        return cls(folder, description, records, faces, targets, digests)

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return str(self.folder)

    @property
    def members(self) -> Iterable[Member]:
        """Itself alone: a `ferlit.data.store.union.StoreUnion` has several."""
        return (Member(self.description.database, self, 0),)

    @cached_property
    def content(self) -> str:
        """A checksum of all that training and tests take from the store.

        It covers the faces, labels and targets, the persons, corrected ones too, and what the
        description says of them; stores that were made on different days have the same.
        """
        named = self.description
        names = [FACES, RECORDS, *([TARGETS] if named.target_rule else [])]
        digests = {name: self.digests.get(name) or checksum(self.folder / name) for name in names}
        said = [named.database, named.classes, named.sequence_rule, named.target_rule]
        text = json.dumps([*said, named.landmarks, digests, self.digests.get(IDENTITIES, "")])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """(n,) whether each face has one of the classes; test parts may be without."""
        return self.records["expression"].isin(self.description.classes).to_numpy(bool)

    @cached_property
    def face_hashes(self) -> NDArray[np.int64]:
        """(n,) 64 bits for each face, the same where all its pixels are."""
        digests = (hashlib.blake2b(face.tobytes(), digest_size=8).digest() for face in self.faces)
        return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


logger = logging.getLogger(__name__)
_compared: set[tuple[Any, ...]] = set()  # what this process has found whole


def _compare(
    folder: Path, description: Description, digests: dict[str, str], names: list[str]
) -> None:
    """See that files are as the digests say; nothing is compared where there are none."""
    try:
        for name in names if digests else []:
            path, part = folder / name, ""
            if name == FACES and description.blocks:
                part = check_blocks(path, description.blocks)
            elif path.stat().st_size <= WHOLE:
                check_file(path, digests)
            else:
                part = "nothing"
            if part:
                logger.info(
                    "%s: %s of it compared with its checksums, as it is large; `ferlit prepare "
                    "--verify %s` compares all",
                    *(path, part, folder),
                )
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error})") from error


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_records(path: Path) -> pd.DataFrame:
    try:
        return read_records(path)
    except DataError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        raise DamagedError(path, str(error).removeprefix(f"{path}: ")) from error


def _load(path: Path, kind: "np.dtype[Any]", shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of the store, memory-mapped."""
    try:
        values: NDArray[Any] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise DamagedError(path, "missing") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # whatever a damaged header gives
        raise DamagedError(path, f"cannot be read ({error})") from error
    if len(values) != shape[0]:
        raise DamagedError(path, f"it holds {len(values)} rows and {RECORDS} {shape[0]}")
    if values.dtype != kind or values.shape != shape:
        raise DamagedError(
            path, f"it holds {values.dtype} of shape {values.shape} instead of {kind} of {shape}"
        )
    return values
