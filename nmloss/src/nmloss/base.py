"""From the arguments of pytorch-metric-learning (PML) to tuples, from losses to its reducers."""

from typing import Any

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from nmloss import equations
from nmloss.distances import MahalanobisDistance, is_squared_euclidean, measured, prepared
from nmloss.indices import (
    MinedIndices,
    Pairs,
    TupleIndices,
    first_of_each,
    index_pairs,
    label_masks,
    mask_of,
)
from nmloss.layout import ProductTuples, split, whole
from nmloss.members import Rows, Segments
from nmloss.precision import full_precision, no_autocast
from nmloss.tuples import MatrixTuples, PointTuples, Tuples

# A pair in a list costs about as much as this many entries of a matrix of all pairs: 30 to 150 on a
# CPU, more for longer embeddings.
PAIR_COST = 48


class TupleLoss(BaseMetricLossFunction):  # type: ignore[misc]
    """A loss on tuples, called as any loss of PML.

    A subclass says what the loss of each tuple is. How the members are found depends on what is
    given, never on values, so that nothing waits for the device and nothing breaks the graph:

    - `TupleIndices`: a reshape; distances by inner products within each tuple.
    - Index tuples of few pairs: sums over segments, linear in the number of pairs.
    - Index tuples of many pairs, or none: masks over the matrix of all pairs. Where the labels
      alone make the clusters, queries of one class have the same tuple; on the CPU, which knows
      how many classes there are, the matrix then has a row a class.
    """

    has_query = True  # the query is one of its positives; or else all distances are to the query

    def __init__(self, **pml: Any) -> None:
        super().__init__(**pml)
        self.add_to_recordable_attributes(
            list_of_names=["positives_kept", "tuples_with_loss"], is_stat=True
        )

    def get_default_distance(self) -> LpDistance:
        return LpDistance(p=2, power=2)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: Any = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
    ) -> Any:
        """As any loss of PML; half precision is computed and returned in float32.

        Args:
            embeddings: (B, D).
            labels: (B,); not needed beside ``indices_tuple``.
            indices_tuple: None for all pairs, PML's 4-tuple or triplets, or `TupleIndices`.
            ref_emb: (R, D) that the members are taken from; None for the embeddings themselves.
            ref_labels: (R,).

        Returns:
            What the reducer makes of the losses, a scalar by default.

        Raises:
            ValueError: labels and indices are missing, or do not fit the embeddings.
        """
        embeddings, ref_emb = full_precision(embeddings, ref_emb)
        if ref_emb is embeddings and ref_labels is None:
            ref_labels = labels
        loss = super().forward(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        if type(self.reducer) is MeanReducer or not isinstance(loss, Tensor):
            return loss
        return loss + self._zero(embeddings)  # a reducer may have dropped all losses

    def embedding_regularization_loss(self, embeddings: Tensor) -> dict[str, Any]:
        """PML's hook, which would divide by the number of embeddings."""
        if len(embeddings) == 0:
            return self._nothing(embeddings)["loss"]
        result: dict[str, Any] = super().embedding_regularization_loss(embeddings)
        return result

    def tuple_losses(self, tuples: Tuples) -> Tensor:
        """(Q,) losses."""
        raise NotImplementedError

    def measure(self, members: Tensor, points: Tensor) -> Tensor:
        """What the loss measures between members and one point of each tuple.

        Args:
            members: (Q, K, D), or (R, D) shared by all tuples; prepared for the distance.
            points: (Q, D).

        Returns:
            (Q, K), or (Q, R).
        """
        return measured(self.distance, members, points)

    def tuples(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices: Any,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> Tuples:
        """The tuples in the form that suits what is given."""
        if isinstance(indices, TupleIndices) and ref_emb is embeddings:
            return self._laid_out(embeddings, indices)
        if indices is None:
            is_by_class = self.has_query and ref_emb is embeddings and ref_labels is labels
            if is_by_class and labels is not None and not _must_not_wait(labels):
                return self._by_class(embeddings, labels)
            return self._masked(embeddings, ref_emb, label_masks(labels, ref_labels))
        pairs = index_pairs(indices, embeddings.device)
        keeps_query = indices.keeps_query if isinstance(indices, MinedIndices) else None
        size = (len(embeddings), len(ref_emb))
        if PAIR_COST * sum(len(anchors) for anchors, _ in pairs) <= size[0] * size[1]:
            return self._listed(embeddings, ref_emb, pairs, keeps_query)
        masks = (mask_of(pairs[0], size), mask_of(pairs[1], size))
        return self._masked(embeddings, ref_emb, masks, keeps_query)

    def compute_loss(
        self,
        embeddings: Tensor,
        labels: Tensor | None,
        indices_tuple: Any,
        ref_emb: Tensor,
        ref_labels: Tensor | None,
    ) -> dict[str, dict[str, Any]]:
        """PML's hook: one loss per tuple, as elements."""
        is_laid_out = isinstance(indices_tuple, TupleIndices) and ref_emb is embeddings
        if len(embeddings) == 0 or (is_laid_out and indices_tuple.tuple_size == 1):
            return self._nothing(embeddings)
        with no_autocast(embeddings):
            tuples = self.tuples(embeddings, labels, indices_tuple, ref_emb, ref_labels)
            losses = self.tuple_losses(tuples)
        if self.collect_stats:
            self._record(tuples, losses)
        step = indices_tuple.tuple_size if is_laid_out else 1
        queries = torch.arange(0, len(embeddings), step, device=embeddings.device)
        if not is_laid_out:
            counting = tuples.counting()
            if tuples.row_of is not None:
                losses, counting = losses[tuples.row_of], counting[tuples.row_of]
            if type(self.reducer) is MeanReducer:
                # The mean over those that count, without asking the device which they are.
                losses = losses * (counting * (len(losses) / counting.sum().clamp(min=1)))
            else:
                losses, queries = losses[counting], queries[counting]
                if len(losses) == 0:
                    return self._nothing(embeddings)
        return {
            "loss": {
                "losses": losses,
                "indices": queries,
                "reduction_type": "element",
                "divisor": len(losses),
            }
        }

    def _laid_out(self, embeddings: Tensor, indices: TupleIndices) -> Tuples:
        if len(embeddings) != indices.batch_size:
            raise ValueError(
                f"{len(embeddings)} embeddings, but indices_tuple is laid out for "
                f"{indices.num_tuples} x ({indices.positives} + {indices.negatives}) = "
                f"{indices.batch_size}"
            )
        shape = (indices.num_tuples, indices.tuple_size, -1)
        # Inner products pay where a tuple has fewer members than the embedding has numbers.
        if is_squared_euclidean(self.distance) and indices.tuple_size <= embeddings.shape[1]:
            return self._products(embeddings, shape, indices.positives)
        members = prepared(self.distance, embeddings).reshape(shape)
        points = split(members, indices.positives, self.has_query)
        rows = whole(members, indices.positives, self.has_query)
        queries = None if self.has_query else members[:, 0]
        return PointTuples(*rows, points, self.measure, queries)

    def _products(self, embeddings: Tensor, shape: tuple[int, int, int], positives: int) -> Tuples:
        normalize = self.distance.normalize_embeddings
        if isinstance(self.distance, MahalanobisDistance):
            embeddings, normalize = prepared(self.distance, embeddings), False
        members = embeddings.reshape(shape)
        return ProductTuples(members, positives, self.has_query, normalize)

    def _by_class(self, embeddings: Tensor, labels: Tensor) -> Tuples:
        points = prepared(self.distance, embeddings)
        classes, row_of = torch.unique(labels, return_inverse=True)
        is_member = classes[:, None] == labels
        positives, negatives = Rows(is_member, points.dtype), Rows(~is_member, points.dtype)
        tuples = PointTuples(positives, negatives, (points, points), self.measure)
        tuples.row_of = row_of
        return tuples

    def _masked(
        self,
        embeddings: Tensor,
        ref_emb: Tensor,
        masks: tuple[Tensor, Tensor],
        keeps_query: Tensor | None = None,
    ) -> Tuples:
        positive, negative = masks
        queries = points = prepared(self.distance, embeddings)
        is_query = torch.eye(len(queries), dtype=torch.bool, device=queries.device)
        own = is_query if keeps_query is None else is_query & keeps_query[:, None]
        if ref_emb is embeddings:
            positive = positive & ~is_query
            positive = positive | own if self.has_query else positive
        else:
            points = prepared(self.distance, ref_emb)
            if self.has_query:
                # The query is a member of its own cluster, but not among the references.
                points = torch.cat([queries, points])
                positive = torch.cat([own, positive], dim=1)
                negative = torch.cat([torch.zeros_like(own), negative], dim=1)
        negatives, both = Rows(negative, points.dtype), (points, points)
        if self.has_query:
            return PointTuples(Rows(positive, points.dtype), negatives, both, self.measure)
        if _must_not_wait(positive):
            positives = Rows(positive, points.dtype)
            return PointTuples(positives, negatives, both, self.measure, queries)
        rows, columns = positive.nonzero(as_tuple=True)
        pairs = Segments(columns >= 0, points.dtype, rows, len(queries))
        return MatrixTuples(pairs, columns, negatives, points, self.measure, queries)

    def _listed(
        self,
        embeddings: Tensor,
        ref_emb: Tensor,
        pairs: tuple[Pairs, Pairs],
        keeps_query: Tensor | None,
    ) -> Tuples:
        (anchors, others), (rows, columns) = pairs
        queries = points = prepared(self.distance, embeddings)
        count = len(queries)
        counts, are_negative = (first_of_each(each, len(ref_emb)) for each in pairs)
        if ref_emb is embeddings:
            counts = counts & (anchors != others)
        else:
            points = prepared(self.distance, ref_emb)
        members = points.index_select(0, others)
        if self.has_query:
            own = counts.new_ones(count) if keeps_query is None else keeps_query
            counts = torch.cat([own, counts])
            anchors = torch.cat([torch.arange(count, device=anchors.device), anchors])
            members = torch.cat([queries, members])
        return PointTuples(
            Segments(counts, points.dtype, anchors, count),
            Segments(are_negative, points.dtype, rows, count),
            (members, points.index_select(0, columns)),
            self.measure,
            None if self.has_query else queries,
        )

    def _nothing(self, embeddings: Tensor) -> dict[str, dict[str, Any]]:
        losses = {"losses": self._zero(embeddings), "indices": None}
        return {"loss": {**losses, "reduction_type": "already_reduced"}}

    def _zero(self, embeddings: Tensor) -> Tensor:
        """A zero that every tensor takes part in, so that no process of DDP lacks a gradient."""
        zero = embeddings.sum() * 0.0
        return zero + sum((weight.sum() * 0.0 for weight in self.parameters()), start=zero)

    def _record(self, tuples: Tuples, losses: Tensor) -> None:
        """Shares of positives and of tuples, among the tuples that count."""
        counting = tuples.counting()
        members = tuples.positives
        kept = equations.mined(tuples) if self.has_query else members.mask
        table = torch.stack(
            [
                members.sum(members.ones(kept)),
                members.sum(members.ones(members.mask)),
                (losses > 0).to(losses.dtype),
                torch.ones_like(losses),
            ]
        )
        table = table * counting
        if tuples.row_of is not None:
            table = table[:, tuples.row_of]
        kept_ones, all_ones, with_loss, count = table.sum(dim=1).tolist()
        self.positives_kept = kept_ones / max(all_ones, 1)
        self.tuples_with_loss = with_loss / max(count, 1)


def _must_not_wait(labels: Tensor) -> bool:
    """Whether asking for values would wait for a device or break a graph."""
    return labels.device.type != "cpu" or torch.compiler.is_compiling()
