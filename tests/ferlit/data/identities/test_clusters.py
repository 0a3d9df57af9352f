import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ferlit.data.identities.clusters import (
    MOST_AGGLOMERATIVE,
    Clustering,
    chinese_whispers,
    cluster,
    pair_scores,
)
from ferlit.errors import DataError

labels = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ABC")), max_size=12)


def average_linkage(points: NDArray[np.float32], threshold: float) -> set[frozenset[int]]:
    """Merge the two clusters with the least mean distance, as long as it is below threshold."""
    groups = [frozenset([k]) for k in range(len(points))]
    distances = np.linalg.norm(points[:, None].astype(float) - points[None], axis=-1)

    def apart(pair: tuple[frozenset[int], frozenset[int]]) -> float:
        return float(distances[np.ix_(sorted(pair[0]), sorted(pair[1]))].mean())

    while len(groups) > 1:
        first, second = min(itertools.combinations(groups, 2), key=apart)
        if apart((first, second)) >= threshold:
            break
        groups = [group for group in groups if group not in (first, second)] + [first | second]
    return set(groups)


def groups_of(numbers: NDArray[np.int64]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(numbers == k).tolist()) for k in set(numbers.tolist())}


def blobs(people: int, faces: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors about random directions, which lie far apart in 64 dimensions."""
    rng = np.random.default_rng(seed)
    person = rng.permutation(np.repeat(np.arange(people), faces))
    points = rng.normal(size=(people, 64))[person] + 0.2 * rng.normal(size=(len(person), 64))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), person


@given(st.integers(0, 10**6), st.integers(1, 12), st.floats(0.1, 3))
@settings(deadline=None, max_examples=60)
def test_agglomerative_clusters_are_those_of_the_definition(
    seed: int, count: int, threshold: float
) -> None:
    points = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    assert groups_of(cluster(points, threshold)) == average_linkage(points, threshold)


@pytest.mark.parametrize("method", ["agglomerative", "whispers"])
@pytest.mark.parametrize("faces", [1, 5, 100])
def test_people_far_apart_are_told_apart(method: Clustering, faces: int) -> None:
    points, person = blobs(people=6, faces=faces)
    assert groups_of(cluster(points, 0.8, method)) == groups_of(person)


@pytest.mark.parametrize("method", ["agglomerative", "whispers"])
def test_clusters_are_numbered_in_the_order_of_appearance(method: Clustering) -> None:
    found = cluster(blobs(people=5, faces=4)[0], 0.8, method)
    _, first = np.unique(found, return_index=True)
    assert (np.diff(first) > 0).all()


def test_whispers_pass_along_a_chain_and_stop_at_a_gap() -> None:
    points = np.array([[0], [1], [2], [10], [11], [20]], np.float32)
    names = chinese_whispers(points, 1.5)
    assert names[0] == names[1] == names[2]
    assert names[3] == names[4]
    assert len(set(names.tolist())) == 3


def test_whispers_give_the_middle_of_two_to_the_nearer() -> None:
    left, right = np.linspace(0, 0.5, 6), np.linspace(2.5, 3, 6)
    points = np.concatenate([left, right, [1.3]])[:, None].astype(np.float32)
    names = chinese_whispers(points, 1.4)
    assert names[-1] == names[0] != names[6]


def test_whispers_are_the_same_for_a_seed() -> None:
    points = np.random.default_rng(1).normal(size=(300, 3)).astype(np.float32)
    assert (chinese_whispers(points, 0.7) == chinese_whispers(points, 0.7)).all()


def test_equal_faces_are_one_person() -> None:
    points = np.zeros((100, 128), np.float32)
    for method in ("agglomerative", "whispers"):
        assert set(cluster(points, 0.1, method).tolist()) == {0}  # type: ignore[arg-type]


def test_too_many_faces_for_agglomerative_clustering_are_sent_to_whispers() -> None:
    many = np.zeros((MOST_AGGLOMERATIVE + 1, 1), np.float32)
    with pytest.raises(DataError, match=r"20001 faces .* give --clustering whispers"):
        cluster(many, 1)


@pytest.mark.parametrize("threshold", [0, -1, math.nan])
def test_a_threshold_that_is_no_distance_is_refused(threshold: float) -> None:
    with pytest.raises(DataError, match="a distance above 0"):
        cluster(np.zeros((2, 1), np.float32), threshold)


@given(labels)
def test_pair_scores_count_pairs(pairs: list[tuple[int, str]]) -> None:
    both = clustered = same = 0
    for (cluster_a, person_a), (cluster_b, person_b) in itertools.combinations(pairs, 2):
        clustered += cluster_a == cluster_b
        same += person_a == person_b
        both += cluster_a == cluster_b and person_a == person_b
    numbers = np.array([number for number, _ in pairs], dtype=np.int64)
    people = np.array([person for _, person in pairs], dtype=str)
    expected = (
        both / clustered if clustered else math.nan,
        both / same if same else math.nan,
    )
    assert pair_scores(numbers, people) == pytest.approx(expected, nan_ok=True)


@given(arrays(np.int64, 10, elements=st.integers(0, 3)))
def test_the_true_clusters_score_one(people: NDArray[np.int64]) -> None:
    assert pair_scores(people[::-1] + 7, people[::-1].astype(str)) == (1, 1)
