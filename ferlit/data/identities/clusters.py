"""Clusters of face embeddings: whose faces lie close together is one person.

Two ways: agglomerative clustering with average linkage (by scikit-learn), and chinese whispers
(Biemann, Chinese whispers - an efficient graph clustering algorithm and its application to natural
language processing problems, TextGraphs 2006), which needs little memory. Distances are Euclidean;
between embeddings of length 1 that is sqrt(2 - 2 cos).
"""

import math
from collections import Counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError, UsageError

Clustering = Literal["agglomerative", "whispers"]
MOST_AGGLOMERATIVE = 20_000  # their distances take 1.6 GB
_NEIGHBOURS = 64
_ROUNDS = 30


def cluster(
    embeddings: NDArray[np.float32], threshold: float, method: Clustering = "agglomerative"
) -> NDArray[np.int64]:
    """The cluster of every embedding.

    Args:
        embeddings: (n, D).
        threshold: Farther apart than this is another person: a mean over the pairs of two clusters
            for "agglomerative", of single pairs for "whispers".
        method: "agglomerative" or "whispers".

    Returns:
        (n,) numbers from 0, in the order of appearance.

    Raises:
        DataError: the threshold is not positive, or the embeddings are too many for
            "agglomerative".

    >>> cluster(np.array([[0], [5], [0.1]], np.float32), threshold=1).tolist()
    [0, 1, 0]
    """
    if not threshold > 0:
        raise UsageError(f"threshold={threshold}: a distance above 0")
    if len(embeddings) < 2:
        return np.zeros(len(embeddings), dtype=np.int64)
    if method == "whispers":
        found = chinese_whispers(embeddings, threshold)
    elif len(embeddings) > MOST_AGGLOMERATIVE:
        raise DataError(
            f"{len(embeddings)} faces in one group are too many for agglomerative clustering "
            f"(at most {MOST_AGGLOMERATIVE}); give --clustering whispers"
        )
    else:
        from sklearn.cluster import AgglomerativeClustering

        model = AgglomerativeClustering(
            n_clusters=None, distance_threshold=threshold, linkage="average"
        )
        found = model.fit_predict(np.asarray(embeddings, dtype=np.float64))
    names: dict[int, int] = {}
    return np.array([names.setdefault(int(name), len(names)) for name in found], dtype=np.int64)


def chinese_whispers(
    embeddings: NDArray[np.float32], threshold: float, *, seed: int = 0
) -> NDArray[np.int64]:
    """The clusters that chinese whispers finds.

    Every face starts with a name of its own and, when its turn comes, takes the name that weighs
    most among its neighbours, until none changes. Neighbours are the 64 nearest within the
    threshold, either way; one weighs the more the nearer it is. A tie keeps the own name, else
    takes the smallest. The turns are drawn by the seed, so the result depends on the order of rows
    where clusters touch.

    Args:
        embeddings: (n, D).
        threshold: The distance at which a neighbour weighs nothing.
        seed: Fixes the turns.

    Returns:
        (n,) names, each the row of one of its members.
    """
    graph = _neighbours(embeddings, threshold)
    names = np.arange(len(embeddings), dtype=np.int64)
    rng = np.random.default_rng(seed)
    for _ in range(_ROUNDS):
        is_settled = True
        for face in rng.permutation(len(names)):
            near = slice(graph.indptr[face], graph.indptr[face + 1])
            around, place = np.unique(names[graph.indices[near]], return_inverse=True)
            weights = np.bincount(place, graph.data[near])
            if not len(around) or names[face] in around[weights == weights.max()]:
                continue
            names[face] = around[weights.argmax()]
            is_settled = False
        if is_settled:
            break
    return names


def _neighbours(embeddings: NDArray[np.float32], threshold: float) -> Any:
    """The weights of every face's neighbours, a sparse matrix (n, n)."""
    from sklearn.neighbors import kneighbors_graph

    most = min(_NEIGHBOURS, len(embeddings) - 1)
    graph = kneighbors_graph(embeddings, most, mode="distance")  # block by block
    graph.data = np.maximum(threshold - graph.data, 0)
    graph.eliminate_zeros()
    return graph.maximum(graph.T).tocsr()


def pair_scores(clusters: NDArray[np.int64], identities: NDArray[np.str_]) -> tuple[float, float]:
    """How well clusters agree with the persons, over all pairs of faces.

    Args:
        clusters: (n,) the cluster of every face.
        identities: (n,) the person, known for each.

    Returns:
        Precision, the share of pairs in one cluster that show one person, and recall, the share of
        pairs of one person that are in one cluster; not a number where there is no such pair.

    >>> pair_scores(np.array([0, 0, 0, 1]), np.array(["S1", "S1", "S2", "S2"]))
    (0.3333333333333333, 0.5)
    """
    both = _pairs(list(zip(clusters.tolist(), identities.tolist(), strict=True)))
    clustered, same = _pairs(clusters.tolist()), _pairs(identities.tolist())
    return both / clustered if clustered else math.nan, both / same if same else math.nan


def _pairs(values: list[object]) -> int:
    """The number of pairs of equal values."""
    return sum(math.comb(count, 2) for count in Counter(values).values())
