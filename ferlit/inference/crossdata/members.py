"""The stores of a matrix: how each is split, and which of its faces judge a network."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferlit.data.folds import fold_splits
from ferlit.data.records import SPLITS
from ferlit.data.store import Store
from ferlit.errors import DataError, FerlitError, UsageError
from ferlit.inference.evaluate.outputs import short_names
from ferlit.inference.evaluate.parts import Part
from ferlit.inference.evaluate.stores import open_stores
from ferlit.runs.people import Split, Training
from ferlit.runs.seen import ALLOW, check_start
from ferlit.training.crossval.rounds import data_module
from ferlit.training.fit.options import resolve

logger = logging.getLogger(__name__)
_TEST = "test"
Rounds = Sequence[int] | Literal["all"]


@dataclass(frozen=True)
class Member:
    """A store that trains networks and judges them.

    Args:
        name: For people, and of its folder of runs.
        store: The store.
        options: Of every ``ferlit fit`` on it, but for round and seed.
        config: What these options mean.
        folds: How many; None where its official split is taken.
        splits: The part of each face, by the round that trains; the only one of an official split
            is None.
        trainings: Whom a network has seen, by the same.
    """

    name: str
    store: Store
    options: tuple[str, ...]
    config: Mapping[str, Any]
    folds: int | None
    splits: Mapping[int | None, NDArray[np.str_]]
    trainings: Mapping[int | None, Training]

    @property
    def protocol(self) -> str:
        """For people, such as "fold 0 of 8"."""
        return (
            "official split"
            if self.folds is None
            else _rounds(list(self.splits), self.folds, self.folds_by)
        )

    @property
    def folds_by(self) -> str:
        """What the folds go by, "identity" or "image"."""
        return str(self.config["data"]["init_args"].get("folds_by", "identity"))

    def part(self, fold: int | None = None) -> Part:
        """Those faces that judge.

        Args:
            fold: Only those of this round; None for those of all.
        """
        folds = list(self.splits) if fold is None else [fold]
        is_test = np.any([self.splits[each] == _TEST for each in folds], axis=0)
        rows = np.flatnonzero(is_test & self.store.is_labelled).astype(np.int64)
        name, why = _TEST, "the test part of its official split"
        if self.folds is not None:
            name = _rounds(folds, self.folds, self.folds_by)
            over = "pictures" if self.folds_by == "image" else "persons"
            why = f"the test part of that round of folds over its {over}"
        return Part(name, why, rows, int(is_test.sum()) - len(rows))

    def counts(self, fold: int | None) -> dict[str, int]:
        """Labelled faces of each part in a round."""
        split = self.splits[fold][self.store.is_labelled]
        return {part: int((split == part).sum()) for part in SPLITS}


def open_members(
    folders: Sequence[Path],
    options: Sequence[str],
    *,
    rounds: Rounds | None,
    is_official: bool,
) -> list[Member]:
    """Open and split stores.

    Args:
        folders: Where they lie.
        options: Of every ``ferlit fit``.
        rounds: Rounds of those that are split by folds; None for the first.
        is_official: Whether official splits are taken where there are any.

    Raises:
        FerlitError: one cannot be opened or split, or nothing can be trained on it so.
    """
    names = [name.replace("/", "_") for name in short_names(folders)]
    if len(set(names)) < len(names):
        raise UsageError(f"--stores: their folders have too similar names ({', '.join(names)})")
    stores = open_stores(folders, "--stores")
    return [
        _member(name, store, options, rounds, is_official=is_official)
        for name, store in zip(names, stores, strict=True)
    ]


def _member(
    name: str,
    store: Store,
    options: Sequence[str],
    rounds: Rounds | None,
    *,
    is_official: bool,
) -> Member:
    lacks = _lacks(store) if is_official else "--split folds"
    place = ("root=null", "database=null", "reader=null", f"store={store.folder}")
    fitted = [*options, *(f"--data.{each}" for each in place)]
    fold = 0 if rounds is None or rounds == "all" else rounds[0]
    config = resolve(
        [*fitted, f"--data.fold={fold if lacks else 'null'}"],
        f"the options do not fit the store {name}",
    )
    data = data_module(config)
    try:
        data.setup("fit")
    except FerlitError as error:
        if not lacks:
            raise
        kind = UsageError if isinstance(error, UsageError) else DataError
        raise kind(f"{store.folder}: {lacks}, so it is split by folds: {error}") from error
    splits: dict[int | None, NDArray[np.str_]] = {None: data.split}
    if lacks:
        chosen = range(data.folds) if rounds == "all" else rounds or [0]
        splits = {each: fold_splits(data.fold_of, each, data.folds) for each in chosen}
    trainings = {}
    start, before = config["model"]["init_args"].get("init_from"), Training()
    if start is not None:
        before = Training.read(Path(start))
    for each, split in splits.items():
        data.fold, data.split = each, split
        for part in SPLITS:
            if not ((split == part) & (data.labels >= 0)).any():
                raise DataError(
                    f"{store.folder}: {Split.of(data).title} has no labelled {part} images"
                )
        if start is not None:
            check_start(Path(start), before, data, allow=bool(config[ALLOW]))
        trainings[each] = before.then(Split.of(data))
    folds = data.folds if lacks else None
    return Member(name, store, tuple(fitted), config, folds, splits, trainings)


def _lacks(store: Store) -> str:
    """Why the official split of a store cannot be taken; "" where it can."""
    split = store.records["split"].to_numpy(str)
    if not np.isin(split, SPLITS).any():
        return "it has no official split"
    labelled = set(split[store.is_labelled])
    missing = [part for part in SPLITS if part not in labelled]
    return f"its official split has no labelled {' and '.join(missing)} part" if missing else ""


def _rounds(folds: Sequence[int | None], number: int, by: str) -> str:
    name = f"fold{'s' * (len(folds) > 1)} {', '.join(map(str, folds))} of {number}"
    name = f"all {number} folds" if len(folds) == number else name
    return f"{name} by image" if by == "image" else name
