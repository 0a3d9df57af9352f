"""PML's wrappers that take a loss by its name, opened for the losses of this package."""

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

    >>> import torch
    >>> from nmloss import NMTupleClustersLoss
    >>> loss_fn = CrossBatchMemory(NMTupleClustersLoss(), embedding_size=8, memory_size=64)
    >>> loss_fn(torch.randn(16, 8, requires_grad=True), torch.arange(16) % 4).backward()
    """

    @staticmethod
    def supported_losses() -> list[str]:
        return [*pml.CrossBatchMemory.supported_losses(), *NAMES]


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
