"""The squared Euclidean distance, also after a map that is learned with the embedding."""

import math

import torch
from pytorch_metric_learning.distances import BaseDistance
from torch import Tensor, nn

from nmloss.arguments import at_least_float32, check_points, flag, no_autocast, whole


def squared_distances(members: Tensor, points: Tensor) -> Tensor:
    """|f - p|^2 between the members of each tuple and the tuple's point.

    Args:
        members: (Q, K, D), or (R, D) shared by all tuples.
        points: (Q, D).

    Returns:
        (Q, K), or (Q, R).

    >>> squared_distances(torch.tensor([[0.0, 3.0], [4.0, 0.0]]), torch.zeros(1, 2))
    tensor([[ 9., 16.]])
    """
    check_points(members, points)
    members, points = at_least_float32(members), at_least_float32(points)
    if members.ndim == 3:
        return (members - points[:, None]).square().sum(dim=-1)
    # Far from the origin the products below would cancel.
    shift = points.detach().mean(dim=0)
    members, points = members - shift, points - shift
    norms = members.square().sum(dim=-1)
    products = torch.addmm(norms, points, members.mT, alpha=-2)
    return products.add_(points.square().sum(dim=-1, keepdim=True)).clamp(min=0)


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
