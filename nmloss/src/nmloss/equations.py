"""The losses on tuples in any form, one function an equation; see `nmloss.functional`.

What they give for a tuple of nothing but its query has no meaning, see `Tuples.valid`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from nmloss.tuples.all_pairs import AllPairs
from nmloss.tuples.members import Members
from nmloss.tuples.tuples import Tuples

# Two positives are equally far from their centre: rounding must not choose between them.
TIE = 1e-4


def mined(tuples: Tuples) -> Tensor:
    """Algorithm 1: True at the positives that are kept."""
    with torch.no_grad():
        positives = tuples.positives
        positive, negative = tuples.distances_to_center(positives.mean_weights(positives.mask))
        return kept_within(positives, positive, tuples.negatives.amin(negative))


def kept_within(members: Members, distances: Tensor, bound: Tensor) -> Tensor:
    """True at the members within the bound (Q,) or else at the nearest, all of them on a tie."""
    nearest = members.amin(distances)
    bound = torch.where(nearest > bound, nearest + TIE * nearest.abs(), bound)
    # Where a distance is NaN nothing is left out, so that the loss is NaN and not 0.
    return members.mask & ~(distances > members.expand(bound))


def hinge(values: Tensor, sharpness: float | None) -> Tensor:
    """[x]+ = max(0, x); with a sharpness k softplus(k x) / k, which never rests.

    >>> hinge(torch.tensor([-1.0, 0.0, 2.0]), None).tolist()
    [0.0, 0.0, 2.0]
    >>> hinge(torch.tensor([-1.0, 0.0, 2.0]), 4.0)
    tensor([0.0045, 0.1733, 2.0001])
    """
    return F.relu(values) if sharpness is None else F.softplus(values, beta=sharpness)


def fixed_threshold(
    tuples: Tuples, threshold: float, margin: float, mine: bool, sharpness: float | None
) -> Tensor:
    """(Q,) Eq. 3."""
    positives, negatives = tuples.positives, tuples.negatives
    pull = positives.mean_weights(mined(tuples) if mine else positives.mask)
    positive, negative = tuples.distances_to_center(pull)
    losses = positives.sum(pull * hinge(positive - (threshold - margin / 2), sharpness))
    return losses + negatives.mean(hinge(threshold + margin / 2 - negative, sharpness))


def adaptive_threshold(tuples: Tuples, mine: bool, sharpness: float | None) -> Tensor:
    """(Q,) Eq. 10; the tuples measure -H."""
    positives, negatives = tuples.positives, tuples.negatives
    kept = mined(tuples) if mine else positives.mask
    positive, negative = tuples.distances_to_center(positives.mean_weights(kept))
    pull, push = positives.weights(kept), negatives.weights(negatives.mask)
    total = positives.sum(pull * hinge(1 + positive, sharpness))
    total = total + negatives.sum(push * hinge(1 - negative, sharpness))
    count = positives.sum(pull) + negatives.sum(push)
    return total / count.clamp(min=1)


def n_plus_one(tuples: Tuples, margin: float, sharpness: float | None = None) -> Tensor:
    """(Q,) Eq. 1, of sharpness 1 unless another is given; the query is not one of its positives."""
    if isinstance(tuples, AllPairs):
        return tuples.n_plus_one(margin, sharpness)
    positives, negatives = tuples.positives, tuples.negatives
    positive, negative = tuples.distances_to_query()
    if sharpness is None:
        bound, sharpness = negatives.softmin(negative), 1.0
    else:
        bound = negatives.softmin(sharpness * negative) / sharpness
    return positives.mean(hinge(positive + margin - positives.expand(bound), sharpness))


def coupled_clusters(tuples: Tuples, margin: float, sharpness: float | None) -> Tensor:
    """(Q,) Liu et al., CVPR 2016."""
    positives = tuples.positives
    positive, negative = tuples.distances_to_center(positives.mean_weights(positives.mask))
    bound = positives.expand(tuples.negatives.amin(negative))
    losses = hinge(positive + margin - bound, sharpness)
    return positives.sum(positives.weights(positives.mask) * losses) / 2
