"""Who is in a split, as a checkpoint keeps it: hashes of the names of persons and images.

Names are kept as 64 bits each, sorted, and so are the pixels of the faces, which stay the same
where files are renamed or another database has them: 0.6 MB for FER2013. They tell nobody's name,
and enough to count who of other data was trained on.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ferlit.data.folds import FoldsBy
from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.store import Store, StoreUnion
from ferlit.data.store.people import show_the_same_people as show_the_same_people
from ferlit.errors import DataError
from ferlit.runs.checkpoints import read_checkpoint
from ferlit.runs.folder import RunFolder

PEOPLE = "people"  # in a checkpoint
PARTS = ("train", "val", "test")
_NAMES = ("database", "fingerprint", "fold", "folds")
_HASHED = ("persons", "images", "faces")

Hashes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Who and which images are in each part of a split; labelled images alone.

    Args:
        database: Name of the database.
        fingerprint: Of the store, see `ferlit.data.store.Description`.
        fold: Round of the cross-validation; None for the official split.
        folds: Number of rounds; None for the official split.
        persons: Part -> hashes of those who have a name.
        images: Part -> hashes; empty where they are not known (checkpoints of earlier versions).
        content: Of the store, see `ferlit.data.store.Store.content`; "" where it is not known.
        faces: Part -> hashes of the pixels, of faces that no other part has; empty where they are
            not known.
        stores: Those of each store, by its own names, where several are taken as one.
        folds_by: What the folds go by: "identity", or "image", so that one person may be in
            several parts.
        copies: Hashes of the pixels of faces that several parts have; empty where they are not
            known.
    """

    database: str
    fingerprint: str
    fold: int | None
    folds: int | None
    persons: Mapping[str, Hashes]
    images: Mapping[str, Hashes]
    content: str = ""
    faces: Mapping[str, Hashes] = field(default_factory=dict)
    stores: "tuple[Split, ...]" = ()
    folds_by: FoldsBy = "identity"
    copies: Hashes = field(default_factory=lambda: np.zeros(0, np.int64))

    @classmethod
    def of(cls, data: ExpressionDataModule) -> "Split":
        """That of a data module after its setup."""
        return cls.of_store(data.store, data.split, data.fold, data.folds, data.folds_by)

    @classmethod
    def of_store(
        cls,
        store: Store | StoreUnion,
        split: NDArray[np.str_] | None = None,
        fold: int | None = None,
        folds: int | None = None,
        folds_by: FoldsBy = "identity",
    ) -> "Split":
        """That of the faces of a store.

        Args:
            store: The store, or several as one.
            split: (n,) the part that each face is in; None for the official split.
            fold: Round of the cross-validation; None for the official split.
            folds: Number of rounds.
            folds_by: What they go by.
        """
        records, named = store.records, store.description
        stores: tuple[Split, ...] = ()
        split = records["split"].to_numpy(str) if split is None else split
        if isinstance(store, StoreUnion):
            stores = tuple(
                cls.of_store(member.store, split[member.rows], fold, folds, folds_by)
                for member in store.members
            )
        is_of = {part: store.is_labelled & (split == part) for part in PARTS}
        rows = {part: records[chosen] for part, chosen in is_of.items()}
        faces, copies = _of_one_part({part: store.face_hashes[is_of[part]] for part in PARTS})
        return cls(
            named.database,
            named.fingerprint,
            fold,
            None if fold is None else folds,
            {part: hashes(set(table["identity"]) - {""}) for part, table in rows.items()},
            {part: hashes(table["image"]) for part, table in rows.items()},
            store.content,
            faces,
            stores,
            "identity" if fold is None else folds_by,
            copies,
        )

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> "Split":
        """From a checkpoint."""
        hashed: dict[str, Any] = {
            name: {part: values.numpy().copy() for part, values in content.get(name, {}).items()}
            for name in _HASHED
        }
        known: dict[str, Any] = {name: content[name] for name in _NAMES}
        stores = tuple(map(cls.read, content.get("stores", ())))
        more = {"content": content.get("content", ""), "stores": stores}
        if "copies" in content:
            more["copies"] = content["copies"].numpy().copy()
        return cls(**known, **hashed, **more, folds_by=content.get("folds_by", "identity"))

    def plain(self) -> dict[str, Any]:
        """For a checkpoint: what loads safely."""
        hashed = {
            name: {part: torch.from_numpy(values) for part, values in getattr(self, name).items()}
            for name in _HASHED
        }
        stores = {"stores": [each.plain() for each in self.stores]} if self.stores else {}
        named = {name: getattr(self, name) for name in (*_NAMES, "content", "folds_by")}
        return named | hashed | stores | {"copies": torch.from_numpy(self.copies)}

    @property
    def parts(self) -> "tuple[Split, ...]":
        """That of each store, by its own names: of one alone itself."""
        return self.stores or (self,)

    def of_one(self, other: "Split") -> "Split":
        """That of the store that another is the split of, where it is one of several; or itself."""
        return next(
            (part for part in self.stores if part.is_same(other)),
            next((part for part in self.stores if part.database == other.database), self),
        )

    @property
    def title(self) -> str:
        """For people, such as "fold 0 of 8"."""
        if self.fold is None:
            return "the official split"
        by = " by image" if self.folds_by == "image" else ""
        return f"fold {self.fold} of {self.folds}{by}"

    @property
    def options(self) -> str:
        """The options of a command that give this split."""
        fold = "null" if self.fold is None else f"{self.fold} --data.folds={self.folds}"
        fold += f" --data.folds_by={self.folds_by}" if self.folds_by == "image" else ""
        return f"--data.fold={fold}"

    def shows_people_of(self, database: str) -> bool:
        """Whether the names in a database are those of the same people."""
        return show_the_same_people(self.database, database)

    def holds_the_same_data_as(self, other: "Split") -> bool:
        """Whether faces, labels and persons are the same, as far as both know."""
        return not (self.content and other.content) or self.content == other.content

    def is_same(self, other: "Split") -> bool:
        """Whether the same people and images are in the same parts, as far as both know."""
        if self.database != other.database or len(self.stores) != len(other.stores):
            return False
        if self.stores:
            return all(a.is_same(b) for a, b in zip(self.stores, other.stores, strict=True))
        if self.images and other.images:
            return _same(self.persons, other.persons) and _same(self.images, other.images)
        if not any(map(len, self.persons.values())):  # neither images nor persons are known
            mine, others = ((s.fingerprint, s.fold, s.folds) for s in (self, other))
            return mine == others
        # ``split.csv`` names those without a labelled image as well.
        wide, narrow = (other, self) if self.images else (self, other)
        return all(np.isin(narrow.persons[part], wide.persons[part]).all() for part in PARTS)


@dataclass(frozen=True)
class Training:
    """Whom a network has seen.

    Args:
        splits: That of its fit, then those of the networks that it began with.
        unknown: Files among them of which it is not known.
    """

    splits: tuple[Split, ...] = ()
    unknown: tuple[str, ...] = ()

    @classmethod
    def read(cls, checkpoint: Path, content: Mapping[str, Any] | None = None) -> "Training":
        """What a checkpoint says, or the folder of its run where it is of an earlier version.

        Args:
            checkpoint: The file.
            content: What `read_checkpoint` gives, where it is there already.
        """
        found = read_checkpoint(checkpoint) if content is None else content
        if isinstance(found.get(PEOPLE), Mapping):
            return cls.of(found[PEOPLE])
        return _from_folders(checkpoint)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> "Training":
        """From what `plain` gives."""
        return cls(tuple(map(Split.read, content["splits"])), tuple(content["unknown"]))

    def plain(self) -> dict[str, Any]:
        """For a checkpoint: what loads safely."""
        return {"splits": [split.plain() for split in self.splits], "unknown": list(self.unknown)}

    def then(self, split: Split) -> "Training":
        """With a fit that follows; one that goes on with the same split is no other."""
        goes_on = bool(self.splits) and self.splits[0].is_same(split)
        return Training((split, *self.splits[goes_on:]), self.unknown)


def hashes(names: Iterable[str]) -> Hashes:
    """Names as sorted 64-bit numbers.

    >>> hashes(["S005", "S010"]).dtype, len(hashes(["a", "b", "a"]))
    (dtype('int64'), 2)
    """
    return np.unique(hash_each(list(names)))


def hash_each(names: list[str]) -> Hashes:
    """(n,) a number for each name."""
    digests = (hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), dtype="<i8").astype(np.int64)


def _of_one_part(faces: Mapping[str, Hashes]) -> tuple[dict[str, Hashes], Hashes]:
    """The different hashes of each part that no other part has, and those that several have.

    >>> one, two = np.array([1, 1, 2]), np.array([2, 3])
    >>> found, copies = _of_one_part({"train": one, "val": two})
    >>> {part: each.tolist() for part, each in found.items()}, copies.tolist()
    ({'train': [1], 'val': [3]}, [2])
    """
    found = {part: np.unique(values) for part, values in faces.items()}
    values, counts = np.unique(np.concatenate(list(found.values())), return_counts=True)
    copies = values[counts > 1]
    return {part: np.setdiff1d(found[part], copies) for part in found}, copies


def _same(one: Mapping[str, Hashes], other: Mapping[str, Hashes]) -> bool:
    return all(np.array_equal(one[part], other[part]) for part in PARTS)


def _from_folders(checkpoint: Path) -> Training:
    """What ``split.csv`` and ``run.json`` of a run say, and those of the runs before it."""
    splits: list[Split] = []
    seen: set[Path] = set()
    current: Path | None = checkpoint
    while current is not None and current.resolve() not in seen:
        seen.add(current.resolve())
        if current != checkpoint and current.is_file():
            content = read_checkpoint(current)
            if isinstance(content.get(PEOPLE), Mapping):
                rest = Training.of(content[PEOPLE])
                return Training((*splits, *rest.splits), rest.unknown)
        run = RunFolder.around(current)
        split = None if run is None else _written(run)
        if run is None or split is None:
            return Training(tuple(splits), (str(current),))
        splits.append(split)
        start = _start(run)
        current = None if start is None else Path(start)
    return Training(tuple(splits))


def _written(run: RunFolder) -> Split | None:
    record = run.record()
    store = record.get("store")
    if not isinstance(store, dict) or "stores" in store:
        return None
    try:
        table = run.split()
        persons = {
            part: hashes(set(table.loc[table["split"] == part, "identity"]) - {""})
            for part in PARTS
        }
    except (DataError, KeyError):
        return None
    return Split(
        str(store.get("database")),
        str(store.get("fingerprint")),
        record.get("fold"),
        record.get("folds"),
        persons,
        {},
        str(store.get("content", "")),
    )


def _start(run: RunFolder) -> str | None:
    model = run.config().get("model") or {}
    return (model.get("init_args") or {}).get("init_from")
