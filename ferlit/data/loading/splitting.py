"""Who trains, validates and tests: of one store, or of several together."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.folds import subject_folds
from ferlit.data.records import STORE
from ferlit.data.store import Store, StoreUnion
from ferlit.errors import DataError, UsageError


def folds_of(store: Store | StoreUnion, folds: int) -> NDArray[np.int64]:
    """The fold of every record, see `ferlit.data.folds.subject_folds`.

    Raises:
        DataError: identities are missing, of several stores by name; or there are too few subjects.
    """
    if isinstance(store, StoreUnion):
        for member in store.members:
            unnamed = int((member.store.records["identity"] == "").sum())
            if unnamed:
                raise DataError(
                    f"{member.store.folder}: {unnamed} of {len(member.store.records)} images have "
                    "no identity, and the folds go through the persons of all stores; find them "
                    f"with `ferlit identities --store {member.store.folder}`, or take the "
                    "official splits (--data.fold null)"
                )
    return subject_folds(store.records, folds)


def check_official_split(store: Store | StoreUnion, name: str) -> None:
    """See that a store has an official split, and of several each.

    Args:
        store: Them.
        name: What a message calls it.

    Raises:
        UsageError: one has none.
    """
    remedy = "give the round of the cross-validation with --data.fold (from 0) and --data.folds"
    if isinstance(store, StoreUnion):
        lacking = [each for each in store.members if (each.store.records["split"] == "").all()]
        if lacking:
            names = ", ".join(f"{each.name} ({each.store.folder})" for each in lacking)
            raise UsageError(
                f"no official split: {names}; {remedy}, which go through the persons of all stores"
            )
        store.warn_of_leaks()
    if not (store.records["split"] == "train").any():
        raise UsageError(f"{name} has no official split; {remedy}")


def split_table(
    records: pd.DataFrame, split: NDArray[np.str_], fold_of: NDArray[np.int64]
) -> pd.DataFrame:
    """Which subjects (where they are known) are in which part, with counts of images.

    Args:
        records: A record table; where it names stores, they are told apart.
        split: (n,) parts.
        fold_of: (n,) folds.
    """
    stores = [STORE] if STORE in records else []
    table = records[[*stores, "identity", "sequence"]].assign(split=split, fold=fold_of)
    groups = table.groupby(["split", "fold", *stores, "identity"], as_index=False)
    return groups.agg(images=("sequence", "size"), sequences=("sequence", "nunique"))
