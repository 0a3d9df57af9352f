"""From what a loss of PML is given to its tuples.

How the members are found depends on what is given, never on values, so that nothing waits for the
device and nothing breaks the graph:

- `TupleIndices`: a reshape; distances by inner products within each tuple.
- Index tuples of few pairs: sums over segments, linear in the number of pairs.
- Index tuples of many pairs, or labels: masks over the matrix of all pairs. Where the labels make
  the clusters, queries of one class have the same tuple; on the CPU, which knows how many classes
  there are, the matrix then has a row a class.
"""

from typing import Any, Protocol

import torch
from torch import Tensor

from nmloss.distances import is_squared_euclidean, prepared
from nmloss.indices import (
    MinedIndices,
    Pairs,
    TupleIndices,
    check_range,
    first_of_each,
    index_pairs,
    label_masks,
    mask_of,
)
from nmloss.layout import split, whole
from nmloss.members import Rows, Segments
from nmloss.tuples import MatrixTuples, PointTuples, Tuples

# A pair in a list costs about as much as this many entries of a matrix of all pairs: 30 to 150 on a
# CPU, more for longer embeddings.
PAIR_COST = 48


class Loss(Protocol):
    """What a form must know of a loss, see `nmloss.base.TupleLoss`."""

    distance: Any
    has_query: bool

    @property
    def ignores_shifts(self) -> bool: ...

    def measure(self, members: Tensor, points: Tensor) -> Tensor: ...

    def laid_out_products(self, members: Tensor, positives: int) -> Tuples: ...


def laid_out(loss: Loss, embeddings: Tensor, indices: TupleIndices) -> Tuples:
    """Tuples in a batch that is laid out tuple after tuple."""
    count, positives = indices.num_tuples, indices.positives
    # Inner products pay where a tuple has fewer members than the embedding has numbers.
    if is_squared_euclidean(loss.distance) and indices.tuple_size <= embeddings.shape[1]:
        members = embeddings.reshape(count, indices.tuple_size, -1)
        return loss.laid_out_products(members, positives)
    members = prepared(loss.distance, embeddings).reshape(count, indices.tuple_size, -1)
    return PointTuples(
        *whole(members, positives, loss.has_query),
        split(members, positives, loss.has_query),
        loss.measure,
        None if loss.has_query else members[:, 0],
    )


def by_labels(
    loss: Loss,
    embeddings: Tensor,
    labels: Tensor | None,
    ref_emb: Tensor,
    ref_labels: Tensor | None,
) -> Tuples:
    """All pairs; the tuples of a class are one where they can be.

    Raises:
        ValueError: no labels.
    """
    is_same_for_all = loss.has_query and ref_emb is embeddings and ref_labels is labels
    if labels is None or not is_same_for_all or _must_not_wait(labels):
        return _masked(loss, embeddings, ref_emb, label_masks(labels, ref_labels))
    points, _ = _points(loss, embeddings, embeddings)
    classes, row_of = torch.unique(labels, return_inverse=True)
    is_member = classes[:, None] == labels
    rows = (Rows(is_member, points.dtype), Rows(~is_member, points.dtype))
    tuples = PointTuples(*rows, (points, points), loss.measure)
    tuples.row_of = row_of
    return tuples


def by_indices(loss: Loss, embeddings: Tensor, indices: Any, ref_emb: Tensor) -> Tuples:
    """The pairs of an index tuple, each counted once; a row or segment an embedding.

    Raises:
        ValueError: indices of another form, or on the CPU out of range.
    """
    pairs = index_pairs(indices, embeddings.device)
    size = (len(embeddings), len(ref_emb))
    if not _must_not_wait(embeddings):
        check_range(pairs, size)
    keeps_query = indices.keeps_query if isinstance(indices, MinedIndices) else None
    if PAIR_COST * sum(len(anchors) for anchors, _ in pairs) <= size[0] * size[1]:
        return _listed(loss, embeddings, ref_emb, pairs, keeps_query)
    masks = (mask_of(pairs[0], size), mask_of(pairs[1], size))
    return _masked(loss, embeddings, ref_emb, masks, keeps_query)


def _masked(
    loss: Loss,
    embeddings: Tensor,
    ref_emb: Tensor,
    masks: tuple[Tensor, Tensor],
    keeps_query: Tensor | None = None,
) -> Tuples:
    positive, negative = masks
    queries, points = _points(loss, embeddings, ref_emb)
    is_query = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    own = is_query if keeps_query is None else is_query & keeps_query[:, None]
    if ref_emb is embeddings:
        positive = positive & ~is_query
        positive = positive | own if loss.has_query else positive
    elif loss.has_query:
        # The query is a member of its own cluster, but not among the references.
        points = torch.cat([queries, points])
        positive = torch.cat([own, positive], dim=1)
        negative = torch.cat([torch.zeros_like(own), negative], dim=1)
    negatives, both = Rows(negative, points.dtype), (points, points)
    if loss.has_query:
        return PointTuples(Rows(positive, points.dtype), negatives, both, loss.measure)
    if _must_not_wait(positive):
        return PointTuples(Rows(positive, points.dtype), negatives, both, loss.measure, queries)
    rows, columns = positive.nonzero(as_tuple=True)
    pairs = Segments(columns >= 0, points.dtype, rows, len(queries))
    return MatrixTuples(pairs, columns, negatives, points, loss.measure, queries)


def _listed(
    loss: Loss,
    embeddings: Tensor,
    ref_emb: Tensor,
    pairs: tuple[Pairs, Pairs],
    keeps_query: Tensor | None,
) -> Tuples:
    (anchors, others), (rows, columns) = pairs
    queries, points = _points(loss, embeddings, ref_emb)
    count = len(queries)
    counts, are_negative = (first_of_each(each, len(ref_emb)) for each in pairs)
    if ref_emb is embeddings:
        counts = counts & (anchors != others)
    members = points.index_select(0, others)
    if loss.has_query:
        own = counts.new_ones(count) if keeps_query is None else keeps_query
        counts = torch.cat([own, counts])
        anchors = torch.cat([torch.arange(count, device=anchors.device), anchors])
        members = torch.cat([queries, members])
    return PointTuples(
        Segments(counts, points.dtype, anchors, count),
        Segments(are_negative, points.dtype, rows, count),
        (members, points.index_select(0, columns)),
        loss.measure,
        None if loss.has_query else queries,
    )


def _points(loss: Loss, embeddings: Tensor, ref_emb: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and references as the distance takes them."""
    points = prepared(loss.distance, ref_emb)
    queries = points if ref_emb is embeddings else prepared(loss.distance, embeddings)
    if not loss.ignores_shifts:
        return queries, points
    # Far from the origin distances by inner products would cancel.
    shift = queries.detach().mean(dim=0)
    moved = points - shift
    return (moved if queries is points else queries - shift), moved


def _must_not_wait(values: Tensor) -> bool:
    """Whether asking for values would wait for a device or break a graph."""
    return values.device.type != "cpu" or torch.compiler.is_compiling()
