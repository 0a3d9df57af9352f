"""Results with their counts: accuracies, confusion matrices, predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from ferlit.evaluation.metrics import Rule, sequence_predictions
from ferlit.files import whole_file, write_json
from ferlit.runs.folder import CONFUSION, RESULTS, TESTED


@dataclass(frozen=True)
class Evaluation:
    """Results at one level, images or sequences.

    Args:
        classes: Names of the K classes.
        confusion: (K, K) counts; rows are actual, columns predicted.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def total(self) -> int:
        return int(self.confusion.sum())

    @property
    def correct(self) -> int:
        return int(np.trace(self.confusion))

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def shares(self) -> NDArray[np.float64]:
        """(K, K) the counts as shares of their rows; a class that never occurs has zeros."""
        shares: NDArray[np.float64] = self.confusion / self.confusion.sum(
            axis=1, keepdims=True
        ).clip(min=1)
        return shares

    @property
    def class_mean(self) -> float:
        """Mean of the recalls of the classes that occur."""
        actual = self.confusion.sum(axis=1)
        recalls = np.diag(self.confusion)[actual > 0] / actual[actual > 0]
        return float(recalls.mean())

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes that occur or are predicted."""
        both = self.confusion.sum(axis=0) + self.confusion.sum(axis=1)
        return float((2 * np.diag(self.confusion)[both > 0] / both[both > 0]).mean())

    def to_dict(self) -> dict[str, float | int]:
        """What ``metrics.json`` says of this level."""
        return {
            "accuracy": self.accuracy,
            "correct": self.correct,
            "total": self.total,
            "class_mean": self.class_mean,
            "macro_f1": self.macro_f1,
        }


def confusion_matrix(
    labels: NDArray[Any], predicted: NDArray[Any], num_classes: int
) -> NDArray[np.int64]:
    """Counts; rows are actual, columns predicted.

    >>> confusion_matrix(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    array([[1, 1], [0, 1]])
    """
    pairs = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes).astype(np.int64)


def prediction_table(
    records: pd.DataFrame, probabilities: NDArray[np.floating], classes: list[str]
) -> pd.DataFrame:
    """One row an image: who and what it shows, the predicted class, one probability a class.

    Args:
        records: The n rows of the record table that were predicted.
        probabilities: (n, K).
        classes: Names of the K classes.
    """
    table = records[["image", "identity", "sequence"]].reset_index(drop=True)
    table["label"] = records["expression"].to_numpy()
    table["predicted"] = np.array(classes, dtype=object)[probabilities.argmax(axis=1)]
    table[classes] = probabilities
    return table


def evaluate_images(predictions: pd.DataFrame, classes: list[str]) -> Evaluation:
    """Results by image of a table of predictions with their labels."""
    labels = pd.Index(classes).get_indexer(pd.Index(predictions["label"]))
    predicted = pd.Index(classes).get_indexer(pd.Index(predictions["predicted"]))
    return Evaluation(tuple(classes), confusion_matrix(labels, predicted, len(classes)))


def evaluate_sequences(
    predictions: pd.DataFrame, classes: list[str], rule: Rule
) -> Evaluation | None:
    """Results by sequence, or None where the images are stills."""
    votes = vote(predictions, classes, rule)
    return None if votes.empty else evaluate_images(votes, classes)


def vote(predictions: pd.DataFrame, classes: list[str], rule: Rule) -> pd.DataFrame:
    """The label and the predicted class of every sequence, by its name; none of stills.

    >>> table = pd.DataFrame({"sequence": ["s", "s", ""], "label": ["fear"] * 3,
    ...                       "anger": [0.6, 0.1, 0.9], "fear": [0.4, 0.9, 0.1]})
    >>> vote(table, ["anger", "fear"], "max").loc["s"].to_dict()
    {'label': 'fear', 'predicted': 'fear'}
    """
    frames = predictions[predictions["sequence"] != ""]
    numbers, names = pd.factorize(frames["sequence"])
    _, predicted = sequence_predictions(
        torch.tensor(frames[classes].to_numpy(np.float64)), torch.tensor(numbers), rule
    )
    labels = frames.drop_duplicates("sequence")["label"].to_numpy(object)
    named = np.array(classes, dtype=object)[predicted.numpy()]
    return pd.DataFrame({"label": labels, "predicted": named}, index=names)


def print_evaluation(results: dict[str, Evaluation], console: Console) -> None:
    """The accuracies with their counts, and the confusion matrix of the last level."""
    for level, result in results.items():
        console.print(
            f"{level} accuracy {result.accuracy:.1%} ({result.correct} of {result.total}), "
            f"class mean {result.class_mean:.1%}, macro F1 {result.macro_f1:.3f}",
            highlight=False,
        )
    level, result = list(results.items())[-1]
    table = Table(title=f"confusion by {level} (rows actual, columns predicted)")
    table.add_column("")
    for name in result.classes:
        table.add_column(name[:2].upper(), justify="right")  # AN CO DI ..., as in the paper
    table.add_column("recall", justify="right")
    for name, row in zip(result.classes, result.confusion, strict=True):
        count = int(row.sum())
        recall = f"{row[result.classes.index(name)] / count:.0%}" if count else "-"
        table.add_row(name, *(str(n) if n else "·" for n in row), recall)
    console.print(table)


def write_evaluation(
    results: dict[str, Evaluation],
    predictions: pd.DataFrame,
    folder: Path,
    says: Mapping[str, Any] | None = None,
) -> None:
    """Write the results of a test.

    Args:
        results: "image" and, where there are sequences, "sequence".
        predictions: What `prediction_table` gave.
        folder: Gets ``metrics.json``, ``predictions.csv``, ``confusion.png``, ``confusion.csv``
            (counts by image) and ``confusion_sequences.csv``.
        says: What ``metrics.json`` tells beside the results.
    """
    from ferlit.evaluation.plots import plot_confusion

    folder.mkdir(parents=True, exist_ok=True)
    metrics = {level: result.to_dict() for level, result in results.items()}
    write_json(folder / RESULTS, {**metrics, **(says or {})})
    with whole_file(folder / TESTED) as draft:
        predictions.to_csv(draft, index=False)
    files = {"image": CONFUSION, "sequence": "confusion_sequences.csv"}
    for level, result in results.items():
        table = pd.DataFrame(result.confusion, result.classes, result.classes)
        table.to_csv(folder / files[level], index_label="actual")
    plot_confusion(results, folder / "confusion.png")
