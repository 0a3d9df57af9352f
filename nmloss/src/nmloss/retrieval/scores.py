"""The scores, and the public function."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from pytorch_metric_learning.distances import BaseDistance, LpDistance
from torch import Tensor

from nmloss.arguments import no_autocast, whole
from nmloss.retrieval.nearness import Nearness, nearness_of
from nmloss.retrieval.processes import Processes
from nmloss.retrieval.ranking import Marks, Ranking, are_valid, nearest
from nmloss.retrieval.shares import Share, checked, marked


class RetrievalScores(NamedTuple):
    """Means over the queries that have a right reference, each from 0 to 1."""

    recall: dict[int, float]  # Recall@k by k: how often one of the k nearest is right
    map_at_r: float  # the mean average precision of the R nearest, R the number of right ones
    r_precision: float  # the share of right ones among the R nearest
    queries: int  # how many have a right reference
    left_out: int  # how many have none


def retrieval_scores(
    queries: Tensor,
    query_labels: Any,
    references: Tensor | None = None,
    reference_labels: Any = None,
    *,
    query_identities: Any = None,
    reference_identities: Any = None,
    distance: BaseDistance | None = None,
    k: int | Iterable[int] = (1,),
    chunk_size: int = 2048,
    group: dist.ProcessGroup | None = None,
) -> RetrievalScores:
    """Recall@k, MAP@R and R-precision (Musgrave et al. 2020, Sec. 3.2), as PML's, for any size.

    A reference is right if its label is the query's, and R is how many are. With identities, those
    of the query's own identity are neither found nor counted in R: what is left is found across
    identities. A query without a right reference is left out, and counted in ``left_out``.

    Of two references that are equally near, the wrong one comes first. Neither the order of the
    references nor the chunks nor the shares of the processes change a score. For that, Euclidean
    distances, inner products and cosines are exact for embeddings rounded as float32 would, to 23
    bits below the largest entry at D = 128, also those in float64. Other distances are computed by
    PML, and of what they round differently in chunks of other sizes a tie can depend.

    The memory beside the embeddings is about 100 bytes times ``chunk_size`` squared, and what the
    labels take; where the queries have more right references than that, they come fewer at a time.

    Args:
        queries: (Q, D).
        query_labels: (Q,) numbers or texts of any kind.
        references: (R, D); None for the queries themselves, each searched among the others.
        reference_labels: (R,).
        query_identities: (Q,) numbers or texts of any kind; None for none.
        reference_identities: (R,).
        distance: Of PML, or `nmloss.MahalanobisDistance`; None for the Euclidean on normalised
            embeddings, as in the losses.
        k: For Recall@k; one or several.
        chunk_size: How many queries, and how many references, are compared at a time.
        group: The processes, such as ``torch.distributed.group.WORLD``, that hold a share of the
            queries and of the references each, and all call this; each gets the scores of all. None
            for this process alone, whatever there is beside it.

    Returns:
        The scores.

    Raises:
        ValueError: an argument has another form; an embedding or a distance is NaN, an embedding
            infinite; the processes differ in their settings; no query has a right reference.

    >>> embeddings = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9], [1.0, 1.0]])
    >>> digits, writers = [3, 3, 7, 3, 5], ["Ada", "Ada", "Bob", "Bob", "Bob"]
    >>> retrieval_scores(embeddings, digits, k=(1, 4)).recall
    {1: 0.666..., 4: 1.0}
    >>> retrieval_scores(embeddings, digits, query_identities=writers, k=(1, 2))
    RetrievalScores(recall={1: 0.333..., 2: 1.0}, map_at_r=0.333..., r_precision=0.333...,
                    queries=3, left_out=2)
    """
    processes = Processes(group)
    ks = processes.together(lambda: _ks(k))
    chunk_size = processes.together(lambda: whole("chunk_size", chunk_size, 1))
    distance = LpDistance(p=2, power=2) if distance is None else distance
    arguments = (queries, query_labels, references, reference_labels)
    identities = (query_identities, reference_identities)
    share = processes.together(lambda: checked(*arguments, *identities))
    processes.together(lambda: _check_distance(distance, share))
    processes.check_same(
        {
            "k": ks,
            "chunk_size": chunk_size,
            "the size of an embedding": queries.shape[1],
            "references are given": references is not None,
            "query_identities are given": query_identities is not None,
            "distance": _described(distance),
        }
    )
    with torch.no_grad(), no_autocast(queries):
        return _scores(share, processes, distance, ks, chunk_size)


def _scores(
    share: Share, processes: Processes, distance: BaseDistance, ks: list[int], chunk_size: int
) -> RetrievalScores:
    of_queries, of_references = marked(share, processes)
    right = processes.sum(_occurrences(of_queries, of_references))
    total = sum(processes.gather(len(share.references)))
    order = right.argsort(stable=True)  # as many right ones, as many to keep
    order = order[right[order] > 0]
    if len(order) == 0:
        raise ValueError(
            f"query_labels: none of the {len(right)} queries has a right reference, that is, one "
            f"with its label{' and of another identity' if share.identities else ''}"
        )
    ends = processes.gather((share.low.cpu(), share.high.cpu()))
    low = torch.stack([end[0] for end in ends]).amin(dim=0).to(share.low.device)
    high = torch.stack([end[1] for end in ends]).amax(dim=0).to(share.low.device)
    nearness = nearness_of(distance, low, high)
    first = sum(processes.gather(len(share.queries))[: processes.rank])
    sums = torch.zeros(2 + len(ks), dtype=torch.float64, device=right.device)
    start = 0
    while start < len(order):
        depth, stop = _part(right[order], start, min(max(ks), total), chunk_size)
        chosen = order[start:stop]
        ranking = Ranking(of_queries.at(chosen), depth)
        own = (chosen >= first) & (chosen < first + len(share.queries))
        prepared = nearness.prepare(share.queries[chosen[own] - first])
        part = prepared.new_zeros(len(chosen), prepared.shape[1])
        part[own] = prepared
        _search(ranking, processes.sum(part), share.references, of_references, nearness, chunk_size)
        keys = nearest(processes.beside(ranking.keys()), depth)
        if not are_valid(keys):
            raise ValueError(f"distance: {type(distance).__name__} of some embeddings is NaN")
        sums += _of_each(keys.sort(dim=1).values & 1, right[chosen], ks).sum(dim=1)
        start = stop
    map_at_r, r_precision, *recall = (sums / len(order)).tolist()
    counts = (len(order), len(right) - len(order))
    return RetrievalScores(dict(zip(ks, recall, strict=True)), map_at_r, r_precision, *counts)


def _part(right: Tensor, start: int, least: int, chunk_size: int) -> tuple[int, int]:
    """How many to keep of each query, and where those end that are searched for together.

    Args:
        right: The number of right references, in ascending order.
        start: Where they start.
        least: To keep of each at least.
        chunk_size: See `retrieval_scores`.
    """
    stop = min(start + chunk_size, len(right))
    room = chunk_size**2
    depth = max(int(right[stop - 1]), least)
    while stop > start + 1 and (stop - start) * depth > room:
        stop = max(start + 1, min(stop - 1, start + room // depth))
        depth = max(int(right[stop - 1]), least)
    return depth, stop


def _search(
    ranking: Ranking,
    queries: Tensor,
    references: Tensor,
    marks: Marks,
    nearness: Nearness,
    chunk_size: int,
) -> None:
    for start in range(0, len(references), chunk_size):
        part = slice(start, start + chunk_size)
        ranking.add(nearness(queries, nearness.prepare(references[part])), marks.at(part))


def _of_each(hits: Tensor, right: Tensor, ks: list[int]) -> Tensor:
    """Average precision at R, R-precision and Recall@k of each query.

    Args:
        hits: (Q, K) 1 where the reference at that rank is right.
        right: (Q,) R.
        ks: See `retrieval_scores`.

    Returns:
        (2 + len(ks), Q) in float64.
    """
    ranks = torch.arange(1, hits.shape[1] + 1, device=hits.device)
    within = hits * (ranks <= right[:, None])
    precision = within.cumsum(dim=1) / ranks.double()
    found = [(precision * within).sum(dim=1) / right, within.sum(dim=1) / right.double()]
    found += [hits[:, :k].any(dim=1).double() for k in ks]
    return torch.stack(found)


def _occurrences(queries: Marks, references: Marks) -> Tensor:
    """(Q,) how many references have the label of a query and not its owner."""
    both = (queries, references)
    width = 2 + max((int(part.owners.max()) for part in both if len(part.owners)), default=0)
    pairs, among = (part.labels * width + part.owners + 1 for part in both)
    return _count(queries.labels, references.labels) - _count(pairs, among)


def _count(values: Tensor, among: Tensor) -> Tensor:
    among = among.sort().values
    return torch.searchsorted(among, values, right=True) - torch.searchsorted(among, values)


def _ks(k: int | Iterable[int]) -> list[int]:
    values = list(k) if isinstance(k, Iterable) else [k]
    if not values:
        raise ValueError("k: needed is one at least")
    return sorted({whole("k", value, 1) for value in values})


def _check_distance(distance: Any, share: Share) -> None:
    if not isinstance(distance, BaseDistance):
        raise ValueError(
            f"distance: needed is one of pytorch-metric-learning, got {type(distance).__name__}"
        )
    learned = getattr(distance, "map", None)
    if isinstance(learned, Tensor) and learned.shape[-1] != share.queries.shape[1]:
        raise ValueError(
            f"queries of size {share.queries.shape[1]}, but the distance was made with "
            f"embedding_size={learned.shape[-1]}"
        )


def _described(distance: BaseDistance) -> tuple[Any, ...]:
    """What must be the same in all processes, learned weights too."""
    weights = [float(weight.detach().double().sum()) for weight in distance.parameters()]
    kind = type(distance).__name__
    return kind, distance.p, distance.power, distance.normalize_embeddings, *weights
