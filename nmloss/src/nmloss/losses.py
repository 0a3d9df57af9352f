"""The losses as modules for pytorch-metric-learning (PML).

Called ``loss(embeddings, labels, indices_tuple=None, ref_emb=None, ref_labels=None)``. A query's
positive set is the query itself and every p paired with it, its negative set every n paired with
it. ``indices_tuple`` is None (all pairs of the batch), PML's 4-tuple (a1, p, a2, n), its triplets,
or `TupleIndices`: a batch laid out tuple after tuple, the fast way.

Every loss takes PML's own keyword arguments: ``distance``, ``reducer``, ``embedding_regularizer``,
``embedding_reg_weight``, ``collect_stats``. The reducer sees one loss per tuple that counts, that
is, one with a positive beside its query or a negative.
"""

import math
from typing import Any, Literal, NamedTuple

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor, nn

from nmloss import functional
from nmloss.indices import TupleIndices, pair_masks


class Tuples(NamedTuple):
    """The members of the tuples in one of the two forms of `nmloss.functional`.

    Args:
        positives: (Q, M, D) with the query first, or (R, D).
        negatives: (Q, N, D), or (R, D).
        queries: (Q, D).
        positive_mask: None, or (Q, R) with the queries.
        other_mask: None, or (Q, R) without the queries.
        negative_mask: None, or (Q, R).
    """

    positives: Tensor
    negatives: Tensor
    queries: Tensor
    positive_mask: Tensor | None = None
    other_mask: Tensor | None = None
    negative_mask: Tensor | None = None


class _TupleLoss(BaseMetricLossFunction):  # type: ignore[misc]
    """What the losses share: from PML's arguments to tuples, and from losses to PML's reducer."""

    def __init__(self, **pml: Any) -> None:
        super().__init__(**pml)
        if self.distance.is_inverted:
            raise ValueError(
                f"distance={type(self.distance).__name__} is a similarity: this loss needs a "
                "distance, such as LpDistance(power=2) on normalised embeddings"
            )

    def get_default_distance(self) -> LpDistance:
        return LpDistance(p=2, power=2)

    def tuple_losses(self, tuples: Tuples) -> Tensor:
        """(Q,) losses."""
        raise NotImplementedError

    def normalized(self, embeddings: Tensor) -> Tensor:
        """The embeddings in at least float32, normalised where the distance says so."""
        if embeddings.dtype != torch.float64:
            embeddings = embeddings.float()
        result: Tensor = self.distance.maybe_normalize(embeddings)
        return result

    def measure(self, members: Tensor, points: Tensor) -> Tensor:
        """PML's distance in the form of `functional.Distance`."""
        distance = self.distance
        if type(distance) is LpDistance and (distance.p, distance.power) == (2, 2):
            return functional.squared_distances(members, points)
        if members.ndim == 2:
            result: Tensor = distance.compute_mat(points, members)
        else:
            rows = points[:, None].expand_as(members).flatten(0, 1)
            result = distance.pairwise_distance(rows, members.flatten(0, 1))
            result = result.reshape(members.shape[:2])
        return result**distance.power if distance.power != 1 else result

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Any,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, dict[str, Any]]:
        """PML's hook: one loss per tuple, as elements."""
        device = embeddings.device.type
        with torch.autocast(device, enabled=False):
            if isinstance(indices_tuple, TupleIndices) and ref_emb is embeddings:
                tuples = self._laid_out(embeddings, indices_tuple)
                is_whole = indices_tuple.positives > 1 or indices_tuple.negatives > 0
                if indices_tuple.num_tuples == 0 or not is_whole:
                    return _reduced(self._zero(embeddings))
                counting = None
            else:
                tuples = self._paired(embeddings, labels, indices_tuple, ref_emb, ref_labels)
                if len(embeddings) == 0:
                    return _reduced(self._zero(embeddings))
                counting = functional.tuples_that_count(
                    tuples.positives, tuples.negatives, tuples.positive_mask, tuples.negative_mask
                )
            losses = self.tuple_losses(tuples)
        places = torch.arange(len(losses), device=losses.device)
        if counting is not None and type(self.reducer) is MeanReducer:
            # The mean over those that count, without asking the device which they are.
            losses = losses * (len(losses) / counting.sum().clamp(min=1))
        elif counting is not None:
            losses, places = losses[counting], places[counting]
            if len(losses) == 0:
                return _reduced(self._zero(embeddings))
        return {"loss": {"losses": losses, "indices": places, "reduction_type": "element"}}

    def _laid_out(self, embeddings: Tensor, indices: TupleIndices) -> Tuples:
        if len(embeddings) != indices.batch_size:
            raise ValueError(
                f"{len(embeddings)} embeddings, but indices_tuple is laid out for "
                f"{indices.num_tuples} x ({indices.positives} + {indices.negatives}) = "
                f"{indices.batch_size}"
            )
        members = self.normalized(embeddings).reshape(
            indices.num_tuples, indices.positives + indices.negatives, embeddings.shape[1]
        )
        positives = members[:, : indices.positives]
        return Tuples(positives, members[:, indices.positives :], positives[:, 0])

    def _paired(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices: Any,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> Tuples:
        others, negatives = pair_masks(indices, labels, ref_labels, (len(embeddings), len(ref_emb)))
        queries = self.normalized(embeddings)
        own = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
        if ref_emb is embeddings:
            return Tuples(queries, queries, queries, others | own, others & ~own, negatives)
        # The query is a member of its own cluster, but not among the references.
        members = torch.cat([queries, self.normalized(ref_emb)])
        none = torch.zeros_like(own)
        return Tuples(
            members,
            members,
            queries,
            torch.cat([own, others], dim=1),
            torch.cat([none, others], dim=1),
            torch.cat([none, negatives], dim=1),
        )

    def _zero(self, embeddings: Tensor) -> Tensor:
        """A zero that every tensor takes part in, so that no process of DDP lacks a gradient."""
        zero = embeddings.sum() * 0.0
        return zero + sum((weight.sum() * 0.0 for weight in self.parameters()), start=zero)


class NMTupleClustersLoss(_TupleLoss):
    """The (N+M)-tuple clusters loss with a fixed threshold (Liu et al. 2017, Eq. 3).

    Pulls the positives of a query within ``threshold - margin / 2`` of their centre and pushes its
    negatives beyond ``threshold + margin / 2``. The distance is squared Euclidean on normalised
    embeddings by default, between 0 and 4.

    Args:
        threshold: T.
        margin: tau.
        mine_positives: Leave out positives that are farther from the centre than the nearest
            negative (Algorithm 1).
        **pml: Keyword arguments of PML's losses.

    Raises:
        ValueError: ``margin`` is negative, or the distance is a similarity.

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
        **pml: Any,
    ) -> None:
        super().__init__(**pml)
        self.threshold = threshold
        self.margin = _not_negative("margin", margin)
        self.mine_positives = mine_positives

    def tuple_losses(self, tuples: Tuples) -> Tensor:
        return functional.nm_tuple_clusters_loss(
            tuples.positives,
            tuples.negatives,
            threshold=self.threshold,
            margin=self.margin,
            mine_positives=self.mine_positives,
            positive_mask=tuples.positive_mask,
            negative_mask=tuples.negative_mask,
            distance=self.measure,
        )


class AdaptiveNMTupleClustersLoss(_TupleLoss):
    """The (N+M)-tuple clusters loss with a learned threshold (Liu et al. 2017, Eq. 10).

    The threshold T(f, c) and the distance D(f, c) are quadratic functions that are learned together
    as H = T - D, see `nmloss.functional.adaptive_margin`. At the start H is
    ``threshold - scale^2 |f - c|^2``; with the defaults the boundaries, where H = 1 and H = -1, lie
    at |f - c|^2 = 0.5 and 1.5, as those of `NMTupleClustersLoss`. Neither hinge is saturated there:
    of 1,000 tuples of random unit vectors (M = N = 6) all are active in 128 dimensions, and 99 % of
    the positives' and 94 % of the negatives' in 16.

    The loss has parameters. Hand them to the optimiser, with weight decay or without::

        torch.optim.Adam([*encoder.parameters(), *loss_fn.parameters()])

    Args:
        embedding_size: D.
        rank: Rows of L_A and L_B; None for D. A smaller rank starts from a random projection.
        threshold: b at the start.
        scale: sets L_A = L_B = sqrt(2) scale I at the start.
        convention: "metric" makes A negative and B positive semi-definite, as the plain case
            needs; "paper" has the sign that Eq. 8 prints.
        normalize_embeddings: Whether to normalise them.
        mine_positives: Leave out positives with a smaller H than the best negative's.
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
        **pml: Any,
    ) -> None:
        if "distance" in pml:
            raise ValueError("distance: this loss learns its own; leave the argument out")
        distance = LpDistance(p=2, power=2, normalize_embeddings=normalize_embeddings)
        super().__init__(distance=distance, **pml)
        if embedding_size < 1:
            raise ValueError(f"embedding_size={embedding_size}: at least 1")
        rank = embedding_size if rank is None else rank
        if not 1 <= rank <= embedding_size:
            raise ValueError(f"rank={rank}: from 1 to embedding_size={embedding_size}")
        if convention not in ("metric", "paper"):
            raise ValueError(f"convention={convention!r}; known are 'metric' and 'paper'")
        self.embedding_size = embedding_size
        self.sign = -1.0 if convention == "metric" else 1.0
        self.mine_positives = mine_positives
        start = math.sqrt(2) * scale * torch.eye(embedding_size)
        if rank < embedding_size:
            # Rows of a random rotation, stretched so that distances keep their mean.
            rotation = torch.linalg.qr(torch.randn(embedding_size, embedding_size)).Q
            start = (start @ rotation)[:rank] * math.sqrt(embedding_size / rank)
        self.map_a = nn.Parameter(start.clone())
        self.map_b = nn.Parameter(start.clone())
        self.linear = nn.Parameter(torch.zeros(embedding_size))
        self.bias = nn.Parameter(torch.tensor(float(threshold)))

    def tuple_losses(self, tuples: Tuples) -> Tensor:
        if tuples.queries.shape[1] != self.embedding_size:
            raise ValueError(
                f"embeddings of size {tuples.queries.shape[1]}, "
                f"but the loss was made with embedding_size={self.embedding_size}"
            )
        return functional.adaptive_nm_tuple_clusters_loss(
            tuples.positives,
            tuples.negatives,
            map_a=self.map_a,
            map_b=self.map_b,
            linear=self.linear,
            bias=self.bias,
            sign=self.sign,
            mine_positives=self.mine_positives,
            positive_mask=tuples.positive_mask,
            negative_mask=tuples.negative_mask,
        )


class NPlusOneTupletLoss(_TupleLoss):
    """The (N+1)-tuplet loss (Sohn 2016; Liu et al. 2017, Eq. 1), the mean over the positives.

    Args:
        margin: tau.
        **pml: Keyword arguments of PML's losses.

    Raises:
        ValueError: ``margin`` is negative, or the distance is a similarity.

    >>> from nmloss import tuple_indices
    >>> loss_fn = NPlusOneTupletLoss(margin=0.0)
    >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> loss_fn(embeddings, indices_tuple=tuple_indices(1, 2, 1))  # log(1 + exp(0 - 2))
    tensor(0.1269)
    """

    def __init__(self, margin: float = 1.0, **pml: Any) -> None:
        super().__init__(**pml)
        self.margin = _not_negative("margin", margin)

    def tuple_losses(self, tuples: Tuples) -> Tensor:
        is_laid_out = tuples.positive_mask is None
        return functional.n_plus_one_tuplet_loss(
            tuples.positives,
            tuples.negatives,
            margin=self.margin,
            queries=None if is_laid_out else tuples.queries,
            positive_mask=tuples.other_mask,
            negative_mask=tuples.negative_mask,
            distance=self.measure,
        )


def _not_negative(name: str, value: float) -> float:
    if value < 0:
        raise ValueError(f"{name}={value}: must not be negative")
    return value


def _reduced(loss: Tensor) -> dict[str, dict[str, Any]]:
    return {"loss": {"losses": loss, "indices": None, "reduction_type": "already_reduced"}}
