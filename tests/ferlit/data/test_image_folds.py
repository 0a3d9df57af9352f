"""Folds that go by pictures: only where it is asked for, with a clear word."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ferlit.cli import main
from ferlit.data import ExpressionDataModule
from ferlit.data.databases.trees.folder import write_folder
from ferlit.data.folds import image_folds
from ferlit.data.records import record_table
from ferlit.errors import DataError, UsageError
from ferlit.inference.crossdata.members import open_members
from ferlit.inference.origin import Origin
from ferlit.runs.people import Split, Training
from ferlit.training.crossval.rounds import split_rounds
from ferlit.training.fit.options import resolve
from tests.ferlit.data.written_stores import write_store
from tests.ferlit.tiny import TINY


def pictures(counts: dict[str, int]) -> pd.DataFrame:
    return record_table(
        {"image": f"{name}/{number:03d}.png", "expression": name}
        for name, count in counts.items()
        for number in range(count)
    )


def alone(records: pd.DataFrame) -> list[np.ndarray]:
    return [np.arange(len(records))] * 2


def test_every_class_is_spread_evenly() -> None:
    records = pictures({"anger": 9, "fear": 30, "happiness": 61})
    folds = image_folds(records, 3, *alone(records))
    table = pd.crosstab(folds, records["expression"])
    assert table["anger"].tolist() == [3, 3, 3]
    assert table["fear"].tolist() == [10, 10, 10]
    assert table["happiness"].max() - table["happiness"].min() == 1


def test_the_order_of_the_rows_does_not_matter() -> None:
    records = pictures({"anger": 9, "fear": 7})
    shuffled = records.sample(frac=1, random_state=1)
    one = pd.Series(image_folds(records, 4, *alone(records)), records["image"])
    other = pd.Series(image_folds(shuffled, 4, *alone(shuffled)), shuffled["image"])
    assert one.equals(other[one.index])


def test_recordings_and_copies_of_a_picture_stay_together() -> None:
    records = pictures({"anger": 12, "fear": 12})
    recordings = np.arange(24) // 2  # two frames each
    faces = np.arange(24)
    faces[23] = faces[0]  # so four pictures in all, through both
    folds = image_folds(records, 4, recordings, faces)
    assert pd.Series(folds).groupby(recordings).nunique().eq(1).all()
    assert len(set(folds[[0, 1, 22, 23]])) == 1


def test_too_few_pictures_are_named(caplog: pytest.LogCaptureFixture) -> None:
    records = pictures({"anger": 2, "fear": 1})
    with pytest.raises(DataError, match=r"no class has 3 different pictures .*: anger 2, fear 1"):
        image_folds(records, 3, *alone(records))
    records = pictures({"anger": 2, "fear": 5})
    with caplog.at_level(logging.WARNING):
        image_folds(records, 3, *alone(records))
    assert "than the 3 folds: anger 2; some folds have none" in caplog.text
    with pytest.raises(UsageError, match="at least 3 folds"):
        image_folds(records, 2, *alone(records))


def test_a_data_module_says_that_persons_do_not_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = write_store(tmp_path / "store", "folder", each=3)
    with caplog.at_level(logging.WARNING):
        data = ExpressionDataModule(store=store.folder, fold=0, folds=4, folds_by="image")
        data.setup("fit")
    assert "one person may be in training and in test" in caplog.text
    assert "it names 4 persons: without this option the folds go by them" in caplog.text
    split = Split.of(data)
    assert split.title == "fold 0 of 4 by image"
    assert split.options == "--data.fold=0 --data.folds=4 --data.folds_by=image"
    assert Split.read(split.plain()).folds_by == "image"
    by_person = ExpressionDataModule(store=store.folder, fold=0, folds=4)
    by_person.setup("fit")
    assert Split.of(by_person).title == "fold 0 of 4"
    assert not Split.of(by_person).is_same(split)
    old = {name: value for name, value in split.plain().items() if name != "folds_by"}
    assert Split.read(old).folds_by == "identity"  # of an earlier version


def test_two_stores_as_one_are_split_so_too(tmp_path: Path) -> None:
    stores = [
        write_store(tmp_path / str(seed), "folder", people=("",), each=6, seed=seed)
        for seed in (0, 1)
    ]
    data = ExpressionDataModule(
        store=[store.folder for store in stores], fold=0, folds=3, folds_by="image"
    )
    data.setup("fit")
    assert pd.crosstab(data.store.records["store"], data.split).to_numpy().min() > 0


def test_stores_of_a_matrix_are_split_so_where_they_have_no_split(tmp_path: Path) -> None:
    write_store(tmp_path / "official", "fer2013", splits=("train", "val", "test"))
    write_store(tmp_path / "plain", "folder", people=("",), each=6, seed=1)
    members = open_members(
        [tmp_path / "official", tmp_path / "plain"],
        ["--config=fer2013.yaml", "--data.folds=3", "--data.folds_by=image"],
        rounds=None,
        is_official=True,
    )
    official, plain = members
    assert (official.protocol, plain.protocol) == ("official split", "fold 0 of 3 by image")
    assert plain.part().why == "the test part of that round of folds over its pictures"
    assert plain.counts(0) == {"train": 6, "val": 6, "test": 6}


def test_a_cross_validation_takes_them(tmp_path: Path) -> None:
    store = write_store(tmp_path / "plain", "folder", people=("",), each=6)
    config = resolve(
        [
            *("--config=fer2013.yaml", f"--data.store={store.folder}", "--data.database=null"),
            *("--data.fold=0", "--data.folds=3", "--data.folds_by=image"),
        ],
        "fit",
    )
    rounds = split_rounds(config)
    assert rounds.folds_by == "image"
    assert len(frozenset().union(*(each.images for each in rounds.rounds))) == 18


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("mine") / "faces"
    write_folder(root, splits=False)
    return root


def fine_tune(tree: Path, runs: Path, *more: str) -> list[str]:
    return [
        *("fit", "--config=finetune.yaml", f"--data.root={tree}", f"--data.store={runs}/store"),
        *("--data.landmarks=none", "--data.num_workers=0", "--trainer.accelerator=cpu"),
        *(f"--trainer.logger.save_dir={runs}/runs", "--trainer.max_epochs=3"),
        *more,
    ]


def test_a_plain_folder_of_class_folders_is_told_how_it_can_be_split(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(fine_tune(tree, tmp_path)) == 2
    error = capsys.readouterr().err
    assert "no official split" in error
    assert "--data.folds_by image" in error
    assert main(fine_tune(tree, tmp_path, "--data.fold=0")) == 1
    assert "--data.folds_by image" in capsys.readouterr().err
    assert main(fine_tune(tree, tmp_path, "--data.folds_by=image")) == 2
    assert "--data.folds_by image: give the round as well" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_it_is_fine_tuned_and_every_place_says_how_it_was_split(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = ("--data.fold=0", "--data.folds=4", "--data.folds_by=image")
    network = ("--model.init_args.init_from=null", *TINY)
    assert main(fine_tune(tree, tmp_path, *split, *network)) == 0
    assert "one person may be in training and in test" in capsys.readouterr().err
    run = tmp_path / "runs" / "finetune" / "version_0"
    record = json.loads((run / "run.json").read_text())
    assert (record["fold"], record["folds"], record["folds_by"]) == (0, 4, "image")
    best = run / "checkpoints" / "best.ckpt"
    assert Training.read(best).splits[0].title == "fold 0 of 4 by image"
    assert Origin.of(best).folds_by == "image"
    assert main(["test", str(run)]) == 0
    capsys.readouterr()
    assert main(["test", str(run), "--data.folds_by=identity"]) == 1
    assert "have no identity" in capsys.readouterr().err
    card = tmp_path / "model.onnx.md"
    temperature = f"--temperature={tmp_path / 'store'}"
    output = f"--output={tmp_path / 'model.onnx'}"
    assert main(["export", f"--checkpoint={best}", output, temperature]) == 0
    assert "the same person may be in several of the parts" in card.read_text()
    assert main(["report", f"--runs={tmp_path / 'runs'}", f"--output={tmp_path / 'page'}"]) == 0
    page = (tmp_path / "page" / "report.md").read_text()
    assert "4 folds by image" in page
    assert "not trained on that person" not in page
