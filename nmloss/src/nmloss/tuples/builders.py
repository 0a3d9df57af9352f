"""From what a loss of PML is given to its tuples.

How the members are found depends on what is given, never on values, so that nothing waits for the
device and nothing breaks the graph:

- `TupleIndices`: a reshape; distances by inner products within each tuple.
- Index tuples of few pairs: sums over segments, linear in the number of pairs.
- Index tuples of many pairs, or labels: masks over the matrix of all pairs. Where the labels make
  the clusters, queries of one class have the same tuple; on the CPU, which knows how many classes
  there are, the matrix then has a row a class.
"""

from typing import Any

import torch
from torch import Tensor

from nmloss.indices import (
    MinedIndices,
    Pairs,
    TupleIndices,
    check_range,
    index_pairs,
    label_masks,
)
from nmloss.measures import Measure
from nmloss.tuples.members import Rows, Segments
from nmloss.tuples.tuples import LaidOutTuples, MatrixTuples, PointTuples, Tuples

# A pair in a list costs about as much as this many entries of a matrix of all pairs: 30 to 150 on a
# CPU, more for longer embeddings.
PAIR_COST = 48


def from_layout(
    measure: Measure, query_is_positive: bool, embeddings: Tensor, indices: TupleIndices
) -> Tuples:
    """Tuples in a batch that is laid out tuple after tuple."""
    shape = (indices.num_tuples, indices.tuple_size, -1)
    members = embeddings.reshape(shape)
    mask = members.new_ones(members.shape[:2], dtype=torch.bool)
    start, stop = 0 if query_is_positive else 1, indices.positives
    positives = Rows(mask[:, start:stop], members.dtype, is_whole=True)
    negatives = Rows(mask[:, stop:], members.dtype, is_whole=True)
    # Inner products pay where a tuple has fewer members than the embedding has numbers.
    if indices.tuple_size <= embeddings.shape[1]:
        distances = measure.within(members, stop if query_is_positive else 1)
        if distances is not None:
            return LaidOutTuples(positives, negatives, query_is_positive, distances)
    members = measure.prepare(embeddings).reshape(shape)
    points = (members[:, start:stop], members[:, stop:])
    queries = None if query_is_positive else members[:, 0]
    return PointTuples(positives, negatives, points, measure, queries)


def from_labels(
    measure: Measure,
    query_is_positive: bool,
    embeddings: Tensor,
    labels: Tensor | None,
    ref_emb: Tensor,
    ref_labels: Tensor | None,
) -> Tuples:
    """All pairs; the tuples of a class are one where they can be.

    Raises:
        ValueError: no labels.
    """
    points = measure.prepare_both(embeddings, ref_emb)
    is_same_for_all = query_is_positive and ref_emb is embeddings and ref_labels is labels
    if labels is None or not is_same_for_all or _must_not_wait(labels):
        return _masked(measure, query_is_positive, points, label_masks(labels, ref_labels))
    classes, inverse = torch.unique(labels, return_inverse=True)
    is_member = classes[:, None] == labels
    rows = (Rows(is_member, points[0].dtype), Rows(~is_member, points[0].dtype))
    tuples = PointTuples(*rows, points, measure)
    tuples.inverse = inverse
    return tuples


def from_indices(
    measure: Measure, query_is_positive: bool, embeddings: Tensor, indices: Any, ref_emb: Tensor
) -> Tuples:
    """The pairs of an index tuple, each counted once; a row or segment an embedding.

    Raises:
        ValueError: indices of another form, or on the CPU out of range.
    """
    pairs = index_pairs(indices, embeddings.device)
    size = (len(embeddings), len(ref_emb))
    if not _must_not_wait(embeddings):
        check_range(pairs, size)
    keeps_query = indices.keeps_query if isinstance(indices, MinedIndices) else None
    points = measure.prepare_both(embeddings, ref_emb)
    if PAIR_COST * sum(len(anchors) for anchors, _ in pairs) <= size[0] * size[1]:
        return _listed(measure, query_is_positive, points, pairs, keeps_query)
    masks = (_mask(pairs[0], size), _mask(pairs[1], size))
    return _masked(measure, query_is_positive, points, masks, keeps_query)


def _masked(
    measure: Measure,
    query_is_positive: bool,
    prepared: tuple[Tensor, Tensor],
    masks: tuple[Tensor, Tensor],
    keeps_query: Tensor | None = None,
) -> Tuples:
    """Tuples that share the references, which masks (B, R) choose from."""
    (queries, points), (positive, negative) = prepared, masks
    is_query = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    own = is_query if keeps_query is None else is_query & keeps_query[:, None]
    if points is queries:
        positive = positive & ~is_query
        positive = positive | own if query_is_positive else positive
    elif query_is_positive:
        # The query is a member of its own cluster, but not among the references.
        points = torch.cat([queries, points])
        positive = torch.cat([own, positive], dim=1)
        negative = torch.cat([torch.zeros_like(own), negative], dim=1)
    negatives, both = Rows(negative, points.dtype), (points, points)
    if query_is_positive:
        return PointTuples(Rows(positive, points.dtype), negatives, both, measure)
    if _must_not_wait(positive):
        return PointTuples(Rows(positive, points.dtype), negatives, both, measure, queries)
    rows, columns = positive.nonzero(as_tuple=True)
    pairs = Segments(columns >= 0, points.dtype, rows, len(queries))
    return MatrixTuples(pairs, columns, negatives, points, measure, queries)


def _listed(
    measure: Measure,
    query_is_positive: bool,
    prepared: tuple[Tensor, Tensor],
    pairs: tuple[Pairs, Pairs],
    keeps_query: Tensor | None,
) -> Tuples:
    """Tuples of pairs that are listed."""
    (queries, points), ((anchors, others), (rows, columns)) = prepared, pairs
    count = len(queries)
    valid, is_negative = (_first_of_each(each, len(points)) for each in pairs)
    if points is queries:
        valid = valid & (anchors != others)
    members = points.index_select(0, others)
    if query_is_positive:
        own = valid.new_ones(count) if keeps_query is None else keeps_query
        valid = torch.cat([own, valid])
        anchors = torch.cat([torch.arange(count, device=anchors.device), anchors])
        members = torch.cat([queries, members])
    return PointTuples(
        Segments(valid, points.dtype, anchors, count),
        Segments(is_negative, points.dtype, rows, count),
        (members, points.index_select(0, columns)),
        measure,
        None if query_is_positive else queries,
    )


def _mask(pairs: Pairs, size: tuple[int, int]) -> Tensor:
    """(B, R) True at the pairs."""
    mask = torch.zeros(size, dtype=torch.bool, device=pairs[0].device)
    return mask.index_put(pairs, torch.ones_like(pairs[0], dtype=torch.bool))


def _first_of_each(pairs: Pairs, num_references: int) -> Tensor:
    """(P,) False where a pair has been named before, so that it counts once."""
    keys, order = (pairs[0] * num_references + pairs[1]).sort()
    is_first = torch.ones_like(keys, dtype=torch.bool)
    is_first[1:] = keys[1:] != keys[:-1]
    return torch.zeros_like(is_first).scatter(0, order, is_first)


def _must_not_wait(values: Tensor) -> bool:
    """Whether asking for values would wait for a device or break a graph."""
    return values.device.type != "cpu" or torch.compiler.is_compiling()
