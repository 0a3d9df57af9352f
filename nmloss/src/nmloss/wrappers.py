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
    none. The state dict also says how far the memory is filled, which PML's forgets; of one without
    it, PML's, all that is not zero counts as remembered.

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
        enqueue_mask = self._checked_mask(embeddings, enqueue_mask)
        labels = self._comparable("labels", labels, embeddings, self.label_memory.dtype)
        if indices_tuple is not None:
            indices_tuple = tuple(index_tensors(indices_tuple, embeddings.device))
        count = len(embeddings) if enqueue_mask is None else int(enqueue_mask.sum())
        self._check_room(count)
        return super().forward(embeddings, labels, indices_tuple, enqueue_mask)

    def add_to_memory(self, embeddings: Tensor, labels: Tensor, batch_size: int) -> None:
        """PML's hook, which would take a memory that nothing is added to for a full one."""
        if batch_size == 0:
            self.curr_batch_idx = torch.zeros(0, dtype=torch.long, device=labels.device)
        else:
            super().add_to_memory(embeddings, labels, batch_size)

    def _checked_mask(self, embeddings: Tensor, enqueue_mask: Any) -> Tensor | None:
        """Refuse embeddings of another size, and a mask that is not theirs."""
        check_real("embeddings", embeddings, (2,))
        if embeddings.shape[1] != self.embedding_size:
            raise ValueError(
                f"embeddings of size {embeddings.shape[1]}, "
                f"but the memory was made with embedding_size={self.embedding_size}"
            )
        if enqueue_mask is None:
            return None
        mask = torch.as_tensor(enqueue_mask, device=embeddings.device)
        if mask.dtype != torch.bool or mask.shape != (len(embeddings),):
            raise ValueError(
                f"enqueue_mask of shape {tuple(mask.shape)} and {mask.dtype}: "
                f"needed is torch.bool for {len(embeddings)} embeddings"
            )
        return mask

    def _check_room(self, count: int) -> None:
        if count > self.memory_size:
            raise ValueError(f"memory_size={self.memory_size}: less than the {count} of this batch")

    def _comparable(
        self, name: str, values: Any, embeddings: Tensor, memory: torch.dtype
    ) -> Tensor:
        """Labels of a dtype in which those that are remembered are the same values."""
        if not are_comparable([values]):
            found = whole_numbers(entries({name: values}))
            if found is None:
                raise ValueError(
                    f"{name}: they are remembered, so needed are whole numbers, or a tensor"
                )
            values = found[0]
        same: Tensor | None = alike(name, values, None, embeddings, embeddings)[0]
        assert same is not None
        if self.queue_idx == 0 and not self.has_been_filled:
            return same
        if same.is_floating_point() != memory.is_floating_point:
            raise ValueError(f"{name} of {same.dtype}: those remembered are of {memory}")
        return same.to(torch.promote_types(same.dtype, memory))

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}queue"] = torch.tensor([self.queue_idx, self.has_been_filled])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        queue = state_dict.pop(f"{prefix}queue", None)
        for name, memory in self._buffers.items():
            if memory is not None and f"{prefix}{name}" in state_dict:
                # In the dtype of the batches: labels that are no whole numbers would be rounded.
                self._buffers[name] = memory.to(state_dict[f"{prefix}{name}"].dtype)
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if queue is not None:
            self.queue_idx, is_filled = queue.tolist()
            self.has_been_filled = bool(is_filled)
        elif f"{prefix}embedding_memory" in state_dict:
            places = self.embedding_memory.any(dim=1).nonzero()
            count = 0 if len(places) == 0 else int(places[-1]) + 1
            self.has_been_filled = count == self.memory_size
            self.queue_idx = count % self.memory_size


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
