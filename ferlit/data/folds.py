"""Subject-independent folds: no person is in two of them (Liu et al. 2017, Sec. 5.3).

Where nobody is named, pictures may be split all the same, by `image_folds`.
"""

import logging
import warnings
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.errors import DataError, UsageError

logger = logging.getLogger(__name__)
FoldsBy = Literal["identity", "image"]
BY_IMAGE = "--data.folds_by image"


def subject_folds(records: pd.DataFrame, folds: int) -> NDArray[np.int64]:
    """The fold of every record; whole subjects, expressions spread as evenly as they can be.

    The result depends on the records alone, so every run and every machine gets the same folds.

    Args:
        records: A record table with identities (see `ferlit.data.records`).
        folds: How many, at least 3: train, validation and test.

    Returns:
        (n,) fold numbers from 0.

    Raises:
        DataError: identities are missing, or there are fewer subjects than folds.

    >>> from ferlit.data.records import record_table
    >>> rows = [{"image": f"{i}.png", "expression": "fear", "identity": f"S{i // 2}"}
    ...         for i in range(6)]
    >>> sorted(set(subject_folds(record_table(rows), 3).tolist()))
    [0, 1, 2]
    """
    _check_number(folds)
    unnamed = int((records["identity"] == "").sum())
    if unnamed:
        raise DataError(
            f"{unnamed} of {len(records)} images have no identity: "
            "subject-independent folds need one for each; "
            "find them with `ferlit identities --store STORE`, or split by pictures, whose persons "
            f"may then be on both sides, with {BY_IMAGE}"
        )
    subjects = records["identity"].unique()
    if len(subjects) < folds:
        names = ", ".join(sorted(subjects)[:5]) + (", ..." if len(subjects) > 5 else "")
        raise DataError(
            f"{len(subjects)} subject{'s' * (len(subjects) != 1)} ({names}) cannot be split "
            f"into {folds} subject-independent folds; give more subjects or fewer folds "
            "(--data.folds, at least 3)"
        )
    return _spread(records, records["identity"].to_numpy(object), folds)


def image_folds(
    records: pd.DataFrame,
    folds: int,
    recordings: NDArray[np.int64],
    faces: NDArray[np.int64],
) -> NDArray[np.int64]:
    """The fold of every record where persons do not count: one may be in several folds.

    Pictures of one recording, and those whose pixels are the same, stay together.

    Args:
        records: A record table.
        folds: How many, at least 3.
        recordings: (n,) the number of each image's recording.
        faces: (n,) the same number for the same pixels.

    Returns:
        (n,) fold numbers from 0, classes spread evenly.

    Raises:
        DataError: no class has as many different pictures as there are folds.

    >>> from ferlit.data.records import record_table
    >>> rows = [{"image": f"{i}.png", "expression": "fear"} for i in range(6)]
    >>> np.bincount(image_folds(record_table(rows), 3, np.arange(6), np.arange(6))).tolist()
    [2, 2, 2]
    """
    _check_number(folds)
    groups = _joined(recordings, faces)
    labels = records["expression"]
    counts = pd.Series(groups).groupby(labels.to_numpy()).nunique().drop("", errors="ignore")
    few = counts[counts < folds]
    if len(few) == len(counts):
        raise DataError(
            f"no class has {folds} different pictures or recordings, one for each fold: "
            f"{_counted(few)}; give more pictures, or fewer folds (--data.folds, at least 3)"
        )
    if len(few):
        logger.warning(
            "fewer different pictures or recordings than the %d folds: %s; some folds have none",
            *(folds, _counted(few)),
        )
    names = records["image"].groupby(groups).transform("min")  # so that no order matters
    return _spread(records, names.to_numpy(object), folds)


def _check_number(folds: int) -> None:
    if folds < 3:
        raise UsageError(f"folds={folds}: training, validation and test need at least 3 folds")


def _counted(counts: "pd.Series[int]") -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _joined(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) one number for all rows that the same numbers of either kind lead to.

    >>> _joined(np.array([0, 0, 1, 2]), np.array([5, 6, 6, 7])).tolist()
    [0, 0, 0, 3]
    """
    numbers = pd.Series(np.arange(len(one)))
    while True:
        lowest = numbers.groupby(one).transform("min").groupby(other).transform("min")
        if lowest.equals(numbers):
            return numbers.to_numpy(np.int64)
        numbers = lowest


def _spread(records: pd.DataFrame, groups: NDArray[Any], folds: int) -> NDArray[np.int64]:
    """(n,) the fold of every record: whole groups, the expressions as even as they can be."""
    from sklearn.model_selection import StratifiedGroupKFold

    # The splitter's result depends on the order of rows: sort, so that the order of files does not.
    order = records.sort_values("image").index.to_numpy()
    ordered = records.loc[order]
    fold_of = np.empty(len(records), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=folds)
    rows = records.index.get_indexer(pd.Index(order))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        splits = splitter.split(np.zeros(len(ordered)), ordered["expression"], groups[rows])
        for fold, (_, members) in enumerate(splits):
            fold_of[rows[members]] = fold
    empty = sorted(set(range(folds)) - set(fold_of.tolist()))
    if empty:
        raise UsageError(f"fold {empty[0]} of {folds} would be empty; use fewer (--data.folds)")
    return fold_of


def fold_splits(fold_of: NDArray[np.int64], fold: int, folds: int) -> NDArray[np.str_]:
    """Which records train, validate and test in one round of the cross-validation.

    Fold ``fold`` tests, the next one validates, the rest trains: with 8 folds the paper's 6/1/1.

    Args:
        fold_of: (n,) the fold of every record.
        fold: The round, from 0.
        folds: The number of rounds.

    Returns:
        (n,) of "train", "val" and "test".

    >>> fold_splits(np.array([0, 1, 2, 3]), fold=3, folds=4).tolist()
    ['val', 'train', 'train', 'test']
    """
    if not 0 <= fold < folds:
        raise UsageError(f"fold={fold}: the folds are numbered 0 to {folds - 1}")
    split = np.full(len(fold_of), "train", dtype="<U5")
    split[fold_of == (fold + 1) % folds] = "val"
    split[fold_of == fold] = "test"
    return split
