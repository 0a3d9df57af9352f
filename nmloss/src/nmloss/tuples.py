"""The tuples of a batch in the forms that the losses compute on.

A loss asks its tuples how far the members are from a weighted sum of the positives, or from the
query. The answers are tables, see `nmloss.members`.

- `PointTuples`: embeddings in any form, under any distance.
- `LaidOutTuples`: squared Euclidean distances in a batch laid out tuple after tuple. One batched
  matrix product forward and one backward; nothing else reads the embeddings.
- `MarginTuples`: the learned -H of Eq. 8 in such a batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmloss.members import Members, Rows, Segments

# From members, (Q, K, D) or (R, D), and one point a tuple, (Q, D), to (Q, K) or (Q, R).
Distance = Callable[[Tensor, Tensor], Tensor]
# A table of the positives and one of the negatives.
Tables = tuple[Tensor, Tensor]

TINY = 1e-24  # the square of the eps of torch.nn.functional.normalize


class Tuples(ABC):
    """Q tuples.

    Args:
        positives: The positives.
        negatives: The negatives.
        has_query: Whether the query is one of its positives.
        row_of: (B,) the tuple of each query, where some have the same; None: each its own.
    """

    row_of: Tensor | None = None

    def __init__(self, positives: Members, negatives: Members, has_query: bool) -> None:
        self.positives = positives
        self.negatives = negatives
        self.has_query = has_query

    @abstractmethod
    def to_center(self, weights: Tensor) -> Tables:
        """Distances of positives and negatives to the weighted sums of the positives."""

    @abstractmethod
    def to_query(self) -> Tables:
        """Distances of positives and negatives to the query."""

    def counting(self) -> Tensor:
        """(Q,) True where there is a positive beside the query, or a negative."""
        positives, negatives = self.positives, self.negatives
        positive = positives.sum(positives.ones(positives.mask))
        negative = negatives.sum(negatives.ones(negatives.mask))
        return (positive > int(self.has_query)) | (negative > 0)


class PointTuples(Tuples):
    """Tuples of embeddings, under any distance.

    Args:
        positives: The positives.
        negatives: The negatives.
        points: Those of the positives and of the negatives: (Q, M, D) and (Q, N, D); or twice the
            same (R, D), shared by all tuples; or for `Segments` those of the pairs, (P, D).
        distance: See `Distance`.
        queries: (Q, D) for a loss that asks for distances to them; None for one that asks for
            distances to centres, and counts the query as one of its positives.
    """

    def __init__(
        self,
        positives: Members,
        negatives: Members,
        points: tuple[Tensor, Tensor],
        distance: Distance,
        queries: Tensor | None = None,
    ) -> None:
        super().__init__(positives, negatives, has_query=queries is None)
        self.points = points
        self.distance = distance
        self.queries = queries

    def to_center(self, weights: Tensor) -> Tables:
        points = self.points[0]
        if isinstance(self.positives, Segments):
            return self._to(self.positives.sum(weights[:, None] * points))
        if points.ndim == 2:
            return self._to(weights @ points)
        return self._to((weights[:, None] @ points)[:, 0])

    def to_query(self) -> Tables:
        assert self.queries is not None
        return self._to(self.queries)

    def _to(self, targets: Tensor) -> Tables:
        first = self._table(self.positives, self.points[0], targets)
        if self.points[1] is self.points[0]:
            return first, first
        return first, self._table(self.negatives, self.points[1], targets)

    def _table(self, members: Members, points: Tensor, targets: Tensor) -> Tensor:
        if isinstance(members, Segments):
            return self.distance(points[:, None], members.spread(targets))[:, 0]
        return self.distance(points, targets)


class LaidOutTuples(Tuples):
    """Squared Euclidean distances by way of inner products.

    With weights w of the centre, |f - Pw|^2 = f.f - 2 f.Pw + w.(P.P)w: the inner products of all
    members with the positives P hold everything that mining and hinges need.

    Args:
        members: (Q, K, D) embeddings, the query first.
        positives: M.
        has_query: See `Tuples`.
        normalize: Whether to take the embeddings as unit vectors.
    """

    def __init__(self, members: Tensor, positives: int, has_query: bool, normalize: bool) -> None:
        super().__init__(*slots(members, positives, has_query), has_query)
        if not normalize:
            # Distances do not change, nor does the gradient; near the origin nothing cancels.
            members = members - members[:, :1].detach()
        with torch.no_grad():
            norms = torch.linalg.vector_norm(members, dim=-1).square()
            products = members @ members[:, : positives if has_query else 1].mT
            scale = norms.clamp(min=TINY).rsqrt() if normalize else None
            if scale is not None:
                products = products * scale[..., None] * scale[:, None, : products.shape[2]]
                norms = norms * scale.square()
        self.members, self.products, self.norms, self.scale = members, products, norms, scale

    def to_center(self, weights: Tensor) -> Tables:
        table: Tensor = _LaidOutDistances.apply(  # type: ignore[no-untyped-call]
            self.members, weights, self.products, self.norms, self.scale
        )
        return _split(table, self.positives)

    def to_query(self) -> Tables:
        return self.to_center(torch.ones_like(self.products[:, 0, :1]))


class _LaidOutDistances(torch.autograd.Function):
    """See `LaidOutTuples`; only the members have a gradient."""

    @staticmethod
    def forward(
        members: Tensor, weights: Tensor, products: Tensor, norms: Tensor, scale: Tensor | None
    ) -> Tensor:
        projections = (products @ weights[..., None])[..., 0]
        center = (projections[:, : weights.shape[1]] * weights).sum(dim=1, keepdim=True)
        return torch.add(norms + center, projections, alpha=-2)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """A (K, K) matrix a tuple, times its members.

        With c = sum_i w_i f_i, the gradient of sum_k t_k |f_k - c|^2 at f_k is
        2 t_k (f_k - c) + 2 w_k sum_l t_l (c - f_l).
        """
        members, weights, products, norms, scale = ctx.saved_tensors
        anchors = weights.shape[1]
        t = 2 * gradient
        w = F.pad(weights, (0, t.shape[1] - anchors))
        total = t.sum(dim=1, keepdim=True)
        diagonal = t
        if scale is not None:
            # Of a unit vector, only the part of the gradient across it reaches the embedding.
            projections = (products @ weights[..., None])[..., 0]
            sums = F.pad((t[:, None] @ products)[:, 0], (0, t.shape[1] - anchors))
            along = t * (norms - projections) + w * (total * projections - sums)
            t, w = t * scale, w * scale
            diagonal = (t - along * scale) * scale
        mixed = (total * w - t)[..., None] * w[:, None] - w[..., None] * t[:, None]
        mixed.diagonal(dim1=1, dim2=2).add_(diagonal)
        with torch.autocast(members.device.type, enabled=False):
            return mixed @ members, None, None, None, None


class MarginTuples(Tuples):
    """-H of Eq. 8 in place of a distance.

    Args:
        members: (Q, K, D) embeddings, the query first.
        positives: M.
        normalize: Whether to take the embeddings as unit vectors.
        weights: L_A, L_B, c and b as ``map_a``, ``map_b``, ``linear`` and ``bias``.
        sign: s.
    """

    def __init__(
        self,
        members: Tensor,
        positives: int,
        normalize: bool,
        weights: dict[str, Tensor],
        sign: float,
    ) -> None:
        super().__init__(*slots(members, positives, True), True)
        squares = (members @ weights["map_a"].mT).square().sum(dim=-1)
        scale = None
        if normalize:
            norms = torch.linalg.vector_norm(members, dim=-1)
            scale = 1 / norms.clamp(min=TINY**0.5)
            squares = squares * scale.square()
        self.members, self.scale, self.own = members, scale, sign / 2 * squares
        self.weights, self.sign = weights, sign

    def to_center(self, weights: Tensor) -> Tables:
        map_a, map_b, linear, bias = self.weights.values()
        count = weights.shape[1]
        if self.scale is not None:
            weights = weights * self.scale[:, :count]
        center = (weights[:, None] @ self.members[:, :count])[:, 0]
        # (L_B f).(L_B c) + c.f for all members is one product with a vector a tuple.
        toward = torch.addmm(linear, center @ map_b.mT, map_b)
        products = (self.members @ toward[..., None])[..., 0]
        if self.scale is not None:
            products = products * self.scale
        of_center = self.sign / 2 * (center @ map_a.mT).square().sum(dim=-1) + center @ linear
        margin = self.own + products + (of_center + bias)[:, None]
        return _split(-margin, self.positives)

    def to_query(self) -> Tables:
        return self.to_center(torch.ones_like(self.own[:, :1]))


def slots(members: Tensor, positives: int, has_query: bool) -> tuple[Rows, Rows]:
    """The slots of tuples that are all whole."""
    count, size = members.shape[:2]
    mask = members.new_ones((1, size), dtype=torch.bool)
    if not has_query:
        mask = torch.arange(size, device=members.device)[None] > 0
    mask = mask.expand(count, -1)
    return Rows(mask[:, :positives], members.dtype), Rows(mask[:, positives:], members.dtype)


def _split(table: Tensor, positives: Members) -> Tables:
    count = positives.mask.shape[1]
    return table[:, :count], table[:, count:]
