"""From what a loss of PML is given to its tuples.

How the members are found depends on what is given, never on values, so that nothing waits for the
device and nothing breaks the graph:

- `TupleIndices`: a reshape; distances by inner products within each tuple.
- Index tuples of few pairs: sums over segments, linear in the number of pairs.
- Index tuples of many pairs, or labels: masks over the matrix of all pairs. Where the labels make
  the clusters, queries of one class have the same tuple; on the CPU, which knows how many classes
  there are, the matrix then has a row a class. Where each is its own query, a squared Euclidean
  distance is had a chunk of rows at a time.
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
    pair_mask,
)
from nmloss.measures import Measure, SquaredEuclidean
from nmloss.tuples.all_pairs import all_pairs
from nmloss.tuples.members import Rows, Segments
from nmloss.tuples.tuples import LaidOutTuples, MatrixTuples, PointTuples, Tuples

# A pair in a list costs about as much as this many entries of a matrix of all pairs: 30 to 150 on a
# CPU, more for longer embeddings.
PAIR_COST = 48
# Of fewer embeddings, the matrix of all pairs is had sooner at once than in chunks.
FEW = 320


def build_tuples(
    measure: Measure,
    query_is_positive: bool,
    embeddings: Tensor,
    labels: Tensor | None,
    indices: Any,
    ref_emb: Tensor,
    ref_labels: Tensor | None,
) -> Tuples:
    """The tuples in the form that suits what is given.

    Args:
        measure: What they are measured with.
        query_is_positive: See `Tuples`.
        embeddings: (B, D).
        labels: (B,), or None beside indices.
        indices: See `nmloss.base.TupleLoss.forward`.
        ref_emb: (R, D); the same object where the references are the embeddings.
        ref_labels: (R,); the same object likewise.

    Raises:
        ValueError: indices of another form, or on the CPU out of range; neither indices nor labels.
    """
    if isinstance(indices, TupleIndices) and ref_emb is embeddings:
        return _laid_out(measure, query_is_positive, embeddings, indices)
    points = measure.prepare_both(embeddings, ref_emb)
    keeps_query = indices.keeps_query if isinstance(indices, MinedIndices) else None
    if indices is None:
        has_classes = ref_emb is embeddings and ref_labels is labels
        if labels is not None and has_classes and not torch.compiler.is_compiling():
            is_long = len(embeddings) >= FEW and isinstance(measure, SquaredEuclidean)
            if not query_is_positive and is_long:
                return all_pairs(points[0], labels)
            if query_is_positive and not _must_not_wait(labels):
                return _by_class(measure, points, labels)
        masks = label_masks(labels, ref_labels)
    else:
        pairs, size = index_pairs(indices, embeddings.device), (len(embeddings), len(ref_emb))
        if not _must_not_wait(embeddings):
            check_range(pairs, size)
        if PAIR_COST * sum(len(anchors) for anchors, _ in pairs) <= size[0] * size[1]:
            return _listed(measure, query_is_positive, points, pairs, keeps_query)
        masks = (pair_mask(pairs[0], size), pair_mask(pairs[1], size))
    return _masked(measure, query_is_positive, points, masks, keeps_query)


def _laid_out(
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
        distances = measure.within_tuples(members, stop if query_is_positive else 1)
        if distances is not None:
            return LaidOutTuples(positives, negatives, query_is_positive, distances)
    members = measure.prepare(embeddings).reshape(shape)
    points = (members[:, start:stop], members[:, stop:])
    return PointTuples(positives, negatives, query_is_positive, points, members[:, 0], measure)


def _by_class(measure: Measure, points: tuple[Tensor, Tensor], labels: Tensor) -> Tuples:
    """All pairs, where the queries of a class have the same tuple."""
    classes, inverse = torch.unique(labels, return_inverse=True)
    is_member, dtype = classes[:, None] == labels, points[0].dtype
    rows = (Rows(is_member, dtype), Rows(~is_member, dtype))
    return PointTuples(*rows, True, points, None, measure, inverse=inverse)


def _masked(
    measure: Measure,
    query_is_positive: bool,
    points: tuple[Tensor, Tensor],
    masks: tuple[Tensor, Tensor],
    keeps_query: Tensor | None,
) -> Tuples:
    """Tuples that share the references, chosen by masks (B, R)."""
    (queries, members), (positive, negative) = points, masks
    is_query = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
    own = is_query if keeps_query is None else is_query & keeps_query[:, None]
    if members is queries:
        positive = positive & ~is_query
        positive = positive | own if query_is_positive else positive
    elif query_is_positive:
        # The query is a member of its own cluster, but not among the references.
        members = torch.cat([queries, members])
        positive = torch.cat([own, positive], dim=1)
        negative = torch.cat([torch.zeros_like(own), negative], dim=1)
    negatives = Rows(negative, members.dtype)
    others = (query_is_positive, (members, members), queries, measure)
    if query_is_positive or _must_not_wait(positive):
        return PointTuples(Rows(positive, members.dtype), negatives, *others)
    rows, columns = positive.nonzero(as_tuple=True)
    pairs = Segments(columns >= 0, members.dtype, rows, len(queries))
    return MatrixTuples(pairs, negatives, *others, (rows, columns))


def _listed(
    measure: Measure,
    query_is_positive: bool,
    points: tuple[Tensor, Tensor],
    pairs: tuple[Pairs, Pairs],
    keeps_query: Tensor | None,
) -> Tuples:
    """Tuples of listed pairs."""
    (queries, references), ((anchors, others), (rows, columns)) = points, pairs
    count = len(queries)
    valid, is_negative = (_first_of_each(each, len(references)) for each in pairs)
    if references is queries:
        valid = valid & (anchors != others)
    members = references.index_select(0, others)
    if query_is_positive:
        own = valid.new_ones(count) if keeps_query is None else keeps_query
        valid = torch.cat([own, valid])
        anchors = torch.cat([torch.arange(count, device=anchors.device), anchors])
        members = torch.cat([queries, members])
    return PointTuples(
        Segments(valid, queries.dtype, anchors, count),
        Segments(is_negative, queries.dtype, rows, count),
        query_is_positive,
        (members, references.index_select(0, columns)),
        queries,
        measure,
    )


def _first_of_each(pairs: Pairs, num_references: int) -> Tensor:
    """(P,) False where a pair has been named before, so that it counts once."""
    keys, order = (pairs[0] * num_references + pairs[1]).sort()
    is_first = torch.ones_like(keys, dtype=torch.bool)
    is_first[1:] = keys[1:] != keys[:-1]
    return torch.zeros_like(is_first).scatter(0, order, is_first)


def _must_not_wait(values: Tensor) -> bool:
    """Whether asking for values would wait for a device or break a graph."""
    return values.device.type != "cpu" or torch.compiler.is_compiling()
