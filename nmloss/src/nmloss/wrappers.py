"""PML's wrappers that take a loss by its name, opened for the losses of this package."""

from typing import Any

import torch
from pytorch_metric_learning import losses as pml
from torch import Tensor

from nmloss.arguments import check_real, whole
from nmloss.base import TupleLoss
from nmloss.indices import index_tensors
from nmloss.labels.tensors import alike, are_comparable, whole_numbers
from nmloss.labels.values import entries


class CrossBatchMemory(pml.CrossBatchMemory):  # type: ignore[misc]
    """PML's ``CrossBatchMemory`` for the losses of this package as well.

    The members of the memory have no gradient; the query, a member of its own cluster, has one.
    Labels are remembered from batch to batch and must be numbers: whole ones in every batch, or in
    none. The state dict also says how far the memory is filled, which PML's forgets; one without it
    loads too.

    >>> import torch
    >>> from nmloss import NMTupleClustersLoss
    >>> loss_fn = CrossBatchMemory(NMTupleClustersLoss(), embedding_size=8, memory_size=64)
    >>> loss_fn(torch.randn(16, 8, requires_grad=True), torch.arange(16) % 4).backward()
    """

    def __init__(
        self, loss: Any, embedding_size: int, memory_size: int = 1024, miner: Any = None, **pml: Any
    ) -> None:
        embedding_size = whole("embedding_size", embedding_size, 1)
        super().__init__(loss, embedding_size, whole("memory_size", memory_size, 1), miner, **pml)

    @staticmethod
    def supported_losses() -> list[str]:
        return [*pml.CrossBatchMemory.supported_losses(), *_names()]

    def forward(
        self,
        embeddings: Tensor,
        labels: Any,
        indices_tuple: Any = None,
        enqueue_mask: Any = None,
    ) -> Any:
        """As PML's.

        Args:
            embeddings: (B, D).
            labels: (B,) numbers, in a tensor or in anything else.
            indices_tuple: See PML; indices into the memory.
            enqueue_mask: (B,) bool, what is remembered and not trained on; None for all.

        Returns:
            What the loss returns.

        Raises:
            ValueError: an argument has another form, or more are to be remembered than there is
                room for.
        """
        check_real("embeddings", embeddings, (2,))
        if embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"embeddings of size {embeddings.shape[1]}, "
                f"but the memory was made with embedding_size={self.embedding_size}"
            )
        labels = self._comparable(labels, embeddings)
        if indices_tuple is not None:
            indices_tuple = tuple(index_tensors(indices_tuple, embeddings.device))
        count = len(embeddings)
        if enqueue_mask is not None:
            enqueue_mask = torch.as_tensor(enqueue_mask, device=embeddings.device)
            if enqueue_mask.dtype != torch.bool or enqueue_mask.shape != (count,):
                raise ValueError(
                    f"enqueue_mask of shape {tuple(enqueue_mask.shape)} and {enqueue_mask.dtype}: "
                    f"needed is torch.bool for {count} embeddings"
                )
            count = int(enqueue_mask.sum())
        if count > self.memory_size:
            raise ValueError(f"memory_size={self.memory_size}: less than the {count} of this batch")
        return super().forward(embeddings, labels, indices_tuple, enqueue_mask)

    def _comparable(self, labels: Any, embeddings: Tensor) -> Tensor:
        """Labels of a dtype in which those that are remembered are the same values."""
        if not are_comparable([labels]):
            found = whole_numbers(entries({"labels": labels}))
            if found is None:
                raise ValueError(
                    "labels: they are remembered, so needed are whole numbers, or a tensor"
                )
            labels = found[0]
        same: Tensor | None = alike("labels", labels, None, embeddings, embeddings)[0]
        assert same is not None
        memory: torch.dtype = self.label_memory.dtype
        if self.queue_idx == 0 and not self.has_been_filled:
            return same
        if same.is_floating_point() != memory.is_floating_point:
            raise ValueError(f"labels of {same.dtype}: those remembered are of {memory}")
        return same.to(torch.promote_types(same.dtype, memory))

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}queue"] = torch.tensor([self.queue_idx, self.has_been_filled])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        queue = state_dict.pop(f"{prefix}queue", None)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if queue is not None:
            self.queue_idx, is_filled = queue.tolist()
            self.has_been_filled = bool(is_filled)


class SelfSupervisedLoss(pml.SelfSupervisedLoss):  # type: ignore[misc]
    """PML's ``SelfSupervisedLoss`` for the losses of this package as well.

    >>> import torch
    >>> from nmloss import NPlusOneTupletLoss
    >>> loss_fn = SelfSupervisedLoss(NPlusOneTupletLoss())
    >>> loss_fn(torch.randn(16, 8, requires_grad=True), torch.randn(16, 8)).backward()
    """

    @staticmethod
    def supported_losses() -> list[str]:
        return [*pml.SelfSupervisedLoss.supported_losses(), *_names()]

    def forward(self, embeddings: Tensor, ref_emb: Tensor) -> Any:
        """As PML's, on two views (B, D) of the same.

        Raises:
            ValueError: the views differ in shape.
        """
        if embeddings.shape != ref_emb.shape:
            raise ValueError(
                f"embeddings of shape {tuple(embeddings.shape)} and ref_emb of shape "
                f"{tuple(ref_emb.shape)}: needed are two views of the same"
            )
        return super().forward(embeddings, ref_emb)


def _names() -> list[str]:
    """The losses of this package."""
    return sorted(loss.__name__ for loss in TupleLoss.__subclasses__())
