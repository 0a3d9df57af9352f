"""How near references are to queries: numbers that do not depend on what is computed beside them.

A matrix product in floating point sums in an order that depends on its shape, so two equal
references can come out differently, and a tie is decided by the size of a chunk. Here rows are
rounded to a grid on which every inner product is exact in float64: all orders give the same sum.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from pytorch_metric_learning.distances import (
    BaseDistance,
    CosineSimilarity,
    DotProductSimilarity,
    LpDistance,
)
from torch import Tensor

from nmloss.arguments import at_least_float32
from nmloss.distances import MahalanobisDistance
from nmloss.inner_products import EPS
from nmloss.measures import measure_of

LARGEST = 2.0**400  # beyond it, products of products would not be finite


class Nearness(Protocol):
    """How near references are to queries."""

    def prepare(self, embeddings: Tensor) -> Tensor:
        """(n, D) embeddings as the comparison takes them."""

    def __call__(self, queries: Tensor, references: Tensor) -> Tensor:
        """(Q, R), larger is nearer, of what is prepared."""


@dataclass(frozen=True)
class OnGrid:
    """That of a Euclidean distance or an inner product, exact but for the rounding to the grid.

    Args:
        normalize: Whether to normalise the embeddings.
        is_product: Whether it is the inner product that says how near they are.
        shift: (D,) that is taken off first: far from the origin the grid would be coarse.
        map: L, (rank, D), see `nmloss.MahalanobisDistance`; None for the identity.
    """

    normalize: bool
    is_product: bool
    shift: Tensor
    map: Tensor | None

    def prepare(self, embeddings: Tensor) -> Tensor:
        values = on_grid(embeddings.double() - self.shift)
        if self.normalize:
            lengths = values.square().sum(dim=-1, keepdim=True).sqrt()
            values = on_grid(values / lengths.clamp(min=EPS))
        if self.map is not None:
            values = on_grid(values @ on_grid(self.map).mT)
        return values

    def __call__(self, queries: Tensor, references: Tensor) -> Tensor:
        products = queries @ references.mT
        if not self.is_product:
            products -= references.square().sum(dim=-1) / 2  # what is left of -|q - r|^2 / 2
        return products


@dataclass(frozen=True)
class ByDistance:
    """That of any distance of PML, as it computes it."""

    distance: BaseDistance

    def prepare(self, embeddings: Tensor) -> Tensor:
        return measure_of(self.distance).prepare(at_least_float32(embeddings))

    def __call__(self, queries: Tensor, references: Tensor) -> Tensor:
        return -measure_of(self.distance)(references, queries).double()


def nearness_of(distance: BaseDistance, low: Tensor, high: Tensor) -> Nearness:
    """The nearness that a distance of PML stands for.

    Args:
        distance: Of PML.
        low: (D,) the smallest entries of all embeddings.
        high: (D,) the largest.
    """
    kind = type(distance)
    is_product = kind in (CosineSimilarity, DotProductSimilarity) and distance.power == 1
    is_euclidean = isinstance(distance, MahalanobisDistance) or (
        kind is LpDistance and distance.p == 2 and distance.power > 0
    )
    if not (is_product or is_euclidean) or (distance.normalize_embeddings and distance.p != 2):
        return ByDistance(distance)
    shift = torch.zeros_like(low, dtype=torch.float64)
    if is_euclidean and not distance.normalize_embeddings:
        shift = shift.clamp(low.double(), high.double())  # the nearest to 0 that any has
    learned = distance.map.detach() if isinstance(distance, MahalanobisDistance) else None
    return OnGrid(distance.normalize_embeddings, is_product, shift, learned)


def on_grid(values: Tensor) -> Tensor:
    """Rows in float64, rounded so that inner products of such rows are exact.

    A row keeps (53 - log2 D) / 2 bits from its largest entry downwards: 23 for D = 128, where
    float32 has 24. With integers of so many bits no sum of D products needs more than 53.

    Args:
        values: (n, D), none beyond 2^400.

    >>> on_grid(torch.tensor([[1.0, 2**-30], [2**-29, 2**-30]])).log2()
    tensor([[  0., -inf],
            [-29., -30.]], dtype=torch.float64)
    """
    values = values.double()
    bits = (53 - math.ceil(math.log2(values.shape[-1]))) // 2
    largest = torch.linalg.vector_norm(values, math.inf, dim=-1, keepdim=True)
    exponent = torch.frexp(largest).exponent.long().clamp(min=-400)
    step = ((exponent - bits + 1023) << 52).view(torch.float64)  # 2^(exponent - bits)
    return (values / step).round_().mul_(step)
