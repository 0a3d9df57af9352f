"""Identity leakage on planted features, where it is known what can be read."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ferlit.evaluation.leakage import (
    linear_probe,
    measure_leakage,
    nearest_face,
    pool_readings,
    spread_recordings,
)

PEOPLE, EXPRESSIONS, FRAMES = 6, 5, 3
RNG = np.random.default_rng(0)
# Every person shows every expression in one recording of three frames.
person = np.repeat(np.arange(PEOPLE), EXPRESSIONS * FRAMES)
expression = np.tile(np.repeat(np.arange(EXPRESSIONS), FRAMES), PEOPLE)
recording = person * EXPRESSIONS + expression
names = np.array([f"S{number}" for number in person], dtype=object)
labels = np.array([f"E{number}" for number in expression], dtype=object)


def planted(codes: NDArray[np.int64], noise: float) -> NDArray[np.float64]:
    """Features that tell ``codes`` and nothing else."""
    return np.eye(8)[codes] + noise * RNG.normal(size=(len(codes), 8))


def test_features_of_the_person_give_the_person_away_and_not_the_expression() -> None:
    readings = measure_leakage(planted(person, 0.05), names, labels, recording)
    assert readings["person", "nearest"].accuracy == 1
    assert readings["person", "linear"].accuracy == 1
    assert readings["expression", "nearest"].correct == 0  # the nearest is the same person
    assert readings["expression", "linear"].accuracy < 0.4


def test_features_of_the_expression_tell_it_and_hide_the_person() -> None:
    readings = measure_leakage(planted(expression, 0.05), names, labels, recording)
    assert readings["expression", "nearest"].accuracy == 1
    assert readings["expression", "linear"].accuracy == 1
    assert readings["person", "nearest"].correct == 0  # the nearest shows the same expression
    assert readings["person", "linear"].accuracy < 0.4


def test_frames_of_a_recording_do_not_answer_for_each_other() -> None:
    features = RNG.normal(size=(PEOPLE * EXPRESSIONS, 8))[recording]  # a vector a recording
    naive = KNeighborsClassifier(2, metric="cosine").fit(features, names)
    assert naive.score(features, names) == 1
    readings = measure_leakage(features, names, labels, recording)
    assert readings["person", "nearest"].accuracy < 0.45
    assert readings["person", "linear"].accuracy < 0.45


@pytest.mark.parametrize("asked", [names, labels])
def test_the_nearest_face_is_that_of_scikit_learn_without_the_recording(
    asked: NDArray[np.object_],
) -> None:
    features = planted(person, 0.5) + planted(expression, 0.5)
    correct, expected = 0, 0.0
    for number in np.unique(recording):
        own, others = recording == number, recording != number
        answer = KNeighborsClassifier(1, metric="cosine").fit(features[others], asked[others])
        correct += int((answer.predict(features[own]) == asked[own]).sum())
        expected += sum((asked[others] == label).mean() for label in asked[own])
    reading = nearest_face(features, asked, recording)
    assert 0 < correct < len(asked)
    assert (reading.correct, reading.total) == (correct, len(asked))
    assert reading.expected == pytest.approx(expected)


def test_the_linear_probe_is_logistic_regression_on_standardised_features() -> None:
    # More features than faces, as in the last hidden layer.
    features = RNG.normal(size=(len(names), 300))
    features[:, :8] += 3 * planted(person, 0.5)
    fold_of = spread_recordings(names, recording)
    correct = 0
    for fold in np.unique(fold_of):
        train, test = fold_of != fold, fold_of == fold
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        probe.fit(features[train], names[train].astype(str))
        correct += int((probe.predict(features[test]) == names[test]).sum())
    reading = linear_probe(features, names, fold_of)
    assert len(names) / 4 < correct < len(names)
    assert reading.correct == pytest.approx(correct, abs=1)  # both stop short of the optimum
    assert reading.chance == pytest.approx(1 / PEOPLE)


def test_folds_keep_recordings_whole_and_meet_every_person_in_training() -> None:
    few = np.array(["a", "a", "b", "b", "c", "c", "c", "c"], dtype=object)
    own = np.array([0, 1, 2, 3, 4, 5, 6, 6])
    for people, numbers in ((few, own), (names, recording)):
        fold_of = spread_recordings(people, numbers)
        assert all(len(set(fold_of[numbers == number])) == 1 for number in set(numbers))
        assert all(len(set(fold_of[people == name])) > 1 for name in set(people))


def test_persons_with_one_recording_or_no_name_are_left_out() -> None:
    people = names.copy()
    people[person == 0] = ""
    kept = (person > 1) | ((person == 1) & (expression == 0))  # S1 keeps one recording
    readings = measure_leakage(
        planted(person, 0.1)[kept], people[kept], labels[kept], recording[kept]
    )
    assert readings["person", "nearest"].total == (person > 1).sum()
    alone = person == 2
    assert (
        measure_leakage(planted(person, 0.1)[alone], people[alone], labels[alone], recording[alone])
        == {}
    )


def test_pooling_adds_counts_and_averages_accuracies() -> None:
    folds = [
        measure_leakage(planted(person, noise)[kept], names[kept], labels[kept], recording[kept])
        for noise, kept in ((0.1, person < 2), (2.0, person >= 2))
    ]
    pooled = pool_readings(folds)["person", "nearest"]
    first, second = (fold["person", "nearest"] for fold in folds)
    assert pooled.sums.correct == first.correct + second.correct
    assert pooled.sums.total == len(names)
    assert pooled.accuracies.mean == pytest.approx((first.accuracy + second.accuracy) / 2)
    deviation = abs(first.accuracy - second.accuracy) / 2**0.5
    assert pooled.accuracies.sd == pytest.approx(deviation)
    assert pooled.sums.accuracy != pytest.approx(pooled.accuracies.mean)
