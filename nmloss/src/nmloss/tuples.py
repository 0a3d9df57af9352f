"""The tuples of a batch in the forms that the losses compute on.

A loss asks its tuples how far the members are from a weighted sum of the positives, or from the
query. The answers are tables, see `nmloss.members`.

`PointTuples` serve any form and any distance; `nmloss.layout` has those of a batch that is laid out
tuple after tuple.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from nmloss.members import Members, Rows, Segments

# From members, (Q, K, D) or (R, D), and one point a tuple, (Q, D), to (Q, K) or (Q, R).
Distance = Callable[[Tensor, Tensor], Tensor]
# A table of the positives and one of the negatives.
Tables = tuple[Tensor, Tensor]


class Tuples(ABC):
    """Q tuples.

    Args:
        positives: The positives.
        negatives: The negatives.
        has_query: Whether the query is one of its positives.
    """

    # (B,) the tuple of each query, where some have the same; None: each its own.
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
        second = self._table(self.negatives, self.points[1], targets)
        if self.points[0] is self.points[1]:
            return second, second
        return self._table(self.positives, self.points[0], targets), second

    def _table(self, members: Members, points: Tensor, targets: Tensor) -> Tensor:
        if isinstance(members, Segments):
            return self.distance(points[:, None], members.spread(targets))[:, 0]
        return self.distance(points, targets)


class MatrixTuples(PointTuples):
    """Tuples that share their members, where few of all pairs are positive.

    Args:
        positives: The positive pairs, in a list.
        columns: (P,) their places among the points.
        negatives: (Q, R).
        points: (R, D).
        distance: See `Distance`.
        queries: (Q, D).
    """

    def __init__(
        self,
        positives: Segments,
        columns: Tensor,
        negatives: Rows,
        points: Tensor,
        distance: Distance,
        queries: Tensor,
    ) -> None:
        super().__init__(positives, negatives, (points, points), distance, queries)
        self.places = (positives.rows, columns)

    def to_query(self) -> Tables:
        table = super().to_query()[1]
        return table[self.places], table
