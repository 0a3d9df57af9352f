"""The tuples of a batch in the forms that the losses compute on.

A loss asks its tuples how far the members are from a weighted sum of the positives, or from the
query. The answers are tables, see `nmloss.tuples.members`.

`PointTuples` serve any form and any distance, `LaidOutTuples` a batch laid out tuple after tuple.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from nmloss.tuples.members import Members, Segments

# From members, (Q, K, D) or (R, D), and one point a tuple, (Q, D), to (Q, K) or (Q, R).
Distance = Callable[[Tensor, Tensor], Tensor]
# A table of the positives and one of the negatives.
Tables = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Tuples(ABC):
    """Q tuples.

    Args:
        positives: The positives.
        negatives: The negatives.
        query_is_positive: Whether the query is one of its positives.
        inverse: (B,) the tuple of each query, where some have the same; None: each its own.
    """

    positives: Members
    negatives: Members
    query_is_positive: bool
    inverse: Tensor | None = field(default=None, kw_only=True)

    @abstractmethod
    def distances_to_center(self, weights: Tensor) -> Tables:
        """Distances of positives and negatives to the weighted sums of the positives."""

    @abstractmethod
    def distances_to_query(self) -> Tables:
        """Distances of positives and negatives to the query."""

    def valid(self) -> Tensor:
        """(Q,) True where there is a positive beside the query, or a negative."""
        positives, negatives = self.positives, self.negatives
        positive = positives.sum(positives.weights(positives.mask))
        negative = negatives.sum(negatives.weights(negatives.mask))
        return (positive > int(self.query_is_positive)) | (negative > 0)


@dataclass(frozen=True)
class PointTuples(Tuples):
    """Tuples of embeddings, under any distance.

    Args:
        points: Those of the positives and of the negatives: (Q, M, D) and (Q, N, D); or twice the
            same (R, D), shared by all tuples; or for `Segments` those of the pairs, (P, D).
        queries: (Q, D); None for a loss that asks for no distances to them.
        distance: See `Distance`.
    """

    points: tuple[Tensor, Tensor]
    queries: Tensor | None
    distance: Distance

    def distances_to_center(self, weights: Tensor) -> Tables:
        points = self.points[0]
        if isinstance(self.positives, Segments):
            return self._distances(self.positives.sum(weights[:, None] * points))
        if points.ndim == 2:
            return self._distances(weights @ points)
        return self._distances((weights[:, None] @ points)[:, 0])

    def distances_to_query(self) -> Tables:
        assert self.queries is not None
        return self._distances(self.queries)

    def _distances(self, targets: Tensor) -> Tables:
        second = self._table(self.negatives, self.points[1], targets)
        if self.points[0] is self.points[1]:
            return second, second
        return self._table(self.positives, self.points[0], targets), second

    def _table(self, members: Members, points: Tensor, targets: Tensor) -> Tensor:
        if isinstance(members, Segments):
            return self.distance(points[:, None], members.expand(targets))[:, 0]
        return self.distance(points, targets)


@dataclass(frozen=True)
class MatrixTuples(PointTuples):
    """Tuples that share their members, where few of all pairs are positive and listed.

    Args:
        index: (P,) rows and columns of the positive pairs in the matrix (Q, R) of all pairs.
    """

    index: tuple[Tensor, Tensor]

    def distances_to_query(self) -> Tables:
        table = super().distances_to_query()[1]
        return table[self.index], table


@dataclass(frozen=True)
class LaidOutTuples(Tuples):
    """Tuples that lack nothing, [query, M-1 positives, N negatives], members in `Rows`.

    Args:
        distances: From the weights of a centre, (Q, M), or of the query, (Q, 1), to the distances
            of all members, (Q, M + N).
    """

    distances: Callable[[Tensor], Tensor]

    def distances_to_center(self, weights: Tensor) -> Tables:
        table = self.distances(weights)
        start = 0 if self.query_is_positive else 1
        stop = start + self.positives.mask.shape[1]
        return table[:, start:stop], table[:, stop:]

    def distances_to_query(self) -> Tables:
        mask = self.positives.mask
        return self.distances_to_center(mask.new_ones(mask.shape[0], 1, dtype=self.positives.dtype))
