"""Tuples of a batch that is laid out tuple after tuple, [query, M-1 positives, N negatives]."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmloss.members import Rows
from nmloss.precision import no_autocast
from nmloss.tuples import Tables, Tuples

EPS = 1e-12  # that of torch.nn.functional.normalize


def split(table: Tensor, positives: int, has_query: bool) -> Tables:
    """The positives' slots, without the query where it is none of them, and the negatives'."""
    return table[:, 0 if has_query else 1 : positives], table[:, positives:]


def whole(members: Tensor, positives: int, has_query: bool) -> tuple[Rows, Rows]:
    """Positives and negatives of tuples that lack nothing."""
    slots = split(members.new_ones(members.shape[:2], dtype=torch.bool), positives, has_query)
    return Rows(slots[0], members.dtype, True), Rows(slots[1], members.dtype, True)


class ProductTuples(Tuples):
    """Squared Euclidean distances by way of inner products.

    With weights w of the centre, |f - Pw|^2 = f.f - 2 f.Pw + w.(P.P)w: the inner products of all
    members with the positives P hold all that mining and hinges need. One batched matrix product
    forward and one backward; nothing else reads the embeddings.

    Args:
        members: (Q, M + N, D) embeddings.
        positives: M.
        has_query: See `Tuples`.
        normalize: Whether to take the embeddings as unit vectors.
    """

    def __init__(self, members: Tensor, positives: int, has_query: bool, normalize: bool) -> None:
        if not normalize:
            # Distances do not change, nor does the gradient; near the origin nothing cancels.
            members = members - members[:, :1].detach()
        super().__init__(*whole(members, positives, has_query), has_query)
        anchors = positives if has_query else 1  # what distances are taken to
        with torch.no_grad():
            norms = torch.linalg.vector_norm(members, dim=-1)
            products = members @ members[:, :anchors].mT
            scale = 1 / norms.clamp(min=EPS) if normalize else None
            if scale is not None:
                products = products * scale[..., None] * scale[:, None, :anchors]
                norms = norms * scale
        self.members, self.count = members, positives
        self.products, self.norms, self.scale = products, norms.square(), scale

    def to_center(self, weights: Tensor) -> Tables:
        table: Tensor = _Distances.apply(  # type: ignore[no-untyped-call]
            self.members, weights, self.products, self.norms, self.scale
        )
        return split(table, self.count, self.has_query)

    def to_query(self) -> Tables:
        return self.to_center(torch.ones_like(self.products[:, 0, :1]))


class _Distances(torch.autograd.Function):
    """Those of `ProductTuples`, (Q, K); only the members have a gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        members: Tensor,
        weights: Tensor,
        products: Tensor,
        norms: Tensor,
        scale: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(members, weights, products, norms, scale)
        projections = (products @ weights[..., None])[..., 0]
        center = (projections[:, : weights.shape[1]] * weights).sum(dim=1, keepdim=True)
        return torch.add(norms + center, projections, alpha=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with no_autocast(gradient):
            return _gradient(gradient, *ctx.saved_tensors), None, None, None, None


def _gradient(
    of_table: Tensor,
    members: Tensor,
    weights: Tensor,
    products: Tensor,
    norms: Tensor,
    scale: Tensor | None,
) -> Tensor:
    """That of the members, (Q, K, D): a (K, K) matrix a tuple, times the members.

    With c = sum_i w_i f_i, the gradient of sum_k t_k |f_k - c|^2 at f_k is
    2 t_k (f_k - c) + 2 w_k sum_l t_l (c - f_l).
    """
    t = 2 * of_table
    w = F.pad(weights, (0, t.shape[1] - weights.shape[1]))
    total = t.sum(dim=1, keepdim=True)
    diagonal = t
    if scale is not None:
        # Of a unit vector, only the part of the gradient across it reaches the embedding.
        projections = (products @ weights[..., None])[..., 0]
        sums = F.pad((t[:, None] @ products)[:, 0], (0, t.shape[1] - weights.shape[1]))
        along = t * (norms - projections) + w * (total * projections - sums)
        t, w = t * scale, w * scale
        diagonal = (t - along * scale) * scale
    mixed = (total * w - t)[..., None] * w[:, None] - w[..., None] * t[:, None]
    mixed.diagonal(dim1=1, dim2=2).add_(diagonal)
    return mixed @ members


class MarginTuples(Tuples):
    """-H of Eq. 8 in place of a distance.

    Args:
        members: (Q, M + N, D) embeddings.
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
        super().__init__(*whole(members, positives, True), True)
        self.members, self.count, self.weights, self.sign = members, positives, weights, sign
        self.own = sign / 2 * (members @ weights["map_a"].mT).square().sum(dim=-1)
        self.scale = None
        if normalize:
            self.scale = 1 / torch.linalg.vector_norm(members, dim=-1).clamp(min=EPS)
            self.own = self.own * self.scale.square()

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
        return split(-(self.own + products + (of_center + bias)[:, None]), self.count, True)

    def to_query(self) -> Tables:
        return self.to_center(torch.ones_like(self.own[:, :1]))
