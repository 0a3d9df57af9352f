"""A finished run, read from its folder: what it was and what it predicted."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ferlit.data.databases import DATABASES
from ferlit.data.records import SequenceRule
from ferlit.data.store import DESCRIPTION, Description, Store, StoreUnion, open_stores
from ferlit.errors import DataError
from ferlit.evaluation.pooling import TestedRun
from ferlit.evaluation.results import evaluate_images
from ferlit.runs.folder import (
    CONFIG,
    HISTORY,
    PREDICTED,
    RESULTS,
    SPLIT,
    TESTED,
    RunFolder,
    class_columns,
    store_folders,
)

_SPLIT = ["split", "identity", "images", "sequences"]
_LOSSES = {
    "NPlusOneTupletLoss": "n1",
    "AdaptiveNMTupleClustersLoss": "nm",
    "NMTupleClustersLoss": "nm_fixed",
    "CoupledClustersLoss": "coupled",
}
_BRANCHES = {"OneBranch": "1b", "TwoBranch": "2b"}


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run with its predictions of people that it never saw.

    Args:
        folder: Where it lies.
        tested: System, seed, fold and predictions.
        part: The part of the split that judges: "test", or "val" where the test has no labels.
        folds: Rounds of the cross-validation; None for the official split.
        database: Its name.
        config: ``config.yaml``.
        record: ``run.json``.
        split: ``split.csv``; empty where there is none.
    """

    folder: Path
    tested: TestedRun
    part: str
    folds: int | None
    database: str
    config: dict[str, Any]
    record: dict[str, Any]
    split: pd.DataFrame

    @property
    def system(self) -> str:
        return self.tested.system

    @property
    def predictions(self) -> pd.DataFrame:
        """One row an image, see `ferlit.evaluation.tables.prediction_table`."""
        return self.tested.predictions

    @property
    def checkpoint(self) -> Path:
        """The checkpoint that validation chose."""
        return RunFolder(self.folder).best

    @property
    def data(self) -> dict[str, Any]:
        """The options of its data module."""
        return dict(self.config["data"]["init_args"])

    @property
    def folds_by(self) -> str:
        """What the folds go by, "identity" or "image"."""
        return str(self.data.get("folds_by", "identity"))

    @property
    def name(self) -> str:
        """Short, for people, such as "2b_nm, seed 0, fold 3"."""
        fold = "" if self.tested.fold is None else f", fold {self.tested.fold}"
        return f"{self.system}, seed {self.tested.seed}{fold}"

    @property
    def command(self) -> list[str]:
        """The command line that started it; empty where it is not known."""
        resumed = self.record.get("resumed_from") or []
        command = resumed[0].get("command") if resumed else self.record.get("command")
        return ["ferlit", *map(str, command[1:])] if command else []


def read_run(run: RunFolder) -> Run:
    """Read one run.

    Raises:
        DataError: a file is missing or damaged; the message names it.
    """
    folder, config, record = run.path, run.config(), run.record()
    try:
        data = config["data"]["init_args"]
        system = system_of(config["model"])
        seed = int(config.get("seed_everything") or 0)
        fold, folds = data.get("fold"), data.get("folds")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(f"{CONFIG}: no configuration of a run ({error!r})") from error
    # `ferlit crossval` names systems and seeds by folders: runs/2b_nm/seed_0/fold_3.
    place = re.fullmatch(r"(.+)/seed_(\d+)/[^/]+", "/".join(folder.resolve().parts[-3:]))
    if place:
        system, seed = place[1], int(place[2])
    part = "test" if (folder / TESTED).is_file() else "val"
    table = TESTED if part == "test" else PREDICTED
    predictions = run.predictions(table)
    classes = tuple(class_columns(predictions))
    named = set(predictions["predicted"]) | (set(predictions["label"]) - {""})
    if len(classes) < 2 or not named <= set(classes):
        raise DataError(f"{table}: its labels and its columns of probabilities do not agree")
    if part == "test":
        _compare_counts(run, predictions, list(classes))
    else:
        predictions = _validation_part(predictions, find_store(config, record))
    split = run.split()
    split = pd.DataFrame(columns=_SPLIT) if split.empty else split
    missing = [name for name in _SPLIT if name not in split]
    if missing:
        raise DataError(f"{SPLIT}: no column {missing[0]}")
    database = _database(config, record)
    rule = _rule(run, database)
    return Run(
        folder=folder,
        tested=TestedRun(system, seed, fold, classes, rule, predictions),
        part=part,
        folds=None if fold is None else folds,
        database=database,
        config=config,
        record=record,
        split=split,
    )


def system_of(model: dict[str, Any]) -> str:
    """The name of what a configuration's ``model`` trains.

    >>> system_of({"class_path": "ferlit.training.ExpressionModule"})
    'softmax'
    >>> system_of({"class_path": "ferlit.training.JointModule", "init_args": {
    ...     "branches": {"class_path": "ferlit.models.OneBranch"},
    ...     "metric_loss": {"class_path": "nmloss.NPlusOneTupletLoss"}}})
    '1b_n1'
    >>> system_of({"class_path": "ferlit.training.JointModule", "init_args": {
    ...     "metric_loss": {"class_path": "nmloss.AdaptiveNMTupleClustersLoss"}, "alpha": 0.0}})
    'softmax_tuples'
    """
    options = model.get("init_args") or {}
    if "metric_loss" not in options:
        return "softmax"
    if options.get("alpha", 1.0) == 0:
        return "softmax_tuples"
    branches, loss = (
        str((options.get(key) or {}).get("class_path", "")).rpartition(".")[2]
        for key in ("branches", "metric_loss")
    )
    return f"{_BRANCHES.get(branches, branches or '2b')}_{_LOSSES.get(loss, loss)}"


def find_store(config: dict[str, Any], record: dict[str, Any]) -> Store | StoreUnion:
    """The store that a run was made with, or the several that it took as one.

    Args:
        config: ``config.yaml``.
        record: ``run.json``.

    Raises:
        DataError: it is gone, or not where the run says.
    """
    data = config["data"]["init_args"]
    named = store_folders(record) or data.get("store")
    if not named:
        raise DataError("the run does not say which store it used")
    folders = [Path(folder) for folder in ([named] if isinstance(named, str) else named)]
    if len(folders) == 1:
        return Store.open(folders[0])
    return open_stores(folders, data.get("landmarks") or "auto")


def read_history(run: RunFolder) -> pd.DataFrame:
    """``metrics.csv`` with one row an epoch, indexed by its number from 1.

    Raises:
        DataError: it is missing or damaged.
    """
    table = run.history()
    try:
        table["epoch"] = table["epoch"].astype(int) + 1
    except ValueError as error:
        raise DataError(f"{HISTORY}: its epochs are no numbers ({error})") from error
    return table.groupby("epoch").last()


def within(run: Path, error: DataError) -> str:
    """What is wrong with a run, whose folder is named already."""
    return str(error).removeprefix(f"{run}{os.sep}")


def _compare_counts(run: RunFolder, predictions: pd.DataFrame, classes: list[str]) -> None:
    """See that the predictions are those that the run's own results were counted from.

    Raises:
        DataError: they are not, so that one of the files was changed or damaged since the test.
    """
    if not (run.path / RESULTS).is_file():
        return
    results = run.results()
    counted = evaluate_images(predictions, classes)
    try:
        correct, total = (int(results["image"][name]) for name in ("correct", "total"))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{RESULTS}: cannot be read ({error!r})") from error
    if (correct, total) != (counted.correct, counted.total):
        raise DataError(
            f"{TESTED}: {counted.correct} of {counted.total} images right, and {RESULTS} says "
            f"{correct} of {total}; one of them has changed since the test: test the run again"
        )


def _validation_part(predictions: pd.DataFrame, store: Store | StoreUnion) -> pd.DataFrame:
    records = store.records
    judging = records.loc[(records["split"] == "val") & (records["expression"] != ""), "image"]
    kept = predictions[predictions["image"].isin(judging)].reset_index(drop=True)
    if kept.empty:
        raise DataError(f"{PREDICTED}: no labelled images of an official validation part in it")
    return kept


def _database(config: dict[str, Any], record: dict[str, Any]) -> str:
    data = config["data"]["init_args"]
    name = (record.get("store") or {}).get("database") or data.get("database")
    stores = data.get("store") or ""
    paths = [
        Path(each) / DESCRIPTION for each in (stores if isinstance(stores, list) else [stores])
    ]
    if not name and all(path.is_file() for path in paths):
        name = "+".join(Description.read(path).database for path in paths)
    return str(name or "unknown")


def _rule(run: RunFolder, database: str) -> SequenceRule:
    rule = run.hyper_parameters().get("sequence_rule")
    if rule is None and database in DATABASES:
        rule = DATABASES[database].sequence_rule
    return "mean" if rule == "mean" else "max"
