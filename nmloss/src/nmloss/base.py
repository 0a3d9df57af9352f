"""From the arguments of pytorch-metric-learning (PML) to tuples, from losses to its reducers."""

from typing import Any

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import BaseMetricLossFunction
from pytorch_metric_learning.reducers import ClassWeightedReducer, MeanReducer, MultipleReducers
from torch import Tensor

from nmloss import equations
from nmloss.arguments import full_precision, no_autocast, number
from nmloss.indices import TupleIndices
from nmloss.labels.tensors import CLASSES, alike, check_references
from nmloss.measures import Measure, measure_of
from nmloss.tuples.builders import build_tuples
from nmloss.tuples.tuples import Tuples


class TupleLoss(BaseMetricLossFunction):  # type: ignore[misc]
    """A loss on tuples, called as any loss of PML.

    A subclass says what the loss of each tuple is, one of `nmloss.equations`.
    """

    mine_positives = False
    query_is_positive = True  # or else all distances are to the query
    sharpness: float | None = None  # of the hinges; None: as they are

    @property
    def measure(self) -> Measure:
        """What the loss measures with."""
        return measure_of(self.distance)

    def tuple_losses(self, tuples: Tuples, sharpness: float | None) -> Tensor:
        """(Q,) losses, the hinges of the given sharpness."""
        raise NotImplementedError

    def __init__(self, **pml: Any) -> None:
        super().__init__(**pml)
        self.add_to_recordable_attributes(
            list_of_names=["positives_kept", "tuples_with_loss"], is_stat=True
        )

    def get_default_distance(self) -> LpDistance:
        return LpDistance(p=2, power=2)

    def parameter_groups(
        self, lr: float, rate: float = 0.1, **options: Any
    ) -> list[dict[str, Any]]:
        """The loss's own parameters for an optimiser, with a smaller learning rate of their own.

        Args:
            lr: The network's learning rate.
            rate: That of the loss, as a share of the network's.
            **options: More of the group, such as ``weight_decay=0.0``.

        Returns:
            One group of those that learn, or none where the loss has none.

        Raises:
            ValueError: ``lr`` or ``rate`` is negative, or no number.

        >>> from nmloss import AdaptiveNMTupleClustersLoss
        >>> encoder, loss_fn = torch.nn.Linear(64, 16), AdaptiveNMTupleClustersLoss(16)
        >>> groups = [{"params": encoder.parameters()}, *loss_fn.parameter_groups(lr=1e-2)]
        >>> [group["lr"] for group in torch.optim.Adam(groups, lr=1e-2).param_groups]
        [0.01, 0.001]
        """
        own_rate = number("lr", lr, is_signed=False) * number("rate", rate, is_signed=False)
        own = [weight for weight in self.parameters() if weight.requires_grad]
        return [{"params": own, "lr": own_rate, **options}] if own else []

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
            labels: (B,), numbers or texts of any kind; not needed beside ``indices_tuple``.
            indices_tuple: None for all pairs, PML's 4-tuple or triplets, or `TupleIndices`.
            ref_emb: (R, D) that the members are taken from; None for the embeddings themselves.
            ref_labels: (R,).

        Returns:
            What the reducer makes of the losses, a scalar by default.

        Raises:
            ValueError: labels and indices are missing, or do not fit the embeddings.
        """
        _check_labels_are_classes(self.reducer, labels)
        check_references("labels", labels, ref_emb, ref_labels)
        embeddings, ref_emb = full_precision(embeddings, ref_emb)
        if ref_emb is embeddings and ref_labels is None:
            ref_labels = labels
        labels, ref_labels = alike("labels", labels, ref_labels, embeddings, ref_emb)
        loss = super().forward(embeddings, labels, indices_tuple, ref_emb, ref_labels)
        if _takes_means(self.reducer) or not isinstance(loss, Tensor):
            return loss
        return loss + self._zero(embeddings)  # a reducer may have dropped all losses

    def embedding_regularization_loss(self, embeddings: Tensor) -> dict[str, Any]:
        """PML's hook, which would divide by the number of embeddings."""
        if len(embeddings) == 0:
            return self._nothing(embeddings)["loss"]
        result: dict[str, Any] = super().embedding_regularization_loss(embeddings)
        return result

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
        if is_laid_out and len(embeddings) != indices_tuple.batch_size:
            raise ValueError(
                f"{len(embeddings)} embeddings, but indices_tuple is laid out for "
                f"{indices_tuple.num_tuples} x ({indices_tuple.positives} + "
                f"{indices_tuple.negatives}) = {indices_tuple.batch_size}"
            )
        if len(embeddings) == 0 or (is_laid_out and indices_tuple.tuple_size == 1):
            return self._nothing(embeddings)
        with no_autocast(embeddings):
            tuples = build_tuples(
                self.measure,
                self.query_is_positive,
                embeddings,
                labels,
                indices_tuple,
                ref_emb,
                ref_labels,
            )
            losses = self.tuple_losses(tuples, self.sharpness)
        if self.collect_stats:
            self._record(tuples, losses)
        step = indices_tuple.tuple_size if is_laid_out else 1
        queries = torch.arange(0, len(embeddings), step, device=embeddings.device)
        if not is_laid_out:
            valid = tuples.valid()
            if tuples.inverse is not None:
                losses, valid = losses[tuples.inverse], valid[tuples.inverse]
            if _takes_means(self.reducer):
                # The mean over those that count, without asking the device which they are.
                losses = losses * (valid * (len(losses) / valid.sum().clamp(min=1)))
            else:
                losses, queries = losses[valid], queries[valid]
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

    def _nothing(self, embeddings: Tensor) -> dict[str, dict[str, Any]]:
        losses = {"losses": self._zero(embeddings), "indices": None}
        return {"loss": {**losses, "reduction_type": "already_reduced"}}

    def _zero(self, embeddings: Tensor) -> Tensor:
        """A zero that every tensor takes part in, so that no process of DDP lacks a gradient."""
        zero = embeddings.sum() * 0.0
        return zero + sum((weight.sum() * 0.0 for weight in self.parameters()), start=zero)

    def _record(self, tuples: Tuples, losses: Tensor) -> None:
        """Shares of positives and of tuples, among the tuples that count.

        A softened hinge never rests: there, the tuples with a loss are those that would have one.
        """
        members = tuples.positives
        if self.sharpness is not None:
            with torch.no_grad(), no_autocast(losses):
                losses = self.tuple_losses(tuples, None)
        kept = equations.mined(tuples) if self.mine_positives else members.mask
        table = torch.stack(
            [
                members.sum(members.weights(kept)),
                members.sum(members.weights(members.mask)),
                (losses > 0).to(losses.dtype),
                torch.ones_like(losses),
            ]
        )
        table = table * tuples.valid()
        if tuples.inverse is not None:
            table = table[:, tuples.inverse]
        num_kept, num_positives, with_loss, count = table.sum(dim=1).tolist()
        self.positives_kept = num_kept / max(num_positives, 1)
        self.tuples_with_loss = with_loss / max(count, 1)


def _takes_means(reducer: Any) -> bool:
    """Whether it takes the mean of the losses, of a regulariser's beside them too."""
    return all(type(each) is MeanReducer for each in _reducers(reducer))


def _check_labels_are_classes(reducer: Any, labels: Any) -> None:
    """A reducer that looks up weights by the labels needs them as they are."""
    is_class = isinstance(labels, Tensor) and labels.dtype in CLASSES
    for each in _reducers(reducer):
        if isinstance(each, ClassWeightedReducer) and not (is_class or labels is None):
            raise ValueError(
                "labels: ClassWeightedReducer takes a weight by each, needed is a tensor of whole "
                f"numbers, got {getattr(labels, 'dtype', type(labels).__name__)}"
            )


def _reducers(reducer: Any) -> list[Any]:
    return [*reducer.reducers.values()] if type(reducer) is MultipleReducers else [reducer]
