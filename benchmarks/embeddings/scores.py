"""What an embedding is worth, and what it still knows of the person."""

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_metric_learning.distances import LpDistance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from benchmarks.embeddings.images import Images
from nmloss import retrieval_scores

COLUMNS = ("Recall@1", "MAP@R", "Recall@1, others", "MAP@R, others", "neighbour", "probe")
COMPARED = ("Recall@1, others", "MAP@R, others", "neighbour")


def scores_of(vectors: Tensor, judged: Images) -> list[float]:
    """The columns, in per cent."""
    distance = LpDistance(normalize_embeddings=False)
    everyone = retrieval_scores(vectors, judged.labels, distance=distance)
    others = retrieval_scores(
        vectors, judged.labels, query_identities=judged.persons, distance=distance
    )
    same_person = retrieval_scores(vectors, judged.persons, distance=distance).recall[1]
    probed = probe(vectors.numpy(), judged.persons.numpy())
    found = (everyone.recall[1], everyone.map_at_r, others.recall[1], others.map_at_r)
    return [100 * score for score in (*found, same_person, probed)]


def probe(vectors: NDArray[np.float32], persons: NDArray[np.int64]) -> float:
    """How often logistic regression tells the person, fitted on one half, scored on the other."""
    halves = train_test_split(vectors, persons, test_size=0.5, stratify=persons, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return float(model.fit(halves[0], halves[2]).score(halves[1], halves[3]))


def by_label_alone(judged: Images) -> tuple[float, float]:
    """Neighbour and probe of an embedding that knew the label and nothing else, in per cent."""
    counts = torch.zeros(int(judged.labels.max()) + 1, int(judged.persons.max()) + 1)
    counts.index_put_((judged.labels, judged.persons), torch.ones(()), accumulate=True)
    of_label = counts.sum(dim=1, keepdim=True)
    neighbour = (counts * (counts - 1) / (of_label - 1)).sum() / counts.sum()
    return 100 * neighbour.item(), 100 * (counts.amax(dim=1).sum() / counts.sum()).item()
