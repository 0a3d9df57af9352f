"""No person is on two sides of a split, whatever the database and the number of folds."""

from pathlib import Path

import pandas as pd
import pytest

from ferlit.data.databases import DATABASES
from ferlit.data.databases.synthetic import drawn_like
from ferlit.data.folds import fold_splits, subject_folds
from ferlit.errors import DataError

NAMES = sorted(set(DATABASES) - {"synthetic"})


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, tree: Path) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("trees")
    # CK+'s own tree is large; the small one of the other tests serves.
    return {
        name: DATABASES[name].read(tree)
        if name == "ckplus"
        else drawn_like(DATABASES[name]).read(folder / name)
        for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_no_subject_is_on_two_sides(name: str, tables: dict[str, pd.DataFrame]) -> None:
    records = tables[name]
    known = (records["identity"] != "").all()
    assert DATABASES[name].has_identities or not (records["identity"] != "").any()
    if not known:
        with pytest.raises(DataError, match="have no identity"):
            subject_folds(records, 3)
        return
    for folds in range(3, records["identity"].nunique() + 1):
        fold_of = subject_folds(records, folds)
        assert (pd.Series(fold_of).groupby(records["identity"].to_numpy()).nunique() == 1).all()
        for fold in range(folds):
            split = fold_splits(fold_of, fold, folds)
            parts = ("train", "val", "test")
            sides = {part: set(records.loc[split == part, "identity"]) for part in parts}
            assert all(sides.values())
            assert len(set.union(*sides.values())) == sum(len(side) for side in sides.values())


@pytest.mark.parametrize("name", NAMES)
def test_no_recording_is_in_two_official_parts(name: str, tables: dict[str, pd.DataFrame]) -> None:
    records = tables[name]
    recorded = records[records["sequence"] != ""]
    assert (recorded.groupby("sequence")["split"].nunique() <= 1).all()
    assert records["image"].is_unique
