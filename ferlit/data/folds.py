"""Subject-independent folds: no person is in two of them (Liu et al. 2017, Sec. 5.3)."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.errors import DataError, UsageError


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
    from sklearn.model_selection import StratifiedGroupKFold

    if folds < 3:
        raise UsageError(f"folds={folds}: training, validation and test need at least 3 folds")
    unnamed = int((records["identity"] == "").sum())
    if unnamed:
        raise DataError(
            f"{unnamed} of {len(records)} images have no identity: "
            "subject-independent folds need one for each; "
            "find them with `ferlit identities --store STORE`"
        )
    subjects = records["identity"].unique()
    if len(subjects) < folds:
        names = ", ".join(sorted(subjects)[:5]) + (", ..." if len(subjects) > 5 else "")
        raise DataError(
            f"{len(subjects)} subject{'s' * (len(subjects) != 1)} ({names}) cannot be split "
            f"into {folds} subject-independent folds; give more subjects or fewer folds "
            "(--data.folds, at least 3)"
        )
    # The splitter's result depends on the order of rows: sort, so that the order of files does not.
    order = records.sort_values("image").index.to_numpy()
    ordered = records.loc[order]
    fold_of = np.empty(len(records), dtype=np.int64)
    splitter = StratifiedGroupKFold(n_splits=folds)
    splits = splitter.split(np.zeros(len(ordered)), ordered["expression"], ordered["identity"])
    for fold, (_, members) in enumerate(splits):
        fold_of[records.index.get_indexer(order[members])] = fold
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
