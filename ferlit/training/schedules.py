"""Learning rates over the epochs, beside those of torch."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ferlit.errors import UsageError


class WarmupCosine(LambdaLR):
    """The rate rises in a straight line over the first epochs, then falls along half a cosine.

    Goyal et al., arXiv:1706.02677; Loshchilov and Hutter, ICLR 2017.

    Args:
        optimizer: Its rate is the highest of the schedule.
        epochs: All epochs, those of the rise included.
        warmup: Epochs of the rise; the first has 1 / (warmup + 1) of the rate.
        lowest: Where the cosine ends, as a share of the rate.

    Raises:
        UsageError: an argument is out of range.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = WarmupCosine(optimizer, epochs=5, warmup=1)
    >>> rates = []
    >>> for _ in range(5):
    ...     rates.append(round(schedule.get_last_lr()[0], 2))
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates
    [0.5, 1.0, 0.85, 0.5, 0.15]
    """

    def __init__(
        self, optimizer: Optimizer, epochs: int, warmup: int = 5, lowest: float = 0.0
    ) -> None:
        if not 0 <= warmup < epochs:
            raise UsageError(f"warmup={warmup}: from 0 to below epochs={epochs}")
        if not 0 <= lowest <= 1:
            raise UsageError(f"lowest={lowest}: from 0 to 1")
        self.epochs = epochs
        self.warmup = warmup
        self.lowest = lowest
        super().__init__(optimizer, self._share)

    def _share(self, epoch: int) -> float:
        if epoch < self.warmup:
            return (epoch + 1) / (self.warmup + 1)
        passed = min((epoch - self.warmup) / (self.epochs - self.warmup), 1.0)
        return self.lowest + (1 - self.lowest) * (1 + math.cos(math.pi * passed)) / 2
