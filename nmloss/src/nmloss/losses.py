"""The losses as modules for pytorch-metric-learning (PML).

Called ``loss(embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None)``. A query's
positive set is the query itself and every p paired with it, its negative set every n paired with
it. ``indices_tuple`` is None (all pairs of the batch), PML's 4-tuple (a1, p, a2, n), its triplets,
or `TupleIndices`: a batch laid out tuple after tuple, the fast way.

Every loss takes PML's own keyword arguments: ``distance``, ``reducer``, ``embedding_regularizer``,
``embedding_reg_weight``, ``collect_stats``. The reducer sees one loss per tuple that counts, that
is, one with a positive beside its query or a negative.

All take a ``sharpness`` k: softplus(k x) / k in place of their hinges [x]+, which are its limit and
the default (None); the (N+1)-tuplet loss is soft by itself, with k = 1. A hinge at rest leaves in
the embedding what it is not asked to remove; a softened one always pulls. The fixed threshold on
handwritten digits by made-up writers (four seeds; per cent; all but the last among other writers)::

    k                       None     8     4     2
    Recall@1                91.3  90.9  89.7  87.5
    MAP@R                   68.4  71.3  73.3  68.3
    nearest by same writer  70.4  66.2  58.2  51.7

``positives_kept`` and ``tuples_with_loss`` (``collect_stats``) mean what they do without it: mining
does not depend on it, and a tuple has a loss where one of its hinges would be active.
"""

import math
from typing import Any, Literal

import torch
from pytorch_metric_learning.distances import LpDistance
from torch import Tensor, nn

from nmloss import equations
from nmloss.arguments import flag, number, softened, whole
from nmloss.base import TupleLoss
from nmloss.distances import starting_map
from nmloss.measures import LearnedMargin
from nmloss.tuples.tuples import Tuples

Learn = Literal["all", "linear", "threshold", "nothing"]
_LEARNED: dict[Learn, tuple[str, ...]] = {
    "all": ("map_a", "map_b", "linear", "bias"),
    "linear": ("linear", "bias"),
    "threshold": ("bias",),
    "nothing": (),
}


class NMTupleClustersLoss(TupleLoss):
    """The (N+M)-tuple clusters loss with a fixed threshold (Liu et al. 2017, Eq. 3).

    Pulls the positives of a query within ``threshold - margin / 2`` of their centre and pushes its
    negatives beyond ``threshold + margin / 2``. The distance is squared Euclidean on normalised
    embeddings by default, between 0 and 4.

    Args:
        threshold: T.
        margin: tau.
        mine_positives: Leave out positives that are farther from the centre than the nearest
            negative (Algorithm 1).
        sharpness: k, see the module; of distances between 0 and 4.
        **pml: Keyword arguments of PML's losses.

    Raises:
        ValueError: an argument is no number, ``margin`` is negative, or ``sharpness`` not above 0.

    >>> from nmloss import tuple_indices
    >>> loss_fn = NMTupleClustersLoss()
    >>> loss = loss_fn(torch.eye(4), indices_tuple=tuple_indices(2, positives=1, negatives=1))
    >>> loss.item()  # |f - c|^2 is 0 for the query, 2 for the negative
    0.0
    """

    def __init__(
        self,
        threshold: float = 1.0,
        margin: float = 1.0,
        *,
        mine_positives: bool = True,
        sharpness: float | None = None,
        **pml: Any,
    ) -> None:
        super().__init__(**pml)
        self.threshold = _setting("threshold", threshold)
        self.margin = _setting("margin", margin, is_signed=False)
        self.mine_positives = flag("mine_positives", mine_positives)
        self.sharpness = softened(sharpness)

    def tuple_losses(self, tuples: Tuples, sharpness: float | None) -> Tensor:
        return equations.fixed_threshold(
            tuples, self.threshold, self.margin, self.mine_positives, sharpness
        )


class AdaptiveNMTupleClustersLoss(TupleLoss):
    """The (N+M)-tuple clusters loss with a learned threshold (Liu et al. 2017, Eq. 10).

    The threshold T(f, c) and the distance D(f, c) are quadratic functions that are learned together
    as H = T - D, see `nmloss.functional.adaptive_margin`. At the start H is
    ``threshold - scale^2 |f - c|^2``; with the defaults the boundaries, where H = 1 and H = -1, lie
    at |f - c|^2 = 0.5 and 1.5, as those of `NMTupleClustersLoss`. Neither hinge is saturated there:
    of 1,000 tuples of random unit vectors (M = N = 6) all are active in 128 dimensions, and 99 % of
    the positives' and 94 % of the negatives' in 16.

    The loss has parameters. Hand them to the optimiser, best at a smaller rate than the encoder's,
    with weight decay or without::

        groups = [{"params": encoder.parameters()}, *loss_fn.parameter_groups(lr=1e-3, rate=0.1)]
        torch.optim.Adam(groups, lr=1e-3)

    Or let it learn less. On handwritten digits by made-up writers (four seeds; per cent; all but
    the last among other writers; beside it the fixed threshold)::

        learn                   all  linear  threshold  nothing  fixed
        Recall@1               87.8    91.1       90.4     90.5   91.3
        MAP@R                  61.7    68.7       67.1     68.4   68.4
        nearest by same writer 75.2    75.1       75.0     70.6   70.4

    Args:
        embedding_size: D.
        rank: Rows of L_A and L_B; None for D. A smaller rank starts from a random projection.
        threshold: b at the start.
        scale: sets L_A = L_B = sqrt(2) scale I at the start.
        convention: "metric" makes A negative and B positive semi-definite, as the plain case
            needs; "paper" has the sign that Eq. 8 prints.
        normalize_embeddings: Whether to normalise them.
        mine_positives: Leave out positives with a smaller H than the best negative's.
        sharpness: k, see the module; of H, which changes twice as fast as the squared distance
            at the start: k here is 2 k there.
        learn: Which of L_A, L_B, c and b learn: "all", "linear" (c and b, the linear function
            c.f + b), "threshold" (b alone) or "nothing"; the others stay as at the start.
        **pml: Keyword arguments of PML's losses; there is no ``distance``, it is learned.

    Raises:
        ValueError: an argument is out of range.

    >>> from nmloss import tuple_indices
    >>> loss_fn = AdaptiveNMTupleClustersLoss(embedding_size=8)
    >>> loss_fn(torch.randn(24, 8), indices_tuple=tuple_indices(2)).backward()
    >>> sorted(name for name, weight in loss_fn.named_parameters() if weight.grad is not None)
    ['bias', 'linear', 'map_a', 'map_b']
    """

    def __init__(
        self,
        embedding_size: int,
        *,
        rank: int | None = None,
        threshold: float = 2.0,
        scale: float = math.sqrt(2),
        convention: Literal["metric", "paper"] = "metric",
        normalize_embeddings: bool = True,
        mine_positives: bool = True,
        sharpness: float | None = None,
        learn: Learn = "all",
        **pml: Any,
    ) -> None:
        if "distance" in pml:
            raise ValueError("distance: this loss learns its own; leave the argument out")
        normalize = flag("normalize_embeddings", normalize_embeddings)
        distance = LpDistance(p=2, power=2, normalize_embeddings=normalize)
        super().__init__(distance=distance, **pml)
        if convention not in ("metric", "paper"):
            raise ValueError(f"convention={convention!r}; known are 'metric' and 'paper'")
        if not isinstance(learn, str) or learn not in _LEARNED:
            raise ValueError(f"learn={learn!r}; known are {', '.join(map(repr, _LEARNED))}")
        self.embedding_size = whole("embedding_size", embedding_size, 1)
        self.sign = -1.0 if convention == "metric" else 1.0
        self.mine_positives = flag("mine_positives", mine_positives)
        self.sharpness = softened(sharpness)
        start = math.sqrt(2) * number("scale", scale) * starting_map(embedding_size, rank)
        self.map_a = nn.Parameter(start.clone())
        self.map_b = nn.Parameter(start.clone())
        self.linear = nn.Parameter(torch.zeros(self.embedding_size))
        self.bias = nn.Parameter(torch.tensor(number("threshold", threshold)))
        for name, weight in self.named_parameters(recurse=False):
            weight.requires_grad_(name in _LEARNED[learn])

    @property
    def measure(self) -> LearnedMargin:
        weights = (self.map_a, self.map_b, self.linear, self.bias)
        return LearnedMargin(*weights, self.sign, self.distance.normalize_embeddings)

    def tuple_losses(self, tuples: Tuples, sharpness: float | None) -> Tensor:
        return equations.adaptive_threshold(tuples, self.mine_positives, sharpness)


class NPlusOneTupletLoss(TupleLoss):
    """The (N+1)-tuplet loss (Sohn 2016; Liu et al. 2017, Eq. 1), the mean over the positives.

    log(1 + sum_j exp(k (D(f, f+) + tau - D(f, f_j-)))) / k, soft as it is printed, where k = 1.

    Args:
        margin: tau.
        sharpness: k; None for 1. The larger, the more the nearest negative counts alone.
        **pml: Keyword arguments of PML's losses.

    Raises:
        ValueError: ``margin`` is negative, or no number, or ``sharpness`` is not above 0.

    >>> from nmloss import tuple_indices
    >>> loss_fn = NPlusOneTupletLoss(margin=0.0)
    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> loss_fn(embeddings, indices_tuple=tuple_indices(1, 2, 1))  # log(1 + exp(0 - 2))
    tensor(0.1269)
    """

    query_is_positive = False

    def __init__(self, margin: float = 1.0, *, sharpness: float | None = None, **pml: Any) -> None:
        super().__init__(**pml)
        self.margin = _setting("margin", margin, is_signed=False)
        self.sharpness = softened(sharpness)

    def tuple_losses(self, tuples: Tuples, sharpness: float | None) -> Tensor:
        return equations.n_plus_one(tuples, self.margin, sharpness)


class CoupledClustersLoss(TupleLoss):
    """The coupled clusters loss (Liu, Tian, Yang, Pang and Huang, CVPR 2016).

    sum_i 1/2 [D(f_i+, c+) + alpha - D(f_*-, c+)]+ with f_*- the negative nearest to the centre c+.

    Args:
        margin: alpha.
        sharpness: k, see the module; of distances between 0 and 4.
        **pml: Keyword arguments of PML's losses.

    Raises:
        ValueError: ``margin`` is negative, or no number, or ``sharpness`` is not above 0.

    >>> from nmloss import tuple_indices
    >>> loss_fn = CoupledClustersLoss(margin=3.0)
    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> loss_fn(embeddings, indices_tuple=tuple_indices(1, 2, 1))  # 2 x 1/2 [0 + 3 - 2]
    tensor(1.)
    """

    def __init__(self, margin: float = 1.0, *, sharpness: float | None = None, **pml: Any) -> None:
        super().__init__(**pml)
        self.margin = _setting("margin", margin, is_signed=False)
        self.sharpness = softened(sharpness)

    def tuple_losses(self, tuples: Tuples, sharpness: float | None) -> Tensor:
        return equations.coupled_clusters(tuples, self.margin, sharpness)


def _setting(name: str, value: Any, *, is_signed: bool = True) -> Any:
    """A number; where it is learned, its tensor."""
    found = number(name, value, is_signed=is_signed)
    return value if isinstance(value, Tensor) and value.requires_grad else found
