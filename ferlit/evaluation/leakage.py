"""How well features tell persons apart whom the network never saw: identity leakage.

A network that recognises expressions whoever shows them should keep little of the identity in its
features (Liu et al. 2017, Sec. 1). Two readers try to find it there: the nearest other face, and a
linear classifier. Both are asked for the person and, with the same faces and the same rules, for
the expression.

Faces of one recording are nearly the same picture; so a reader never answers from faces of the
recording that it is asked about, and persons with a single recording are left out.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.evaluation.pooling import Spread

PROBE_FOLDS = 5


class Reading(NamedTuple):
    """What a reader got right.

    Args:
        correct: Right answers.
        total: Faces that were asked about.
        expected: Right answers by chance: those of a random face of another recording for the
            nearest face, those of always giving the most frequent label for the linear classifier.
    """

    correct: int
    total: int
    expected: float

    @property
    def accuracy(self) -> float:
        return self.correct / self.total

    @property
    def chance(self) -> float:
        return self.expected / self.total


Readings = dict[tuple[str, str], Reading]  # by question and reader, see `measure_leakage`


@dataclass(frozen=True)
class PooledReading:
    """What a reader got right in several runs.

    Args:
        sums: Over the runs.
        accuracies: Of the runs.
    """

    sums: Reading
    accuracies: Spread


def usable_faces(people: NDArray[np.object_], recordings: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which faces are of a known person with at least two recordings.

    Args:
        people: (n,) names, "" where unknown.
        recordings: (n,) numbers.

    >>> usable_faces(np.array(["a", "a", "b", "b"], object), np.array([0, 1, 2, 2])).tolist()
    [True, True, False, False]
    """
    counts = pd.Series(recordings).groupby(pd.Series(people)).transform("nunique")
    return ((counts > 1) & (pd.Series(people) != "")).to_numpy(bool)


def nearest_face(
    features: NDArray[np.floating],
    labels: NDArray[np.object_],
    recordings: NDArray[np.int64],
) -> Reading:
    """Give every face the label of the face of another recording with the highest cosine.

    Args:
        features: (n, D).
        labels: (n,) persons or expressions.
        recordings: (n,) numbers; at least two.

    >>> features = np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    >>> nearest_face(features, np.array(["a", "a", "b", "b"], object), np.arange(4))
    Reading(correct=4, total=4, expected=1.33...)
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True).clip(min=1e-12)
    is_candidate = recordings[:, None] != recordings[None, :]  # (n, n)
    is_same = labels[:, None] == labels[None, :]
    nearest = np.where(is_candidate, unit @ unit.T, -np.inf).argmax(axis=1)
    shares = (is_same & is_candidate).sum(axis=1) / is_candidate.sum(axis=1)
    return Reading(int((labels[nearest] == labels).sum()), len(labels), float(shares.sum()))


def spread_recordings(
    people: NDArray[np.object_], recordings: NDArray[np.int64], folds: int = PROBE_FOLDS
) -> NDArray[np.int64]:
    """Folds of whole recordings where each person with several recordings is in several folds.

    The recordings of a person go to the folds in turn, and the next person goes on where the last
    one stopped, so that the folds are of like size. Their order is drawn (always the same): many
    databases record the expressions in one order, and a fold would hold a single expression.

    Args:
        people: (n,) names.
        recordings: (n,) numbers; a recording shows one person.
        folds: How many at most.

    Returns:
        (n,) numbers of folds.

    >>> people = np.array(["a", "a", "a", "b", "b"], object)
    >>> folds = spread_recordings(people, np.array([0, 0, 1, 2, 3]), folds=3).tolist()
    >>> folds[0] == folds[1], sorted(folds[1:])
    (True, [0, 0, 1, 2])
    """
    table = pd.DataFrame({"person": people, "recording": recordings})
    order = table.drop_duplicates("recording").sort_values("recording")
    order = order.sample(frac=1, random_state=0).sort_values("person", kind="stable")
    fold_of = pd.Series(np.arange(len(order)) % folds, index=order["recording"])
    return fold_of.reindex(recordings).to_numpy(np.int64)


def linear_probe(
    features: NDArray[np.floating], labels: NDArray[np.object_], fold_of: NDArray[np.int64]
) -> Reading:
    """Learn the labels by logistic regression on standardised features, and be asked about a fold.

    Args:
        features: (n, D).
        labels: (n,) persons or expressions.
        fold_of: (n,) see `spread_recordings`.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = labels.astype(str)
    expected = np.unique(names, return_counts=True)[1].max()
    correct = 0
    for fold in np.unique(fold_of):
        train, test = fold_of != fold, fold_of == fold
        if len(set(names[train])) == 1:
            correct += int((names[test] == names[train][0]).sum())
            continue
        # A full PCA only turns the features, which changes no answer of a classifier with this
        # penalty, and leaves no more of them than there are faces to learn from.
        probe = make_pipeline(
            StandardScaler(), PCA(svd_solver="full"), LogisticRegression(max_iter=300)
        )
        with warnings.catch_warnings():
            # Separable data: the accuracy is settled long before the weights are.
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(features[train], names[train])
        correct += int((probe.predict(features[test]) == names[test]).sum())
    return Reading(correct, len(labels), float(expected))


def measure_leakage(
    features: NDArray[np.floating],
    people: NDArray[np.object_],
    expressions: NDArray[np.object_],
    recordings: NDArray[np.int64],
) -> Readings:
    """Both readers' answers about the person and the expression.

    Args:
        features: (n, D) of faces that were not trained on.
        people: (n,) names, "" where unknown.
        expressions: (n,) their labels.
        recordings: (n,) numbers, a still being a recording by itself.

    Returns:
        By ("person" or "expression", "nearest" or "linear"); empty where fewer than two persons
        have two recordings.
    """
    kept = usable_faces(people, recordings)
    features, people = features[kept].astype(np.float64), people[kept]
    expressions, recordings = expressions[kept], recordings[kept]
    if len(set(people)) < 2:
        return {}
    fold_of = spread_recordings(people, recordings)
    return {
        (name, reader): reading
        for name, labels in (("person", people), ("expression", expressions))
        for reader, reading in (
            ("nearest", nearest_face(features, labels, recordings)),
            ("linear", linear_probe(features, labels, fold_of)),
        )
    }


def pool_readings(members: list[Readings]) -> dict[tuple[str, str], PooledReading]:
    """Sums of the counts, mean and standard deviation of the accuracies.

    >>> one, two = Reading(1, 4, 0.5), Reading(3, 4, 1.5)
    >>> pool_readings([{("person", "nearest"): one}, {("person", "nearest"): two}])
    {('person', 'nearest'): PooledReading(sums=Reading(correct=4, total=8, expected=2.0),
    accuracies=Spread(mean=0.5, sd=0.35..., number=2))}
    """
    pooled = {}
    for key in members[0]:
        readings = [member[key] for member in members]
        correct, total, expected = pd.DataFrame(readings).sum()
        sums = Reading(int(correct), int(total), float(expected))
        pooled[key] = PooledReading(sums, Spread.of([reading.accuracy for reading in readings]))
    return pooled
