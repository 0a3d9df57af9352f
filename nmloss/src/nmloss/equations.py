"""The losses on tuples in any form, one function an equation; see `nmloss.functional`.

What they give for a tuple of nothing but its query has no meaning, see `Tuples.valid`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

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


def fixed_threshold(tuples: Tuples, threshold: float, margin: float, mine: bool) -> Tensor:
    """(Q,) Eq. 3."""
    positives, negatives = tuples.positives, tuples.negatives
    pull = positives.mean_weights(mined(tuples) if mine else positives.mask)
    push = negatives.mean_weights(negatives.mask)
    positive, negative = tuples.distances_to_center(pull)
    losses = positives.sum(pull * F.relu(positive - (threshold - margin / 2)))
    return losses + negatives.sum(push * F.relu(threshold + margin / 2 - negative))


def adaptive_threshold(tuples: Tuples, mine: bool) -> Tensor:
    """(Q,) Eq. 10; the tuples measure -H."""
    positives, negatives = tuples.positives, tuples.negatives
    kept = mined(tuples) if mine else positives.mask
    positive, negative = tuples.distances_to_center(positives.mean_weights(kept))
    pull, push = positives.weights(kept), negatives.weights(negatives.mask)
    total = positives.sum(pull * F.relu(1 + positive)) + negatives.sum(push * F.relu(1 - negative))
    count = positives.sum(pull) + negatives.sum(push)
    return total / count.clamp(min=1)


def n_plus_one(tuples: Tuples, margin: float) -> Tensor:
    """(Q,) Eq. 1; the query is not one of its positives."""
    positives = tuples.positives
    positive, negative = tuples.distances_to_query()
    bound = positives.expand(tuples.negatives.softmin(negative))
    losses = F.softplus(positive + margin - bound)
    return positives.sum(positives.mean_weights(positives.mask) * losses)


def coupled_clusters(tuples: Tuples, margin: float) -> Tensor:
    """(Q,) Liu et al., CVPR 2016."""
    positives = tuples.positives
    positive, negative = tuples.distances_to_center(positives.mean_weights(positives.mask))
    bound = positives.expand(tuples.negatives.amin(negative))
    return positives.sum(positives.weights(positives.mask) * F.relu(positive + margin - bound)) / 2
