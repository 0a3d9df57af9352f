"""The data of a cross-validation: prepared once, split into rounds."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonargparse
from lightning.pytorch import LightningDataModule

from ferlit.data.folds import fold_splits
from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.records import SPLITS, SequenceRule
from ferlit.errors import DataError, UsageError
from ferlit.runs.people import Training
from ferlit.runs.seen import ALLOW, count_seen


@dataclass(frozen=True)
class Round:
    """One training and its test.

    Args:
        fold: Round of the cross-validation; None for the database's official split.
        counts: Part ("train", "val", "test") -> labelled ``images`` and ``sequences``.
        images: Names of the images that the trained network is judged by.
    """

    fold: int | None
    counts: dict[str, dict[str, int]]
    images: frozenset[str]

    @property
    def folder(self) -> str:
        """Name of its folder below that of the seed."""
        return "official_split" if self.fold is None else f"fold_{self.fold}"


@dataclass(frozen=True)
class Rounds:
    """The data of a cross-validation, prepared and split.

    Args:
        database: Its name.
        classes: Its expressions.
        sequence_rule: How the images of a sequence vote.
        part: The part that judges: "test", or "val" where an official split has no labels for its
            test (SFEW).
        rounds: One a fold, or one for the official split.
        content: A checksum of the store and of the persons in it.
        folds_by: What the folds go by, "identity" or "image"; "" of an official split.
    """

    database: str
    classes: tuple[str, ...]
    sequence_rule: SequenceRule
    part: Literal["test", "val"]
    rounds: tuple[Round, ...]
    content: str
    folds_by: str


def prepare(config: Mapping[str, Any]) -> str | list[str]:
    """Prepare the database of a configuration; where its store is, or its several are."""
    data = data_module(config)
    data.prepare_data()
    path = data.store_path
    return str(path) if isinstance(path, Path) else [str(each) for each in path]


def split_rounds(config: Mapping[str, Any]) -> Rounds:
    """Open the store of a configuration and split it into rounds.

    Raises:
        DataError: it cannot be split so, or a round has nothing to judge by.
    """
    data = data_module(config)
    data.setup("fit")
    folds = range(data.folds) if data.fold is not None else [None]
    splits = {
        fold: data.split if fold is None else fold_splits(data.fold_of, fold, data.folds)
        for fold in folds
    }
    records = data.store.records
    members = {
        fold: {part: records[(split == part) & (data.labels >= 0)] for part in SPLITS}
        for fold, split in splits.items()
    }
    is_tested = all(len(parts["test"]) for parts in members.values())
    if not is_tested and data.fold is not None:
        raise DataError(f"{data.source_name}: a fold has no labelled images; use fewer folds")
    part: Literal["test", "val"] = "test" if is_tested else "val"
    rounds = []
    for fold, parts in members.items():
        counts = {
            name: {
                "images": len(rows),
                "sequences": rows.loc[rows["sequence"] != "", "sequence"].nunique(),
            }
            for name, rows in parts.items()
        }
        rounds.append(Round(fold, counts, frozenset(parts[part]["image"])))
    description = data.store.description
    content = description.fingerprint + records.to_csv(index=False)
    return Rounds(
        database=description.database,
        classes=tuple(data.classes),
        sequence_rule=data.sequence_rule,
        part=part,
        rounds=tuple(rounds),
        content=hashlib.sha256(content.encode()).hexdigest(),
        folds_by="" if data.fold is None else data.folds_by,
    )


def check_starts(configs: Mapping[str, Mapping[str, Any]]) -> None:
    """See that no weights that the systems start from have seen whom a round is judged by.

    Args:
        configs: System -> its whole configuration.

    Raises:
        UsageError: some have; the message names each round.
    """
    problems: dict[str, None] = {}
    known: dict[str, Training] = {}
    for config in configs.values():
        start = config["model"]["init_args"].get("init_from")
        if start is None or config.get(ALLOW):
            continue
        if start not in known:
            known[start] = Training.read(Path(start))
        data = data_module(config)
        data.setup("fit")
        for fold in range(data.folds) if data.fold is not None else [None]:
            data.fold = fold
            if fold is not None:
                data.split = fold_splits(data.fold_of, fold, data.folds)
            for part in ("test", "val"):
                seen = count_seen(known[start], data, part)
                if seen.images:
                    name = "official split" if fold is None else f"fold {fold}"
                    problems[f"{start}, {name}: in its training, {seen}"] = None
    if problems:
        raise UsageError(
            "--model.init_from: the weights have seen people that judge:\n  "
            + "\n  ".join(problems)
            + f"\nstart from weights of other people, or --{ALLOW} true to go on all the same"
        )


def same_rounds(configs: dict[str, dict[str, Any]]) -> Rounds:
    """The rounds, which every system must have alike to be compared.

    Args:
        configs: System -> its whole configuration.

    Raises:
        UsageError: two systems split the data differently.
    """
    found = {system: split_rounds(config) for system, config in configs.items()}
    first, *others = found
    for system in others:
        if found[system].rounds != found[first].rounds:
            raise UsageError(
                f"the systems {first} and {system} split the data differently "
                "(data.fold, data.folds); they cannot be compared"
            )
    return found[first]


def data_module(config: Mapping[str, Any]) -> ExpressionDataModule:
    """The data module of a configuration, before its setup.

    Raises:
        UsageError: it is one that knows no folds.
    """
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    # A copy: the parser makes paths of the texts of a list in their place.
    parsed = parser.parse_object({"data": copy.deepcopy(config["data"])})
    data = parser.instantiate_classes(parsed).data
    if not isinstance(data, ExpressionDataModule):
        raise UsageError(
            f"data.class_path={config['data']['class_path']}: what is needed is a data module that "
            "knows folds, ferlit.data.ExpressionDataModule or one derived from it"
        )
    return data
