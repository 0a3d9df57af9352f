"""A distance that is learned with the embedding; PML's distances as tuples ask for them."""

import math

import torch
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from torch import Tensor, nn

from nmloss.arguments import flag, whole
from nmloss.functional import squared_distances
from nmloss.precision import at_least_float32, no_autocast


class MahalanobisDistance(BaseDistance):  # type: ignore[misc]
    """D(f1, f2) = (f1 - f2)' M (f1 - f2) with M = L'L learned (Liu et al. 2017, Eq. 4).

    A squared distance: L = I at the start gives |f1 - f2|^2. For any loss of this package or of
    pytorch-metric-learning; the loss then has L among its parameters, which must be handed to the
    optimiser. Computed in at least float32, also for half precision.

    Args:
        embedding_size: D.
        rank: Rows of L; None for D. A smaller rank starts from a random projection.
        normalize_embeddings: Whether to normalise them first.
        collect_stats: See PML.

    Raises:
        ValueError: an argument is out of range.

    >>> distance = MahalanobisDistance(2, normalize_embeddings=False)
    >>> distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 25.0], [25.0, 0.0]]
    """

    def __init__(
        self,
        embedding_size: int,
        *,
        rank: int | None = None,
        normalize_embeddings: bool = True,
        collect_stats: bool | None = None,
    ) -> None:
        normalize_embeddings = flag("normalize_embeddings", normalize_embeddings)
        super().__init__(
            normalize_embeddings=normalize_embeddings, p=2, power=1, collect_stats=collect_stats
        )
        self.map = nn.Parameter(starting_map(embedding_size, rank))

    def project(self, embeddings: Tensor) -> Tensor:
        """L f: (..., D) to (..., rank); the parameter keeps its dtype."""
        embeddings = at_least_float32(embeddings)
        with no_autocast(embeddings):
            return embeddings @ self.map.to(embeddings.dtype).mT

    def compute_mat(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """(B, R) distances."""
        queries, references = self.project(query_emb), self.project(ref_emb)
        with no_autocast(queries):
            return squared_distances(references, queries)

    def pairwise_distance(self, query_emb: Tensor, ref_emb: Tensor) -> Tensor:
        """(P,) distances of rows."""
        difference = at_least_float32(query_emb) - at_least_float32(ref_emb)
        return self.project(difference).square().sum(dim=-1)


def is_squared_euclidean(distance: BaseDistance) -> bool:
    """Whether it is, perhaps after a linear map and on normalised embeddings."""
    return isinstance(distance, MahalanobisDistance) or (
        type(distance) is LpDistance and (distance.p, distance.power) == (2, 2)
    )


def prepared(distance: BaseDistance, embeddings: Tensor) -> Tensor:
    """The embeddings, (..., D), as `measured` takes them: normalised, projected."""
    result: Tensor = distance.maybe_normalize(embeddings, dim=-1)
    return distance.project(result) if isinstance(distance, MahalanobisDistance) else result


def measured(distance: BaseDistance, members: Tensor, points: Tensor) -> Tensor:
    """The distance between members and one point of each tuple, a similarity with its sign changed.

    Args:
        distance: Any of PML.
        members: (Q, K, D), or (R, D) shared by all tuples; as `prepared`.
        points: (Q, D).

    Returns:
        (Q, K), or (Q, R).
    """
    if is_squared_euclidean(distance):
        return squared_distances(members, points)
    if members.ndim == 2:
        result: Tensor = distance.compute_mat(points, members)
    else:
        rows = points[:, None].expand_as(members).flatten(0, 1)
        result = distance.pairwise_distance(rows, members.flatten(0, 1))
        result = result.reshape(members.shape[:2])
    if distance.power != 1:
        result = result**distance.power
    return -result if distance.is_inverted else result


def starting_map(embedding_size: int, rank: int | None) -> Tensor:
    """(rank, D): the identity, or rows of a random rotation that keep distances on average."""
    embedding_size = whole("embedding_size", embedding_size, 1)
    rank = embedding_size if rank is None else whole("rank", rank, 1)
    if rank > embedding_size:
        raise ValueError(f"rank={rank}: from 1 to embedding_size={embedding_size}")
    if rank == embedding_size:
        return torch.eye(embedding_size)
    rotation: Tensor = torch.linalg.qr(torch.randn(embedding_size, embedding_size)).Q
    return rotation[:rank] * math.sqrt(embedding_size / rank)
