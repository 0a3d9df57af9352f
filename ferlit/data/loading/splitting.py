"""Who trains, validates and tests: of one store, or of several together."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.folds import BY_IMAGE, FoldsBy, image_folds, subject_folds
from ferlit.data.records import STORE, recordings
from ferlit.data.store import Store, StoreUnion
from ferlit.data.store.together import warn
from ferlit.errors import DataError, UsageError


def folds_of(store: Store | StoreUnion, folds: int, by: FoldsBy) -> NDArray[np.int64]:
    """The fold of every record, see `ferlit.data.folds`.

    Args:
        store: Them.
        folds: How many.
        by: "identity", or "image" where a person may be in several; that is told.

    Raises:
        DataError: identities are missing, of several stores by name; or there are too few subjects.
    """
    if by == "image":
        _warn_of_persons(store)
        records = store.records
        return image_folds(records, folds, recordings(records), store.face_hashes)
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
    if (store.records["identity"] == "").any():
        remedy += f"; where the persons are not known, {BY_IMAGE} as well splits by pictures"
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


def _warn_of_persons(store: Store | StoreUnion) -> None:
    named = store.records["identity"].replace("", np.nan).nunique()
    known = f"; it names {named} persons: without this option the folds go by them" if named else ""
    warn(
        f"{store.place}: the folds go by pictures ({BY_IMAGE}), so one person may be in training "
        f"and in test, and the figures are higher than for people whom the network never saw{known}"
    )


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
