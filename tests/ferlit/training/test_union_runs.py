"""Runs on several stores as one, by the command line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from ferlit.cli import main
from ferlit.data import ExpressionDataModule
from ferlit.data.store import Store
from ferlit.inference.demo.neighbours import training_rows
from ferlit.inference.origin import Origin
from ferlit.runs.checkpoints import read_checkpoint
from ferlit.runs.people import Split, Training
from ferlit.runs.seen import seen_among
from tests.ferlit.data.written_stores import write_store
from tests.ferlit.training.fits import small_fit, union_of
from tests.ferlit.training.test_many_processes import finish, start

PEOPLE = ("1", "2", "3", "4", "5", "6")
CLASSES = ("neutral", "anger", "fear")


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> list[Store]:
    """Two with persons of the same names, who are others, and a class each that the other lacks."""
    folder = tmp_path_factory.mktemp("two")
    return [
        write_store(folder / "jaffe", "jaffe", people=PEOPLE, classes=CLASSES),
        write_store(folder / "kdef", "kdef", people=PEOPLE, classes=(*CLASSES[1:], "joy"), seed=1),
    ]


def options(stores: list[Store], runs: Path, *more: str) -> list[str]:
    own = (
        "--data.folds=4",
        "--data.tuples_per_batch=6",
        "--data.store_weights=[1, 1.5]",
        "--model.lr_scheduler.T_max=60",
        "--trainer.max_epochs=3",
    )
    return small_fit("ckplus.yaml", runs, *union_of(stores), *own, *more)


@pytest.fixture(scope="module")
def run(stores: list[Store], tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("union")
    assert main(options(stores, runs)) == 0
    return runs / "ckplus" / "version_0"


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_run_counts_by_store_and_names_the_store_of_each_row(
    run: Path, stores: list[Store]
) -> None:
    predictions, metrics = pd.read_csv(run / "predictions.csv"), read(run / "metrics.json")
    assert list(predictions)[:2] == ["store", "image"]
    assert list(predictions)[6:] == [*CLASSES, "joy"]
    assert set(metrics["stores"]) == {"jaffe", "kdef"}
    for name, own in predictions.groupby("store"):
        said = metrics["stores"][name]["image"]
        assert said["total"] == len(own)
        assert said["correct"] == (own["label"] == own["predicted"]).sum()
        assert own["image"].str.startswith(f"{name}/").all()
    totals = [each["image"]["total"] for each in metrics["stores"].values()]
    assert sum(totals) == metrics["image"]["total"] == len(predictions)
    record = read(run / "run.json")["store"]
    assert [each["name"] for each in record["stores"]] == ["jaffe", "kdef"]
    assert [each["weight"] for each in record["stores"]] == [1, 1.5]
    assert [each["content"] for each in record["stores"]] == [store.content for store in stores]
    config = yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]
    assert config["store"] == [str(store.folder) for store in stores]
    split = pd.read_csv(run / "split.csv", dtype=str)
    assert split.groupby("identity")["split"].nunique().max() == 1
    assert split["identity"].nunique() == 12


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_an_evaluation_of_the_run_needs_no_configuration(
    run: Path, stores: list[Store], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, str(run)]) == 0
    if command == "predict":
        everything = pd.read_csv(run / "predictions_all.csv")
        assert len(everything) == sum(len(store.records) for store in stores)
        assert everything["store"].value_counts().to_dict() == {"jaffe": 36, "kdef": 36}
        return
    (folder,) = (run / "evaluations").glob(f"{command}_*")
    says = read(folder / "metrics.json")
    assert set(says["stores"]) == {"jaffe", "kdef"}
    assert [each["name"] for each in says["evaluation"]["store"]["stores"]] == ["jaffe", "kdef"]
    assert "  kdef: image accuracy" in capsys.readouterr().out
    if command == "test":
        assert says["image"] == read(run / "metrics.json")["image"]
        assert says["evaluation"]["people"]["images"] == 0


def test_a_moved_run_finds_its_stores_by_what_it_recorded(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "ckplus" / "version_0"))
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["data"]["init_args"]["store"] = ["gone/a", "gone/b"]
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["test", str(copy)]) == 0


def test_whom_a_network_has_seen_is_known_by_each_store(
    run: Path, stores: list[Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training = Training.read(run / "checkpoints" / "best.ckpt")
    (split,) = training.splits
    assert [each.database for each in split.parts] == ["jaffe", "kdef"]
    data = ExpressionDataModule(store=[s.folder for s in stores], fold=0, folds=4)
    data.setup("fit")
    assert split.is_same(Split.of(data))
    for member in data.store.members:
        store, part = member.store, data.split[member.rows]
        seen = seen_among(training, store, (part != "test").nonzero()[0], "test")
        assert seen.images == seen.of == (part != "test").sum()
        unseen = seen_among(training, store, (part == "test").nonzero()[0], "test")
        assert unseen.images == 0
    # Another fold of the union, and one store alone, hold people of the training.
    assert main(["test", str(run), "--data.fold=1"]) == 1
    assert "was trained in fold 0 of 4, and the data are those of fold 1" in capsys.readouterr().err
    again = write_store(tmp_path / "kdef", "kdef", people=PEOPLE, classes=(*CLASSES, "joy"), seed=7)
    own = set(data.store.records["identity"][data.split == "train"])
    alone = ExpressionDataModule(store=again.folder, fold=0, folds=4)
    alone.setup("test")
    known = [f"kdef/{name}" in own for name in again.records["identity"]]
    fold = alone.fold_of[known][0]
    assert main(["test", str(run), f"--data.store={again.folder}", f"--data.fold={fold}"]) == 1
    assert "trained or validated on" in capsys.readouterr().err


def test_the_databases_of_a_union_are_known_one_by_one(run: Path) -> None:
    origin = Origin.of(run / "checkpoints" / "best.ckpt")
    assert origin.databases == ("jaffe", "kdef")
    assert origin.database == "jaffe+kdef"


def test_the_training_faces_of_each_store_are_known(run: Path, stores: list[Store]) -> None:
    split = pd.read_csv(run / "split.csv", dtype=str)
    for store in stores:
        rows, is_known = training_rows(store, run / "checkpoints" / "best.ckpt")
        is_own = (split["store"] == store.description.database) & (split["split"] == "train")
        assert is_known
        assert len(rows) == split.loc[is_own, "images"].astype(int).sum()


def test_people_of_one_folder_are_not_those_of_another_of_the_union(tmp_path: Path) -> None:
    two = [write_store(tmp_path / str(seed), "folder", people=PEOPLE, seed=seed) for seed in (0, 1)]
    data = ExpressionDataModule(store=[store.folder for store in two], fold=0, folds=3)
    data.setup("fit")
    here = Split.of(data)
    rows = (data.split == "test").nonzero()[0]
    assert len({name.partition("/")[2] for name in data.store.records["identity"][rows]}) < 6
    assert seen_among(Training((here,)), data.store, rows, "test").images == 0
    alone = [seen_among(Training((here,)), store, rows[:3], "test") for store in two]
    assert all(seen.of == 3 for seen in alone)
    other = write_store(tmp_path / "other", "folder", people=PEOPLE, seed=2)
    trained = (data.split != "test").nonzero()[0]
    known = {name.partition("/")[2] for name in data.store.records["identity"][trained]}
    chosen = other.records["identity"].isin(known).to_numpy().nonzero()[0]
    assert seen_among(Training((here,)), other, chosen, "test").images == len(chosen) > 0


def test_a_stopped_fit_gives_the_numbers_of_one_never_stopped(
    run: Path, stores: list[Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for epochs, more in ((2, ()), (3, ("--ckpt_path=last", "--data.num_workers=1"))):
        more = (*more, f"--trainer.max_epochs={epochs}")
        assert main(options(stores, tmp_path, *more)) == 0
    again = tmp_path / "ckplus" / "version_0"
    assert (again / "metrics.csv").read_text() == (run / "metrics.csv").read_text()
    one, other = (read_checkpoint(each / "checkpoints" / "last.ckpt") for each in (run, again))
    for name, weight in one["state_dict"].items():
        assert torch.equal(weight, other["state_dict"][name])
    assert (again / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    more = ("--ckpt_path=last", "--trainer.max_epochs=4")
    capsys.readouterr()
    assert main(options(stores, tmp_path, *more, "--data.store_weights=[1, 1]")) == 1
    assert "data.store_weights: [1.0, 1.5] there, [1.0, 1.0] now" in capsys.readouterr().err
    assert main(options(stores[::-1], tmp_path, *more)) == 1
    assert "trained with another split" in capsys.readouterr().err


def test_two_processes_learn_what_one_does(stores: list[Store], tmp_path: Path) -> None:
    exact = (
        "--config=systems/softmax.yaml",
        "--data.store_weights={kdef: 2, jaffe: 1}",
        "--model.init_args.branches.init_args.norm=none",
        "--trainer.precision=64-true",
        "--trainer.max_epochs=2",
    )
    two = ("--trainer.devices=2", "--trainer.strategy=ddp", "--data.batch_size=8")
    assert main(options(stores, tmp_path / "one", *exact, "--data.batch_size=16")) == 0
    finish(start(options(stores, tmp_path / "two", *exact, *two)))
    folders = [tmp_path / name / "ckplus" / "version_0" for name in ("one", "two")]
    losses = [pd.read_csv(folder / "metrics.csv")["train/loss"].dropna() for folder in folders]
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), rel=1e-6)
    tables = [pd.read_csv(folder / "predictions.csv").sort_values("image") for folder in folders]
    assert tables[0]["store"].tolist() == tables[1]["store"].tolist()


def test_a_cross_validation_and_its_report_count_by_store(
    stores: list[Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = options(stores, tmp_path / "runs", "--data.folds=3", "--trainer.max_epochs=1")[1:]
    left_out = ("--trainer.logger", "--data.tuples_per_batch")
    given = [each for each in given if not each.startswith(left_out)]
    output = tmp_path / "crossval"
    more = (f"--output={output}", "--systems=softmax", "--seeds=0")
    assert main(["crossval", *given, *more]) == 0
    found = read(output / "results.json")["summary"]["softmax"]
    assert {name: each["image"]["total"] for name, each in found["stores"].items()} == {
        "jaffe": 36,
        "kdef": 36,
    }
    assert found["image"]["total"] == 72
    assert "softmax on kdef, by image: " in capsys.readouterr().out
    assert main(["report", f"--runs={output}", f"--output={tmp_path / 'report'}"]) == 0
    page = (tmp_path / "report" / "report.md").read_text()
    assert "| softmax | kdef, by image |" in page
    assert f"of {found['stores']['kdef']['image']['total']} |" in page
    assert "kdef, by image" in (tmp_path / "report" / "report.html").read_text()


def test_what_does_not_fit_ends_a_command_in_a_word(
    stores: list[Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, code, reason in (
        (("--data.fold=null",), 2, "no official split: jaffe ("),
        (union_of([stores[0], stores[0]]), 2, "is named twice"),
        ((f"--data.store=[{stores[0].folder}, {tmp_path}/no]",), 1, "no: no prepared store"),
        (("--data.database=ckplus",), 2, "give --data.database null"),
        (("--data.store_weights=[1, 2, 3]",), 2, "3 weights for 2 stores, jaffe, kdef"),
    ):
        assert main(options(stores, tmp_path / "runs", *more)) == code
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
