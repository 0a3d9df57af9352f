"""Results of many runs together: pooled over folds, spread over seeds, systems compared."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ferlit.evaluation.comparison import compare_systems
from ferlit.evaluation.metrics import Rule
from ferlit.evaluation.tables import Evaluation, evaluate_images, evaluate_sequences, vote


def recognised(predictions: pd.DataFrame, classes: Sequence[str], rule: Rule) -> pd.Series:
    """Whether each item was recognised, by its name: a sequence, or an image where all are stills.

    Args:
        predictions: See `ferlit.evaluation.tables.prediction_table`.
        classes: Names of the K classes.
        rule: How the images of a sequence vote.

    >>> table = pd.DataFrame({"image": ["a", "b"], "sequence": ["s", "s"], "label": ["fear"] * 2,
    ...     "predicted": ["anger", "fear"], "anger": [0.6, 0.1], "fear": [0.4, 0.9]})
    >>> recognised(table, ["anger", "fear"], "max").to_dict()
    {'s': True}
    """
    items = vote(predictions, list(classes), rule)
    if items.empty:
        items = predictions.set_index("image")
    return items["label"] == items["predicted"]


@dataclass(frozen=True)
class TestedRun:
    """One finished run with its predictions.

    Args:
        system: Name of the system.
        seed: Its seed.
        fold: Round of the cross-validation, or None for the official split.
        classes: Names of the K classes.
        rule: How the images of a sequence vote.
        predictions: See `ferlit.evaluation.tables.prediction_table`.
        details: What else ``results.json`` says of the run: counts, checkpoint, seconds.
    """

    __test__ = False  # no test, whatever pytest thinks of the name

    system: str
    seed: int
    fold: int | None
    classes: tuple[str, ...]
    rule: Rule
    predictions: pd.DataFrame
    details: dict[str, Any]

    @cached_property
    def image(self) -> Evaluation:
        return evaluate_images(self.predictions, list(self.classes))

    @cached_property
    def sequence(self) -> Evaluation | None:
        """Results by sequence, or None where the images are stills."""
        return evaluate_sequences(self.predictions, list(self.classes), self.rule)

    @cached_property
    def right(self) -> pd.Series:
        return recognised(self.predictions, self.classes, self.rule)

    def to_dict(self) -> dict[str, Any]:
        sequence = self.sequence
        return {
            "system": self.system,
            "seed": self.seed,
            "fold": self.fold,
            "image_accuracy": self.image.accuracy,
            "sequence_accuracy": sequence and sequence.accuracy,
            "confusion": self.image.confusion.tolist(),
            "confusion_sequences": sequence and sequence.confusion.tolist(),
            **self.details,
        }


def pool(runs: Sequence[TestedRun]) -> dict[str, Evaluation]:
    """The confusion matrices of several runs added up: "image" and perhaps "sequence"."""
    levels = {
        "image": [run.image for run in runs],
        "sequence": [run.sequence for run in runs if run.sequence is not None],
    }
    return {
        level: Evaluation(results[0].classes, np.sum([r.confusion for r in results], axis=0))
        for level, results in levels.items()
        if results
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Mean and sample standard deviation over seeds; None where they are not defined.

    >>> spread([0.5, 0.7])["mean"], spread([0.5])["sd"]
    (0.6, None)
    """
    return {
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "seeds": len(values),
    }


def summarise_system(runs: Sequence[TestedRun], folds: int) -> dict[str, Any]:
    """What ``results.json`` says of a system.

    ``image`` and ``sequence`` are pooled over all folds and seeds that are finished. The mean and
    the standard deviation over seeds take only seeds of which every fold is finished: others
    would mix the spread of seeds with that of folds.

    Args:
        runs: The finished runs of the system.
        folds: How many a seed has.
    """
    by_seed: dict[int, list[TestedRun]] = {}
    for run in runs:
        by_seed.setdefault(run.seed, []).append(run)
    pooled = pool(runs)
    seeds: list[dict[str, Any]] = [
        {"seed": seed, "folds": len(members), "is_complete": len(members) == folds}
        | {level: result.to_dict() for level, result in pool(members).items()}
        for seed, members in by_seed.items()
    ]
    summary: dict[str, Any] = {"runs": len(runs), "image": None, "sequence": None}
    for level, result in pooled.items():
        complete = [seed[level]["accuracy"] for seed in seeds if seed["is_complete"]]
        summary[level] = {
            **result.to_dict(),
            "over_seeds": spread(complete),
            "confusion": result.confusion.tolist(),
            "confusion_percent": percentages(result).round(2).to_numpy().tolist(),
        }
    return {**summary, "seeds": seeds}


def percentages(result: Evaluation) -> pd.DataFrame:
    """The confusion matrix in per cent of each row; a class that never occurs has zeros.

    >>> percentages(Evaluation(("anger", "fear"), np.array([[3, 1], [0, 0]]))).to_numpy().tolist()
    [[75.0, 25.0], [0.0, 0.0]]
    """
    return pd.DataFrame(100 * result.shares, result.classes, result.classes)


def by_system(runs: Sequence[TestedRun]) -> dict[str, list[TestedRun]]:
    """The runs of each system, in the order of their first appearance."""
    grouped: dict[str, list[TestedRun]] = {}
    for run in runs:
        grouped.setdefault(run.system, []).append(run)
    return grouped


def summarise(runs: Sequence[TestedRun], folds: int) -> dict[str, Any]:
    """``classes``, ``runs``, a ``summary`` by system and the paired ``comparisons`` of systems.

    Args:
        runs: The finished runs.
        folds: How many a system and seed has.
    """
    systems = by_system(runs)
    right: dict[str, dict[int, pd.Series]] = {}
    for system, members in systems.items():
        seeds = dict.fromkeys(run.seed for run in members)
        right[system] = {
            seed: pd.concat([run.right for run in members if run.seed == seed]) for seed in seeds
        }
    has_sequences = any(run.sequence is not None for run in runs)
    return {
        "classes": list(runs[0].classes) if runs else [],
        "runs": [run.to_dict() for run in runs],
        "summary": {name: summarise_system(members, folds) for name, members in systems.items()},
        "comparisons": [
            {"level": "sequence" if has_sequences else "image", **comparison}
            for comparison in compare_systems(right)
        ],
    }


def write_confusions(runs: Sequence[TestedRun], folder: Path) -> None:
    """Write each system's pooled confusion matrices.

    Args:
        runs: The finished runs.
        folder: Gets ``confusion_SYSTEM.png``, and for each level
            ``confusion_SYSTEM_LEVEL.csv`` (counts) and ``confusion_SYSTEM_LEVEL_percent.csv``.
    """
    from ferlit.evaluation.plots import plot_confusion

    for system, members in by_system(runs).items():
        pooled = pool(members)
        plot_confusion(pooled, folder / f"confusion_{system}.png")
        for level, result in pooled.items():
            stem = f"confusion_{system}_{level}"
            counts = pd.DataFrame(result.confusion, result.classes, result.classes)
            counts.to_csv(folder / f"{stem}.csv", index_label="actual")
            shares = percentages(result).round(2)
            shares.to_csv(folder / f"{stem}_percent.csv", index_label="actual")
