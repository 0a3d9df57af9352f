"""Squared Euclidean distances within the tuples of a batch that is laid out tuple after tuple."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmloss.arguments import no_autocast

EPS = 1e-12  # that of torch.nn.functional.normalize


class InnerProducts:
    """Squared Euclidean distances by way of inner products.

    With weights w of the centre, |f - Pw|^2 = f.f - 2 f.Pw + w.(P.P)w: the inner products of all
    members with the positives P hold all that mining and hinges need. One batched matrix product
    forward and one backward; nothing else reads the embeddings.

    Called with weights (Q, A); gives the distances (Q, K) of all members to the weighted sums.

    Args:
        members: (Q, K, D) embeddings.
        num_anchors: A, how many of the first members a sum may have.
        normalize: Whether to take the embeddings as unit vectors.
    """

    def __init__(self, members: Tensor, num_anchors: int, normalize: bool) -> None:
        if not normalize:
            # Distances do not change, nor does the gradient; near the origin nothing cancels.
            members = members - members[:, :1].detach()
        with torch.no_grad():
            norms = torch.linalg.vector_norm(members, dim=-1)
            products = members @ members[:, :num_anchors].mT
            scale = 1 / norms.clamp(min=EPS) if normalize else None
            if scale is not None:
                products = products * scale[..., None] * scale[:, None, :num_anchors]
                norms = norms * scale
        self.members = members
        self.products, self.norms, self.scale = products, norms.square(), scale

    def __call__(self, weights: Tensor) -> Tensor:
        table: Tensor = _Distances.apply(  # type: ignore[no-untyped-call]
            self.members, weights, self.products, self.norms, self.scale
        )
        return table


class _Distances(torch.autograd.Function):
    """Those of `InnerProducts`, (Q, K); only the members have a gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        members: Tensor,
        weights: Tensor,
        products: Tensor,
        norms: Tensor,
        scale: Tensor | None,
    ) -> Tensor:
        projections = (products @ weights[..., None])[..., 0]
        ctx.save_for_backward(members, weights, products, projections, norms, scale)
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
    projections: Tensor,
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
        sums = F.pad((t[:, None] @ products)[:, 0], (0, t.shape[1] - weights.shape[1]))
        along = t * (norms - projections) + w * (total * projections - sums)
        t, w = t * scale, w * scale
        diagonal = (t - along * scale) * scale
    mixed = (total * w - t)[..., None] * w[:, None] - w[..., None] * t[:, None]
    mixed.diagonal(dim1=1, dim2=2).add_(diagonal)
    return mixed @ members
