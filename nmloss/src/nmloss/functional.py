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

``sharpness`` k puts softplus(k x) / k in place of a hinge [x]+, its limit; None keeps the hinge.
The (N+1)-tuplet loss is soft as it is, of sharpness 1.
"""

import torch
from torch import Tensor

from nmloss import equations
from nmloss.arguments import (
    at_least_float32,
    check_distances,
    check_members,
    flag,
    no_autocast,
    scalar,
    softened,
)
from nmloss.distances import squared_distances
from nmloss.measures import adaptive_margin
from nmloss.tuples.members import Rows
from nmloss.tuples.tuples import Distance, PointTuples

__all__ = [
    "adaptive_margin",
    "adaptive_nm_tuple_clusters_loss",
    "coupled_clusters_loss",
    "mine_positives",
    "n_plus_one_tuplet_loss",
    "nm_tuple_clusters_loss",
    "squared_distances",
]


def mine_positives(
    positive_distances: Tensor,
    negative_distances: Tensor,
    *,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
) -> Tensor:
    """Algorithm 1: keep the positives that are not farther from the centre than all negatives.

    Where none is kept, the positive nearest to the centre is, on a tie all that are nearest: of two
    positives, equally far from their centre, rounding must not choose. Without negatives all are
    kept.

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
    check_distances((positive_distances, negative_distances), (positive_mask, negative_mask))
    positives = Rows(_mask(positive_distances, positive_mask), positive_distances.dtype)
    negatives = Rows(_mask(negative_distances, negative_mask), negative_distances.dtype)
    bound = negatives.amin(negative_distances.detach())
    return equations.kept_within(positives, positive_distances.detach(), bound)


def nm_tuple_clusters_loss(
    positives: Tensor,
    negatives: Tensor,
    *,
    threshold: float = 1.0,
    margin: float = 1.0,
    mine_positives: bool = True,
    sharpness: float | None = None,
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
        sharpness: k, of the hinges.
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
    threshold, margin = scalar("threshold", threshold), scalar("margin", margin, is_signed=False)
    mine_positives, sharpness = flag("mine_positives", mine_positives), softened(sharpness)
    with no_autocast(positives):
        tuples = _tuples(positives, negatives, positive_mask, negative_mask, distance)
        losses = equations.fixed_threshold(tuples, threshold, margin, mine_positives, sharpness)
        return losses * tuples.valid()


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
    sharpness: float | None = None,
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
        sharpness: k, of the hinges.
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

    def minus_h(members: Tensor, points: Tensor) -> Tensor:
        return -adaptive_margin(
            members, points, map_a=map_a, map_b=map_b, linear=linear, bias=bias, sign=sign
        )

    mine_positives, sharpness = flag("mine_positives", mine_positives), softened(sharpness)
    with no_autocast(positives):
        tuples = _tuples(positives, negatives, positive_mask, negative_mask, minus_h)
        losses = equations.adaptive_threshold(tuples, mine_positives, sharpness)
        return losses * tuples.valid()


def n_plus_one_tuplet_loss(
    positives: Tensor,
    negatives: Tensor,
    *,
    margin: float = 1.0,
    sharpness: float | None = None,
    queries: Tensor | None = None,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
    distance: Distance = squared_distances,
) -> Tensor:
    """The (N+1)-tuplet loss, Eq. 1, as the mean over the query's positives.

    log(1 + sum_j exp(k (D(f, f+) + tau - D(f, f_j-)))) / k

    with k = 1, computed as softplus(D(f, f+) + tau + logsumexp_j(-D(f, f_j-))), which does not
    overflow. (The second factor of the paper's Eq. 2 is exp(T + tau/2 - D), not the printed + D.)

    Args:
        positives: (Q, M, D), the query first; or (R, D), then with ``queries``.
        negatives: (Q, N, D); or (R, D).
        margin: tau.
        sharpness: k; the larger, the more the nearest negative counts alone. None for 1.
        queries: (Q, D) where ``positives`` does not hold them.
        positive_mask: (Q, M); or (Q, R).
        negative_mask: (Q, N); or (Q, R).
        distance: D, squared Euclidean by default.

    Returns:
        (Q,) losses; 0 where there are no negatives, or no positive beside the query.

    >>> positives, negatives = torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[2.0]]])
    >>> n_plus_one_tuplet_loss(positives, negatives)  # log(1 + exp(1 + 1 - 4))
    tensor([0.1269])
    """
    masks = (positive_mask, negative_mask)
    check_members(positives, negatives, masks, queries)
    margin, sharpness = scalar("margin", margin, is_signed=False), softened(sharpness)
    if queries is None and positives.ndim == 3:
        queries, positives = positives[:, 0], positives[:, 1:]
        masks = (None if positive_mask is None else positive_mask[:, 1:], negative_mask)
    if queries is None:
        raise ValueError("queries (Q, D) are needed beside members of shape (R, D)")
    with no_autocast(positives):
        tuples = _tuples(positives, negatives, *masks, distance, queries)
        return equations.n_plus_one(tuples, margin, sharpness)


def coupled_clusters_loss(
    positives: Tensor,
    negatives: Tensor,
    *,
    margin: float = 1.0,
    sharpness: float | None = None,
    positive_mask: Tensor | None = None,
    negative_mask: Tensor | None = None,
    distance: Distance = squared_distances,
) -> Tensor:
    """The coupled clusters loss (Liu, Tian, Yang, Pang and Huang, CVPR 2016).

    sum_i 1/2 [D(f_i+, c+) + alpha - D(f_*-, c+)]+

    with c+ the mean of all positives and f_*- the negative nearest to it.

    Args:
        positives: (Q, M, D), the query first; or (R, D).
        negatives: (Q, N, D); or (R, D).
        margin: alpha.
        sharpness: k, of the hinges.
        positive_mask: (Q, M); or (Q, R).
        negative_mask: (Q, N); or (Q, R).
        distance: D, squared Euclidean by default.

    Returns:
        (Q,) losses; 0 where there are no negatives.

    >>> positives, negatives = torch.tensor([[[0.0], [2.0]]]), torch.tensor([[[2.0], [9.0]]])
    >>> coupled_clusters_loss(positives, negatives)  # centre 1: 2 x 1/2 [1 + 1 - 1]
    tensor([1.])
    """
    margin, sharpness = scalar("margin", margin, is_signed=False), softened(sharpness)
    with no_autocast(positives):
        tuples = _tuples(positives, negatives, positive_mask, negative_mask, distance)
        return equations.coupled_clusters(tuples, margin, sharpness)


def _mask(slots: Tensor, mask: Tensor | None) -> Tensor:
    return slots.new_ones(slots.shape[:2], dtype=torch.bool) if mask is None else mask


def _tuples(
    positives: Tensor,
    negatives: Tensor,
    positive_mask: Tensor | None,
    negative_mask: Tensor | None,
    distance: Distance,
    queries: Tensor | None = None,
) -> PointTuples:
    check_members(positives, negatives, (positive_mask, negative_mask), queries)
    points = at_least_float32(positives)
    others = points if negatives is positives else at_least_float32(negatives)
    return PointTuples(
        Rows(_mask(points, positive_mask), points.dtype),
        Rows(_mask(others, negative_mask), others.dtype),
        queries is None,
        (points, others),
        None if queries is None else at_least_float32(queries),
        distance,
    )
