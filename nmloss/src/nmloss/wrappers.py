"""PML's wrappers that take a loss by its name, opened for the losses of this package."""

from typing import Any

import torch
from pytorch_metric_learning import losses as pml

NAMES = [
    "AdaptiveNMTupleClustersLoss",
    "CoupledClustersLoss",
    "NMTupleClustersLoss",
    "NPlusOneTupletLoss",
]


class CrossBatchMemory(pml.CrossBatchMemory):  # type: ignore[misc]
    """PML's ``CrossBatchMemory`` for the losses of this package as well.

    The members of the memory have no gradient; the query, a member of its own cluster, has one.
    The state dict also says how far the memory is filled, which PML's does not; one without that
    loads too.

    >>> import torch
    >>> from nmloss import NMTupleClustersLoss
    >>> loss_fn = CrossBatchMemory(NMTupleClustersLoss(), embedding_size=8, memory_size=64)
    >>> loss_fn(torch.randn(16, 8, requires_grad=True), torch.arange(16) % 4).backward()
    """

    @staticmethod
    def supported_losses() -> list[str]:
        return [*pml.CrossBatchMemory.supported_losses(), *NAMES]

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
        return [*pml.SelfSupervisedLoss.supported_losses(), *NAMES]
