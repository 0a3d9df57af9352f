"""Several stores as one: `StoreUnion` has what a data module takes of a `Store`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.records import STORE
from ferlit.data.store.description import Description
from ferlit.data.store.joined import JoinedFaces
from ferlit.data.store.shared import SharedFaces
from ferlit.data.store.store import Member, Store
from ferlit.data.store.together import describe, digest, store_names, warn
from ferlit.errors import UsageError


@dataclass(frozen=True)
class StoreUnion:
    """Several stores, opened as one: the rows of the first, then those of the second, and so on.

    The classes are those of all stores, by name. Images, recordings and persons bear the name of
    their store (``jaffe/KA``), so that two stores' person 1 are two; but those of whom
    `ferlit.data.store.shared` knows that they are one person have one name. The records have one
    more column, ``store``.

    Args:
        stores: Several.
        names: What each is called: by its database, with a number where several are of the same.
        description: Of all together.
        records: The record table, row i for face i.
        faces: (n, 60, 60) uint8, memory-mapped.
        targets: (n, K) float32, where training learns what several people saw: a label that one
            gave has the whole weight.
        again: (n,) whether another store has the face too.
        left_out: (n,) faces that no part of the official split has, so that no store trains on what
            another judges by.
    """

    stores: tuple[Store, ...]
    names: tuple[str, ...]
    description: Description
    records: pd.DataFrame
    faces: JoinedFaces
    targets: NDArray[np.float32] | None
    again: NDArray[np.bool_] = field(repr=False)
    left_out: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, stores: Sequence[Store], landmarks: str = "auto") -> "StoreUnion":
        """That of opened stores.

        Args:
            stores: At least two.
            landmarks: What registers a picture for the trained network, where the stores were
                registered in different ways; "auto" where all were in the same.

        Raises:
            UsageError: a store is there twice.
            DataError: they do not fit together, see `ferlit.data.store.together.describe`.
        """
        description, names = describe(stores, landmarks), store_names(stores)
        contents: dict[str, Path] = {}
        for store in stores:
            other = contents.setdefault(store.content, store.folder)
            if other != store.folder:
                raise UsageError(
                    f"--data.store: {store.folder} holds the same faces and labels as {other}; "
                    "name one of them"
                )
        shared = SharedFaces(stores, names)
        leaks = shared.leaks()
        tables = []
        for store, name in zip(stores, names, strict=True):
            own = store.records
            sequence = (f"{name}/" + own["sequence"]).where(own["sequence"] != "", "")
            image = f"{name}/" + own["image"]
            tables.append(own.assign(image=image, sequence=sequence, **{STORE: name}))
        records = pd.concat(tables, ignore_index=True)
        records["identity"] = shared.identities
        records["split"] = records["split"].mask(leaks, "")
        faces = JoinedFaces([store.faces for store in stores])
        targets = _targets(stores, description) if description.target_rule else None
        return cls(
            *(tuple(stores), names, description, records, faces, targets),
            again=shared.is_again,
            left_out=leaks,
        )

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        return ", ".join(store.place for store in self.stores)

    @property
    def members(self) -> Iterator[Member]:
        """Its stores, with their names and the first of their rows."""
        start = 0
        for name, store in zip(self.names, self.stores, strict=True):
            yield Member(name, store, start)
            start += len(store.records)

    @cached_property
    def content(self) -> str:
        """A checksum of all that training and tests take from the stores, in their order."""
        return digest([store.content for store in self.stores])

    def warn_of_leaks(self) -> None:
        """Say which faces no part of the official split has, if there are any."""
        lost = self.records.loc[self.left_out]
        if lost.empty:
            return
        counts = ", ".join(
            f"{count} of {name}" for name, count in lost[STORE].value_counts().items()
        )
        warn(
            f"{self.place}: {len(lost)} images are left out of training or validation, as another "
            f"store validates or tests with the same face or person: {counts}, such as "
            f"{lost['image'].iloc[0]}"
        )

    def summary(self) -> list[str]:
        """What to know of the stores' being one, a line each."""
        lines = []
        for label in self.description.classes:
            having = [
                name
                for name, store in zip(self.names, self.stores, strict=True)
                if label in store.description.classes
            ]
            if len(having) < len(self.names):
                lines.append(f"  only {', '.join(having)} has {label}")
        if self.again.any():
            lines.append(f"  {self.again.sum()} images show a face that another store has as well")
        return lines

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """(n,) whether each face has one of the classes; test parts may be without."""
        return np.concatenate([store.is_labelled for store in self.stores])

    @cached_property
    def face_hashes(self) -> NDArray[np.int64]:
        """(n,) 64 bits for each face, the same where all its pixels are."""
        return np.concatenate([store.face_hashes for store in self.stores])


def open_stores(folders: Path | Sequence[Path], landmarks: str = "auto") -> Store | StoreUnion:
    """The store in a folder, or several as one.

    Args:
        folders: One, or several.
        landmarks: See `StoreUnion.of`.

    Raises:
        UsageError: a store is named twice.
        DataError: one cannot be opened, or they do not fit together.
    """
    if isinstance(folders, Path):
        return Store.open(folders)
    return StoreUnion.of(open_each(folders), landmarks)


def open_each(folders: Iterable[Path]) -> list[Store]:
    """The stores in some folders.

    Raises:
        UsageError: a store is named twice.
        DataError: one cannot be opened.
    """
    seen: dict[Path, Path] = {}
    for folder in folders:
        place = folder.resolve()
        if place in seen:
            also = "" if seen[place] == folder else f" (also {seen[place]})"
            raise UsageError(f"--data.store: {folder}{also} is named twice; name it once")
        seen[place] = folder
    return [Store.open(folder) for folder in seen.values()]


def _targets(stores: Sequence[Store], description: Description) -> NDArray[np.float32]:
    """(n, K) those of all; a label has the whole weight, a withheld one none."""
    column_of = {name: number for number, name in enumerate(description.classes)}
    joined = []
    for store in stores:
        own = np.zeros((len(store.records), len(column_of)), dtype=np.float32)
        columns = [column_of[name] for name in store.description.classes]
        if store.targets is not None:
            own[:, columns] = store.targets
        else:
            rows = np.flatnonzero(store.is_labelled)
            own[rows, [column_of[name] for name in store.records["expression"].iloc[rows]]] = 1
        joined.append(own)
    return np.concatenate(joined)
