"""The losses as pure functions: embeddings in, one loss per tuple out.

Liu, Kumar, You and Jia, Adaptive Deep Metric Learning for Identity-Aware Facial Expression
Recognition, CVPR Workshops 2017 (https://doi.org/10.1109/CVPRW.2017.79); the equation numbers are
its own.

Axes: ``Q`` tuples, ``M`` positives (the query first), ``N`` negatives, ``D`` embedding. The members
of the tuples come in one of two forms:

- (Q, M, D) and (Q, N, D), every tuple with members of its own; the masks may be left out.
- (R, D), all tuples choose from the same R embeddings; the masks (Q, R) say which. Nothing larger
  than (Q, R) is made.

A mask is True where a slot is a member. Half precision is computed and returned in float32.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

# From members, (Q, K, D) or (R, D), and one point a tuple, (Q, D), to (Q, K) or (Q, R).
Distance = Callable[[Tensor, Tensor], Tensor]


def squared_distances(members: Tensor, points: Tensor) -> Tensor:
    """|f - p|^2 between the members of each tuple and the tuple's point.

    Args:
        members: (Q, K, D), or (R, D) shared by all tuples.
        points: (Q, D).

    Returns:
        (Q, K), or (Q, R).

    >>> squared_distances(torch.tensor([[0.0, 3.0], [4.0, 0.0]]), torch.zeros(1, 2))
    tensor([[ 9., 16.]])
    """
    if members.ndim == 3:
        return (members - points[:, None]).square().sum(dim=-1)
    norms = members.square().sum(dim=-1) + points.square().sum(dim=-1, keepdim=True)
    return (norms - 2 * points @ members.T).clamp(min=0)


def mine_positives(
    positive_distances: Tensor,
    negative_distances: Tensor,
    *,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
) -> Tensor:
    """Algorithm 1: keep the positives that are not farther from the centre than all negatives.

    Where none is kept, the positive nearest to the centre is. Without negatives all are kept.

    Args:
        positive_distances: (Q, M) distances to the centre of all positives.
        negative_distances: (Q, N) distances to the same centre.
        positive_mask: (Q, M), or None for all.
        negative_mask: (Q, N), or None for all.

    Returns:
        (Q, M) True where a positive is kept.

    >>> mine_positives(torch.tensor([[0.1, 0.5, 0.9]]), torch.tensor([[0.5, 0.7]]))
    tensor([[ True,  True, False]])
    """
    positive_distances = positive_distances.detach()
    negative_distances = negative_distances.detach()
    members = torch.ones_like(positive_distances, dtype=torch.bool)
    members = members if positive_mask is None else positive_mask
    if negative_distances.shape[1] == 0:
        return members
    if negative_mask is not None:
        negative_distances = negative_distances.masked_fill(~negative_mask, torch.inf)
    nearest_negative = negative_distances.amin(dim=1, keepdim=True)
    kept = members & (positive_distances <= nearest_negative)
    nearest = positive_distances.masked_fill(~members, torch.inf).argmin(dim=1, keepdim=True)
    only_nearest = torch.zeros_like(members).scatter(1, nearest, True) & members
    return torch.where(kept.any(dim=1, keepdim=True), kept, only_nearest)


def nm_tuple_clusters_loss(
    positives: Tensor,
    negatives: Tensor,
    *,
    threshold: float = 1.0,
    margin: float = 1.0,
    mine_positives: bool = True,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
    distance: Distance = squared_distances,
) -> Tensor:
    """The (N+M)-tuple clusters loss with a fixed threshold, Eq. 3.

    1/M* sum_i [D(f_i+, c+) - T + tau/2]+  +  1/N sum_j [T + tau/2 - D(f_j-, c+)]+

    over the M* positives that online mining keeps (Algorithm 1) and their centre c+. The selection
    has no gradient, the centre has.

    Args:
        positives: (Q, M, D), the query first; or (R, D).
        negatives: (Q, N, D); or (R, D).
        threshold: T, the distance between the two boundaries.
        margin: tau, the gap between them.
        mine_positives: Whether to mine.
        positive_mask: (Q, M); or (Q, R).
        negative_mask: (Q, N); or (Q, R).
        distance: D, squared Euclidean by default.

    Returns:
        (Q,) losses; 0 for a tuple that has nothing but its query.

    >>> query, other, negative = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]])
    >>> positives, negatives = torch.stack([query, other])[None], negative[None, None]
    >>> nm_tuple_clusters_loss(positives, negatives)  # [1 - 1 + .5] + [1 + .5 - 1]
    tensor([1.])
    """
    positives, negatives = _full(positives), _full(negatives)
    with _autocast_off(positives):
        kept = positive_mask
        if mine_positives:
            kept = _mine(positives, negatives, positive_mask, negative_mask, distance)
        center = _center(positives, kept)
        pull = F.relu(distance(positives, center) - threshold + margin / 2)
        push = F.relu(threshold + margin / 2 - distance(negatives, center))
        losses = _mean(pull, kept) + _mean(push, negative_mask)
        return _only_counting(losses, positives, negatives, positive_mask, negative_mask)


def adaptive_nm_tuple_clusters_loss(
    positives: Tensor,
    negatives: Tensor,
    *,
    map_a: Tensor,
    map_b: Tensor,
    linear: Tensor,
    bias: Tensor,
    sign: float = -1.0,
    mine_positives: bool = True,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
) -> Tensor:
    """The (N+M)-tuple clusters loss with an adaptive threshold, Eq. 10, where tau/2 = 1.

    1/(N + M*) ( sum_i [1 - H(f_i+, c+)]+  +  sum_j [1 + H(f_j-, c+)]+ )

    with H = T - D from `adaptive_margin`; the positives are ranked for mining by -H.

    Args:
        positives: (Q, M, D), the query first; or (R, D).
        negatives: (Q, N, D); or (R, D).
        map_a: L_A, (rank, D).
        map_b: L_B, (rank, D).
        linear: c, (D,).
        bias: b, scalar.
        sign: s, -1 or +1, see `adaptive_margin`.
        mine_positives: Whether to mine.
        positive_mask: (Q, M); or (Q, R).
        negative_mask: (Q, N); or (Q, R).

    Returns:
        (Q,) losses; 0 for a tuple that has nothing but its query.

    >>> root = 2**0.5 * torch.eye(2)
    >>> positives, negatives = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]]), torch.ones(1, 1, 2)
    >>> adaptive_nm_tuple_clusters_loss(positives, negatives, map_a=root, map_b=root,
    ...                                 linear=torch.zeros(2), bias=torch.tensor(2.0))
    tensor([0.6667])
    """
    positives, negatives = _full(positives), _full(negatives)
    map_a, map_b, linear, bias = (
        weight.to(positives.dtype) for weight in (map_a, map_b, linear, bias)
    )

    def minus_h(members: Tensor, points: Tensor) -> Tensor:
        return -adaptive_margin(
            members, points, map_a=map_a, map_b=map_b, linear=linear, bias=bias, sign=sign
        )

    with _autocast_off(positives):
        kept = positive_mask
        if mine_positives:
            kept = _mine(positives, negatives, positive_mask, negative_mask, minus_h)
        center = _center(positives, kept)
        pull = F.relu(1 + minus_h(positives, center))
        push = F.relu(1 - minus_h(negatives, center))
        total = _sum(pull, kept) + _sum(push, negative_mask)
        losses = total / (_count(pull, kept) + _count(push, negative_mask)).clamp(min=1)
        return _only_counting(losses, positives, negatives, positive_mask, negative_mask)


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
    of_members = sign / 2 * (members @ map_a.T).square().sum(dim=-1) + members @ linear
    of_points = sign / 2 * (points @ map_a.T).square().sum(dim=-1) + points @ linear
    projected = points @ map_b.T
    if members.ndim == 3:
        product = ((members @ map_b.T) @ projected[..., None])[..., 0]
    else:
        product = projected @ (members @ map_b.T).T
    return product + of_members + of_points[:, None] + bias


def n_plus_one_tuplet_loss(
    positives: Tensor,
    negatives: Tensor,
    *,
    margin: float = 1.0,
    queries: Tensor | None = None,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
    distance: Distance = squared_distances,
) -> Tensor:
    """The (N+1)-tuplet loss, Eq. 1, as the mean over the query's positives.

    log(1 + sum_j exp(D(f, f+) + tau - D(f, f_j-)))

    computed as softplus(D(f, f+) + tau + logsumexp_j(-D(f, f_j-))), which does not overflow. (The
    second factor of the paper's Eq. 2 is exp(T + tau/2 - D), not the printed + D.)

    Args:
        positives: (Q, M, D), the query first; or (R, D), then with ``queries``.
        negatives: (Q, N, D); or (R, D).
        margin: tau.
        queries: (Q, D) where ``positives`` does not start with them; they are no positives then.
        positive_mask: (Q, M); or (Q, R).
        negative_mask: (Q, N); or (Q, R).
        distance: D, squared Euclidean by default.

    Returns:
        (Q,) losses; 0 where there are no negatives, or no positive beside the query.

    >>> positives, negatives = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[2.0]]])
    >>> n_plus_one_tuplet_loss(positives, negatives)  # log(1 + exp(1 + 1 - 4))
    tensor([0.1269])
    """
    positives, negatives = _full(positives), _full(negatives)
    if queries is None:
        queries, positives = positives[:, 0], positives[:, 1:]
        positive_mask = None if positive_mask is None else positive_mask[:, 1:]
    with _autocast_off(positives):
        queries = _full(queries)
        if negatives.shape[-2] == 0:
            return (queries * 0).sum(dim=-1)
        closeness = -distance(negatives, queries)
        if negative_mask is not None:
            # A large finite number: logsumexp of nothing but -inf has a NaN gradient.
            closeness = closeness.masked_fill(~negative_mask, -1e30)
        nearness = closeness.logsumexp(dim=1, keepdim=True)
        losses = F.softplus(distance(positives, queries) + margin + nearness)
        return _mean(losses, positive_mask)


def tuples_that_count(
    positives: Tensor,
    negatives: Tensor,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
) -> Tensor:
    """Which tuples have a positive beside the query, or a negative.

    Args:
        positives: (Q, M, D), or (R, D).
        negatives: (Q, N, D), or (R, D).
        positive_mask: (Q, M), or (Q, R); the query is one of the members.
        negative_mask: (Q, N), or (Q, R).

    Returns:
        (Q,) bool.
    """
    if positive_mask is None and negative_mask is None:
        counts = positives.shape[1] > 1 or negatives.shape[1] > 0
        return torch.full(positives.shape[:1], counts, device=positives.device)
    more = (
        torch.tensor(positives.shape[1] > 1, device=positives.device)
        if positive_mask is None
        else positive_mask.sum(dim=1) > 1
    )
    any_negative = (
        torch.tensor(negatives.shape[1] > 0, device=negatives.device)
        if negative_mask is None
        else negative_mask.any(dim=1)
    )
    return more | any_negative


def _full(values: Tensor) -> Tensor:
    """At least float32."""
    return values if values.dtype == torch.float64 else values.float()


def _autocast_off(values: Tensor) -> torch.autocast:
    return torch.autocast(values.device.type, enabled=False)


def _mine(
    positives: Tensor,
    negatives: Tensor,
    positive_mask: Tensor | None,
    negative_mask: Tensor | None,
    distance: Distance,
) -> Tensor:
    with torch.no_grad():
        center = _center(positives, positive_mask)
        return mine_positives(
            distance(positives, center),
            distance(negatives, center),
            positive_mask=positive_mask,
            negative_mask=negative_mask,
        )


def _center(positives: Tensor, mask: Tensor | None) -> Tensor:
    """(Q, D) mean of the positives."""
    if mask is None:
        return positives.mean(dim=1)
    weights = mask.to(positives.dtype)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp(min=1)
    if positives.ndim == 2:
        return weights @ positives
    return (weights[..., None] * positives).sum(dim=1)


def _sum(values: Tensor, mask: Tensor | None) -> Tensor:
    return (values if mask is None else values.masked_fill(~mask, 0)).sum(dim=1)


def _count(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return torch.full_like(values[:, 0] if values.shape[1] else values.sum(1), values.shape[1])
    return mask.sum(dim=1)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the members; 0 where there are none."""
    return _sum(values, mask) / _count(values, mask).clamp(min=1)


def _only_counting(
    losses: Tensor,
    positives: Tensor,
    negatives: Tensor,
    positive_mask: Tensor | None,
    negative_mask: Tensor | None,
) -> Tensor:
    counting = tuples_that_count(positives, negatives, positive_mask, negative_mask)
    return losses * counting
