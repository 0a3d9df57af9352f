"""From the embeddings of a store's faces to persons."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.clips import film_of
from ferlit.data.identities.clusters import Clustering, cluster
from ferlit.data.records import recordings


class Persons(NamedTuple):
    """Who is in every image."""

    clusters: NDArray[np.int64]  # (n,)
    identities: list[str]


def find_persons(
    records: pd.DataFrame,
    embeddings: NDArray[np.float32],
    threshold: float,
    clustering: Clustering = "agglomerative",
) -> Persons:
    """Cluster the faces of a store, within each film where the names of the images tell it.

    The frames of a recording show one person, so they take part as their mean. The order of the
    records does not matter. For the names see `name_clusters`.

    Args:
        records: The record table.
        embeddings: (n, D) of the faces.
        threshold: See `ferlit.data.identities.clusters.cluster`.
        clustering: "agglomerative" or "whispers".

    Returns:
        The clusters and the identities.

    >>> from ferlit.data.records import record_table
    >>> records = record_table({"image": f"{k}.png"} for k in range(3))
    >>> find_persons(records, np.array([[0], [5], [0.1]], np.float32), 1).identities
    ['person0001', 'person0002', 'person0001']
    """
    order = records["image"].argsort().to_numpy()  # ties and turns follow the names of the images
    table = records.iloc[order].reset_index(drop=True)
    table = table.assign(unit=recordings(table), film=table["image"].map(film_of))
    vectors = embeddings[order]
    found = np.full(len(table), -1, dtype=np.int64)
    for _, in_film in table.groupby("film"):
        codes, _ = pd.factorize(in_film["unit"])
        sums = np.zeros((codes.max() + 1, vectors.shape[1]))
        np.add.at(sums, codes, vectors[in_film.index])
        means = (sums / np.bincount(codes)[:, None]).astype(np.float32)
        found[in_film.index] = cluster(means, threshold, clustering)[codes] + found.max() + 1
    fresh, numbers = [], Counter[str]()
    for film in table["film"].groupby(found).first():
        numbers[film] += 1
        fresh.append(f"{film}_person{numbers[film]:04d}".lstrip("_"))
    names = name_clusters(table["identity"].tolist(), found, fresh)
    back = np.argsort(order)
    return Persons(found[back], [names[place] for place in back])


def name_clusters(own: list[str], clusters: NDArray[np.int64], fresh: list[str]) -> list[str]:
    """The person in every image: its own name, else that of its cluster.

    A cluster has the name that most of its named images have, so that nobody gets a second name and
    thereby into two folds; where none is named, it has a fresh one.

    Args:
        own: The names that the database gives, "" where it gives none.
        clusters: (n,)
        fresh: A name for every cluster.

    >>> name_clusters(["S1", "", "", ""], np.array([0, 0, 1, 1]), ["A", "B"])
    ['S1', 'S1', 'B', 'B']
    """
    known: list[Counter[str]] = [Counter() for _ in fresh]
    for name, number in zip(own, clusters.tolist(), strict=True):
        known[number].update([name] if name else [])
    taken = set(own)
    names = []
    for votes, name in zip(known, fresh, strict=True):
        while name in taken:
            name += "_new"
        names.append(max(votes, key=lambda voted: (votes[voted], voted)) if votes else name)
    return [name or names[number] for name, number in zip(own, clusters.tolist(), strict=True)]
