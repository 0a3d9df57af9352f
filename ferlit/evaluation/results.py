"""Results with their counts: accuracies and confusion matrices, by image and by sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from ferlit.data.records import STORE, SequenceRule
from ferlit.evaluation.metrics import sequence_predictions


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
    def counts(self) -> pd.DataFrame:
        """The confusion matrix with the names of the classes."""
        return pd.DataFrame(self.confusion, self.classes, self.classes)

    @property
    def percentages(self) -> pd.DataFrame:
        """`shares` in per cent, to two digits, with the names of the classes.

        >>> result = Evaluation(("anger", "fear"), np.array([[3, 1], [0, 0]]))
        >>> result.percentages.to_numpy().tolist()
        [[75.0, 25.0], [0.0, 0.0]]
        """
        return pd.DataFrame(100 * self.shares, self.classes, self.classes).round(2)

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


def evaluate_images(predictions: pd.DataFrame, classes: list[str]) -> Evaluation:
    """Results by image of a table of predictions with their labels."""
    labels = pd.Index(classes).get_indexer(pd.Index(predictions["label"]))
    predicted = pd.Index(classes).get_indexer(pd.Index(predictions["predicted"]))
    return Evaluation(tuple(classes), confusion_matrix(labels, predicted, len(classes)))


def evaluate_sequences(
    predictions: pd.DataFrame, classes: list[str], rule: SequenceRule
) -> Evaluation | None:
    """Results by sequence, or None where the images are stills."""
    votes = vote(predictions, classes, rule)
    return None if votes.empty else evaluate_images(votes, classes)


def evaluate(
    predictions: pd.DataFrame, classes: list[str], rule: SequenceRule
) -> dict[str, Evaluation]:
    """Results by level: "image" and, where there are sequences, "sequence"."""
    results = {"image": evaluate_images(predictions, classes)}
    by_sequence = evaluate_sequences(predictions, classes, rule)
    return results if by_sequence is None else {**results, "sequence": by_sequence}


def by_store(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The predictions of each store, where several are taken as one; nothing of a single one.

    >>> table = pd.DataFrame({"store": ["b", "a", "b"], "image": ["b/1", "a/1", "b/2"]})
    >>> {name: len(own) for name, own in by_store(table).items()}
    {'b': 2, 'a': 1}
    """
    if list(predictions)[:1] != [STORE]:
        return {}
    return {str(name): own for name, own in predictions.groupby(STORE, sort=False)}


def vote(predictions: pd.DataFrame, classes: list[str], rule: SequenceRule) -> pd.DataFrame:
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


def recognised(predictions: pd.DataFrame, classes: Sequence[str], rule: SequenceRule) -> pd.Series:
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
