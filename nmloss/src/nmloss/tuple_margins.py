"""The learned margin within the tuples of a batch that is laid out tuple after tuple."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from nmloss.arguments import no_autocast
from nmloss.inner_products import EPS


class TupleMargins:
    """-H of Eq. 8 between the members of each tuple and weighted sums of the first of them.

    H(f, c) = s/2 f'Af + s/2 c'Ac + f'Bc + l.(f + c) + b with A = L_A'L_A and B = L_B'L_B. A f gives
    the value and is the gradient too. So two products are as large as the batch, one of them for
    the gradient of L_A, needed only where it learns; a low rank has three thin ones, by L_A itself.
    All else has the size of the tuples' centres.

    Called with weights (Q, M) of the centre c; gives (Q, K).

    Args:
        members: (Q, K, D) embeddings.
        maps: L_A and L_B, (rank, D), in the dtype of the members.
        linear: l, (D,), and b, scalar.
        sign: s.
        normalize: Whether to take the embeddings as unit vectors.
    """

    def __init__(
        self,
        members: Tensor,
        maps: tuple[Tensor, Tensor],
        linear: tuple[Tensor, Tensor],
        sign: float,
        normalize: bool,
    ) -> None:
        self.weights, self.sign = (*maps, *linear), sign
        self.members, self.form = members, None
        with torch.no_grad():
            if _is_formed(members, maps[0]):
                self.form = maps[0].mT @ maps[0]
                self.mapped = members @ self.form
                self.squares = torch.einsum("qkd,qkd->qk", members, self.mapped)
            else:
                self.mapped = members @ maps[0].mT
                self.squares = torch.linalg.vector_norm(self.mapped, dim=-1).square()
            self.scale = None
            if normalize:
                self.scale = 1 / torch.linalg.vector_norm(members, dim=-1).clamp(min=EPS)
                self.squares = self.squares * self.scale.square()

    def __call__(self, weights: Tensor) -> Tensor:
        given = (weights, self.form, self.mapped, self.squares, self.scale, self.sign)
        table: Tensor = _Margins.apply(self.members, *self.weights, *given)  # type: ignore[no-untyped-call]
        return table


def _is_formed(members: Tensor, map_a: Tensor) -> bool:
    """Whether products with A take fewer operations than those with L_A."""
    (rank, size), count = map_a.shape, members.shape[0] * members.shape[1]
    if map_a.requires_grad:
        return 2 * size * (count + rank) < 3 * rank * count
    return size * (count + rank) < 2 * rank * count


class _Margins(torch.autograd.Function):
    """Those of `TupleMargins`, (Q, K); members, maps, l and b have a gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        members: Tensor,
        map_a: Tensor,
        map_b: Tensor,
        linear: Tensor,
        bias: Tensor,
        weights: Tensor,
        form: Tensor | None,
        mapped: Tensor,
        squares: Tensor,
        scale: Tensor | None,
        sign: float,
    ) -> Tensor:
        count = weights.shape[1]
        if scale is not None:
            weights = weights * scale[:, :count]
        center = (weights[:, None] @ members[:, :count])[:, 0]
        of_center = center @ (map_a.mT if form is None else form)  # L_A c, or A c
        toward = torch.addmm(linear, center @ map_b.mT, map_b)  # B c + l
        products = (members @ toward[..., None])[..., 0]
        if scale is not None:
            products = products * scale
        square = (of_center * (of_center if form is None else center)).sum(dim=1)
        alone = sign / 2 * square + center @ linear + bias
        ctx.sign = sign
        ctx.save_for_backward(
            members, map_a, map_b, linear, weights, form, mapped, squares, scale, center,
            of_center, toward, products,
        )  # fmt: skip
        return torch.add(products, squares, alpha=sign / 2).add_(alone[:, None]).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        with no_autocast(gradient):
            found = _gradients(-gradient, ctx.sign, ctx.needs_input_grad, *ctx.saved_tensors)
        return (*found, *(None,) * 6)


def _gradients(
    t: Tensor,
    sign: float,
    needed: tuple[bool, ...],
    members: Tensor,
    map_a: Tensor,
    map_b: Tensor,
    linear: Tensor,
    weights: Tensor,
    form: Tensor | None,
    mapped: Tensor,
    squares: Tensor,
    scale: Tensor | None,
    center: Tensor,
    of_center: Tensor,
    toward: Tensor,
    products: Tensor,
) -> tuple[Tensor | None, ...]:
    """Those of members, maps, l and b, of sum_k t_k H(f_k, c).

    At f_k: t_k (s A f_k + B c + l) + w_k (T (s A c + l) + B u), T sums t_k, u sums t_k f_k.
    """
    total = t.sum(dim=1, keepdim=True)
    scaled = t if scale is None else t * scale
    sums = (scaled[:, None] @ members)[:, 0]  # u
    sums_b = sums @ map_b.mT  # L_B u
    curved = (sign * scaled if scale is None else sign * scaled * scale)[..., None]
    pulled = sign * total * center
    of_members = of_a = of_b = None
    if form is None:
        turned, bent = of_center @ map_a, mapped * curved
        if needed[1]:
            of_a = bent.flatten(0, 1).mT @ members.flatten(0, 1) + of_center.mT @ pulled
        if needed[0]:
            of_members = bent @ map_a
    else:
        turned, of_members = of_center, torch.empty_like(members)
        if needed[1]:
            bent = torch.mul(members, curved, out=of_members)
            of_a = bent.flatten(0, 1).mT @ members.flatten(0, 1) + center.mT @ pulled
            of_a = map_a @ of_a
        of_members = torch.mul(mapped, curved, out=of_members)
    if needed[2]:
        of_b = sums_b.mT @ center + (center @ map_b.mT).mT @ sums
    if needed[0] and of_members is not None:
        push = torch.addmm(total * torch.add(linear, turned, alpha=sign), sums_b, map_b)
        count = weights.shape[1]
        padding = (0, t.shape[1] - count)
        pair = torch.stack([scaled, F.pad(weights, padding)], dim=2)
        of_members.baddbmm_(pair, torch.stack([toward, push], dim=1))
        if scale is not None:
            # Of a unit vector, only the part of the gradient across it reaches the embedding.
            pushed = (members[:, :count] @ push[..., None])[..., 0] * weights
            along = t * torch.add(products, squares, alpha=sign) + F.pad(pushed, padding)
            of_members.addcmul_(members, (along * scale.square())[..., None], value=-1)
    of_linear = (sums + total * center).sum(dim=0)
    return of_members, of_a, of_b, of_linear, total.sum()
