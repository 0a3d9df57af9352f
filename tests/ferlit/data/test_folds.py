import numpy as np
import pandas as pd
import pytest

from ferlit.data.folds import fold_splits, subject_folds
from ferlit.data.records import record_table
from ferlit.errors import DataError

# CK+: how many subjects have how many of the seven expressions (3 images each).
SEQUENCES_PER_SUBJECT = {1: 21, 2: 22, 3: 47, 4: 20, 5: 7, 6: 1}


def ckplus_like() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = ["anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise"]
    counts = [count for count, people in SEQUENCES_PER_SUBJECT.items() for _ in range(people)]
    rows = [
        {"image": f"S{s}/{e}/{k}.png", "expression": e, "identity": f"S{s}", "sequence": f"S{s}{e}"}
        for s, count in enumerate(counts)
        for e in rng.choice(names, count, replace=False)
        for k in range(3)
    ]
    return record_table(rows)


def test_no_subject_is_in_two_folds_and_the_folds_are_about_equal() -> None:
    records = ckplus_like()
    folds = subject_folds(records, 8)
    assert records.assign(fold=folds).groupby("identity")["fold"].nunique().eq(1).all()
    sizes = np.bincount(folds, minlength=8)
    assert sizes.sum() == len(records)
    assert sizes.max() - sizes.min() <= 0.1 * len(records)


def test_every_expression_is_in_every_fold() -> None:
    records = ckplus_like()
    table = pd.crosstab(subject_folds(records, 8), records["expression"])
    assert (table > 0).all(axis=None)


def test_the_folds_do_not_depend_on_the_order_of_the_rows() -> None:
    records = ckplus_like()
    shuffled = records.sample(frac=1, random_state=1)
    by_image = pd.Series(subject_folds(records, 8), index=records["image"])
    again = pd.Series(subject_folds(shuffled, 8), index=shuffled["image"])
    assert by_image.equals(again[by_image.index])


def test_each_image_is_tested_once_and_validated_once() -> None:
    folds = subject_folds(ckplus_like(), 8)
    rounds = np.stack([fold_splits(folds, k, 8) for k in range(8)])
    assert ((rounds == "test").sum(axis=0) == 1).all()
    assert ((rounds == "val").sum(axis=0) == 1).all()
    assert ((rounds == "train").sum(axis=0) == 6).all()


def people(count: int, identity: str = "S{}") -> pd.DataFrame:
    return record_table(
        {"image": f"{s}.png", "expression": "fear", "identity": identity.format(s)}
        for s in range(count)
    )


@pytest.mark.parametrize(
    ("records", "folds", "message"),
    [
        (people(1), 8, r"1 subject \(S0\) cannot be split into 8"),
        (people(7), 8, "7 subjects .* cannot be split into 8"),
        (people(9), 2, "at least 3 folds"),
        (people(9, identity=""), 3, "9 of 9 images have no identity"),
    ],
)
def test_what_cannot_be_split_is_explained(records: pd.DataFrame, folds: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        subject_folds(records, folds)


@pytest.mark.parametrize("fold", [-1, 8])
def test_a_fold_that_does_not_exist_is_refused(fold: int) -> None:
    with pytest.raises(DataError, match="numbered 0 to 7"):
        fold_splits(np.arange(8), fold, 8)
