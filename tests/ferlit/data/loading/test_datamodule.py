from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
import torch

from ferlit.data import ExpressionDataModule, TupleDataModule
from ferlit.data.store import Store
from ferlit.data.store.manifest import write_manifest
from ferlit.errors import DataError

Data = TypeVar("Data", bound=ExpressionDataModule)


def prepared(kind: type[Data], store: Store, **options: object) -> Data:
    options = {"store": store.folder, "fold": 0, "folds": 4, "num_workers": 0} | options
    data = kind(**options)  # type: ignore[arg-type]
    data.prepare_data()
    data.setup("fit")
    return data


def tuples(store: Store, **options: object) -> TupleDataModule:
    return prepared(TupleDataModule, store, **options)


def images(store: Store, **options: object) -> ExpressionDataModule:
    return prepared(ExpressionDataModule, store, **options)


def test_no_subject_is_in_two_parts(store: Store) -> None:
    data = images(store)
    subjects = {
        part: set(store.records["identity"].to_numpy()[data.split == part])
        for part in ("train", "val", "test")
    }
    assert all(subjects.values())
    assert sum(map(len, subjects.values())) == store.records["identity"].nunique() == 8


def test_a_training_epoch_shows_every_training_image_once(store: Store) -> None:
    data = images(store, batch_size=7)
    rows = torch.cat([batch.row for batch in data.train_dataloader()])
    assert sorted(rows.tolist()) == np.flatnonzero(data.split == "train").tolist()


def test_tuples_are_laid_out_query_positives_negatives(store: Store) -> None:
    data = tuples(store, positives=3, tuples_per_batch=4)
    identity = store.records["identity"].to_numpy()
    queries = []
    for batch in data.train_dataloader():
        assert batch.tuple_size == (3, 6)
        assert (data.split[batch.row] == "train").all()
        for label, row in zip(batch.label.split(9), batch.row.split(9), strict=True):
            assert (label[:3] == label[0]).all()
            assert (label[3:] != label[0]).all()
            assert (identity[row[1:3]] != identity[row[0]]).all()
            queries.append(int(row[0]))
    assert sorted(queries) == np.flatnonzero(data.split == "train").tolist()


def test_evaluation_sees_every_image_once_without_augmentation(store: Store) -> None:
    data = tuples(store)
    first, again = (list(data.val_dataloader()) for _ in range(2))
    rows = torch.cat([batch.row for batch in first])
    assert rows.tolist() == np.flatnonzero(data.split == "val").tolist()
    assert all(torch.equal(a.image, b.image) for a, b in zip(first, again, strict=True))


def epoch_images(data: ExpressionDataModule, epoch: int) -> dict[int, bytes]:
    loader = data.train_dataloader()
    loader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
    return {
        int(row): image.numpy().tobytes()
        for batch in loader
        for row, image in zip(batch.row, batch.image, strict=True)
    }


def test_augmentation_is_the_same_for_any_number_of_workers(store: Store) -> None:
    alone = epoch_images(images(store, batch_size=4), epoch=1)
    shared = epoch_images(images(store, batch_size=4, num_workers=2), epoch=1)
    assert alone == shared


def test_augmentation_differs_between_epochs_seeds_and_images(store: Store) -> None:
    data = images(store, batch_size=4)
    first, second = epoch_images(data, 0), epoch_images(data, 1)
    other_seed = epoch_images(images(store, batch_size=4, seed=1), 0)
    for other in (second, other_seed):
        same = [first[row] == other[row] for row in first]
        assert np.mean(same) < 0.2


def test_a_root_is_prepared_into_the_cache_and_renewed_when_it_changes(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = Path(shutil.copytree(tree, tmp_path / "tree"))
    for _ in range(2):
        data = ExpressionDataModule(database="ckplus", root=root, fold=0, folds=4)
        data.prepare_data()
        data.setup("fit")
        assert len(data.store.records) == sum(data.split_table()["images"])
        assert tmp_path in data.store_path.parents
        next(root.glob("cohn-kanade-images/S010/*/*4.png")).unlink(missing_ok=True)


def test_sequences_are_numbered_and_stills_stand_alone(store: Store) -> None:
    data = images(store)
    names = pd.Series(data.sequences).groupby(store.records["sequence"]).nunique()
    assert (names == 1).all()
    assert len(set(data.sequences.tolist())) == store.records["sequence"].nunique()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no data: give"),
        ({"database": "ckplus"}, "no data: give"),
        ({"store": Path("/nowhere")}, "no prepared store"),
        ({"database": "ckplus", "root": Path("/nowhere")}, "/nowhere.*does not exist"),
        ({"database": "ck", "root": Path("/nowhere")}, "unknown database 'ck'; known are"),
    ],
)
def test_missing_data_are_explained(options: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        ExpressionDataModule(**options).prepare_data()  # type: ignore[arg-type]


def test_a_database_without_an_official_split_asks_for_a_fold(store: Store) -> None:
    data = ExpressionDataModule(store=store.folder)
    with pytest.raises(DataError, match=r"--data\.fold"):
        data.setup("fit")


def test_a_store_of_another_database_is_refused(store: Store) -> None:
    with pytest.raises(DataError, match="is a store of ckplus, not of fer2013"):
        ExpressionDataModule(database="fer2013", store=store.folder).prepare_data()


def test_tuples_without_identities_say_what_to_do(store: Store, tmp_path: Path) -> None:
    import shutil

    folder = Path(shutil.copytree(store.folder, tmp_path / "store"))
    records = store.records.assign(identity="", split="train")
    records.loc[records.index[:5], "split"] = "val"
    records["sequence"] = ""
    records.to_csv(folder / "records.csv", index=False)
    write_manifest(folder)
    data = TupleDataModule(store=folder, num_workers=0)
    with pytest.raises(DataError, match="does not name the persons"):
        data.setup("fit")
