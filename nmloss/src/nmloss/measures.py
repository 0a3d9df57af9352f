"""What a loss measures with: a distance of pytorch-metric-learning (PML), or the learned margin."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from torch import Tensor

from nmloss.arguments import at_least_float32, check_points, check_weights, scalar
from nmloss.distances import MahalanobisDistance, squared_distances
from nmloss.inner_products import InnerProducts
from nmloss.tuple_margins import TupleMargins


class Measure(ABC):
    """How far the members of tuples are from points: smaller is nearer.

    Called with members, (Q, K, D) or (R, D) shared by all tuples, and points, (Q, D), all of them
    prepared; gives (Q, K) or (Q, R).
    """

    @abstractmethod
    def __call__(self, members: Tensor, points: Tensor) -> Tensor:
        """See the class."""

    @abstractmethod
    def prepare(self, embeddings: Tensor) -> Tensor:
        """Embeddings, (..., D), as the measure takes them: normalised, projected."""

    def prepare_both(self, embeddings: Tensor, ref_emb: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings (B, D) and references (R, D); the same object where they are the same."""
        references = self.prepare(ref_emb)
        return (references if ref_emb is embeddings else self.prepare(embeddings)), references

    def within_tuples(self, members: Tensor, num_anchors: int) -> Callable[[Tensor], Tensor] | None:
        """A quick way for tuples that lack nothing, if there is one.

        Args:
            members: (Q, K, D) embeddings as they come.
            num_anchors: A.

        Returns:
            From weights (Q, A) to the (Q, K) of all members and the weighted sums of the first A.
        """
        return None


@dataclass(frozen=True)
class PMLDistance(Measure):
    """Any distance of PML; of a similarity the sign is changed."""

    distance: BaseDistance

    def __call__(self, members: Tensor, points: Tensor) -> Tensor:
        if members.ndim == 2:
            result: Tensor = self.distance.compute_mat(points, members)
        else:
            rows = points[:, None].expand_as(members).flatten(0, 1)
            result = self.distance.pairwise_distance(rows, members.flatten(0, 1))
            result = result.reshape(members.shape[:2])
        if self.distance.power != 1:
            result = result**self.distance.power
        return -result if self.distance.is_inverted else result

    def prepare(self, embeddings: Tensor) -> Tensor:
        result: Tensor = self.distance.maybe_normalize(embeddings, dim=-1)
        return result


class SquaredEuclidean(PMLDistance):
    """The squared Euclidean distance, perhaps after a linear map."""

    def __call__(self, members: Tensor, points: Tensor) -> Tensor:
        return squared_distances(members, points)

    def prepare(self, embeddings: Tensor) -> Tensor:
        result = super().prepare(embeddings)
        if isinstance(self.distance, MahalanobisDistance):
            return self.distance.project(result)
        return result

    def prepare_both(self, embeddings: Tensor, ref_emb: Tensor) -> tuple[Tensor, Tensor]:
        queries, references = super().prepare_both(embeddings, ref_emb)
        if self.distance.normalize_embeddings:
            return queries, references
        # Far from the origin distances by inner products would cancel.
        shift = queries.detach().mean(dim=0)
        moved = references - shift
        return (moved if queries is references else queries - shift), moved

    def within_tuples(self, members: Tensor, num_anchors: int) -> Callable[[Tensor], Tensor]:
        normalize = self.distance.normalize_embeddings
        if isinstance(self.distance, MahalanobisDistance):
            members, normalize = self.prepare(members), False
        return InnerProducts(members, num_anchors, normalize)


def measure_of(distance: BaseDistance) -> PMLDistance:
    """The measure that a distance of PML is."""
    is_plain = type(distance) is LpDistance and (distance.p, distance.power) == (2, 2)
    if is_plain or isinstance(distance, MahalanobisDistance):
        return SquaredEuclidean(distance)
    return PMLDistance(distance)


@dataclass(frozen=True)
class LearnedMargin(Measure):
    """-H of Eq. 8 in the part of a distance, see `adaptive_margin`.

    Args:
        map_a: L_A, (rank, D).
        map_b: L_B, (rank, D).
        linear: c, (D,).
        bias: b, scalar.
        sign: s.
        normalize: Whether to normalise the embeddings.
    """

    map_a: Tensor
    map_b: Tensor
    linear: Tensor
    bias: Tensor
    sign: float
    normalize: bool = False

    def __call__(self, members: Tensor, points: Tensor) -> Tensor:
        return -self.margin(members, points)

    def margin(self, members: Tensor, points: Tensor) -> Tensor:
        """H."""
        cast = self._cast(members.dtype)
        of_members, of_points = cast._alone(members), cast._alone(points)
        projected = points @ cast.map_b.mT
        if members.ndim == 3:
            products = ((members @ cast.map_b.mT) @ projected[..., None])[..., 0]
        else:
            products = projected @ (members @ cast.map_b.mT).mT
        return products + of_members + of_points[:, None] + cast.bias

    def prepare(self, embeddings: Tensor) -> Tensor:
        self._check_size(embeddings)
        return F.normalize(embeddings, dim=-1) if self.normalize else embeddings

    def within_tuples(self, members: Tensor, num_anchors: int) -> Callable[[Tensor], Tensor]:
        self._check_size(members)
        cast = self._cast(members.dtype)
        maps, linear = (cast.map_a, cast.map_b), (cast.linear, cast.bias)
        return TupleMargins(members, maps, linear, self.sign, self.normalize)

    def _alone(self, embeddings: Tensor) -> Tensor:
        """s/2 |L_A f|^2 + c.f, what one side adds by itself."""
        square = (embeddings @ self.map_a.mT).square().sum(dim=-1)
        return self.sign / 2 * square + embeddings @ self.linear

    def _cast(self, dtype: torch.dtype) -> Self:
        """With weights in the dtype of the computation; the parameters keep their own."""
        map_a, map_b = self.map_a.to(dtype), self.map_b.to(dtype)
        linear, bias = self.linear.to(dtype), self.bias.to(dtype)
        return type(self)(map_a, map_b, linear, bias, self.sign, self.normalize)

    def _check_size(self, embeddings: Tensor) -> None:
        if embeddings.shape[-1] != len(self.linear):
            raise ValueError(
                f"embeddings of size {embeddings.shape[-1]}, "
                f"but the loss was made with embedding_size={len(self.linear)}"
            )


def adaptive_margin(
    members: Tensor,
    points: Tensor,
    *,
    map_a: Tensor,
    map_b: Tensor,
    linear: Tensor,
    bias: Tensor,
    sign: float = -1.0,
) -> Tensor:
    """H = T - D, the learned threshold less the learned distance (Eqs. 5 to 8).

    H(f, p) = s/2 |L_A f|^2 + s/2 |L_A p|^2 + (L_B f).(L_B p) + c.(f + p) + b

    The paper prints s = +1. The plain case, T constant and D = |f - p|^2, needs s = -1: then
    L_A = L_B = sqrt(2) I, c = 0 and b = T give exactly T - |f - p|^2.

    Args:
        members: (Q, K, D); or (R, D).
        points: (Q, D).
        map_a: L_A, (rank, D).
        map_b: L_B, (rank, D).
        linear: c, (D,).
        bias: b, scalar.
        sign: s.

    Returns:
        (Q, K); or (Q, R).

    >>> root = 2**0.5 * torch.eye(2)
    >>> adaptive_margin(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2), map_a=root, map_b=root,
    ...                 linear=torch.zeros(2), bias=torch.tensor(1.0)).round()
    tensor([[-24.]])
    """
    check_points(members, points)
    check_weights(members.shape[-1], map_a, map_b, linear, bias)
    measure = LearnedMargin(map_a, map_b, linear, bias, scalar("sign", sign))
    return measure.margin(at_least_float32(members), at_least_float32(points))
