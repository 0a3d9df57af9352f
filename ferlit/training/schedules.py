"""Learning rates over the epochs: schedules that take their length from the trainer."""

import logging
import math
from typing import Any

from torch import optim
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from ferlit.errors import UsageError

logger = logging.getLogger(__name__)
_LENGTHS = ("T_max", "epochs", "total_steps")  # what schedules call their number of epochs


class CosineAnnealingLR(optim.lr_scheduler.CosineAnnealingLR):
    """torch's schedule, whose length may be that of the training.

    A fit that goes on with more epochs than it was begun with follows the longer cosine from there.

    Args:
        optimizer: Its rate is the first one.
        T_max: Epochs of the half cosine; None for all epochs of the trainer.
        eta_min: The rate at its end.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> schedule = CosineAnnealingLR(optimizer)
    >>> set_length(schedule, epochs=2)
    >>> optimizer.step()
    >>> schedule.step()
    >>> round(schedule.get_last_lr()[0], 2)
    0.5
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int | None = None,  # noqa: N803 - torch calls it so
        eta_min: float = 0.0,
    ) -> None:
        if T_max is not None and T_max < 1:
            raise UsageError(f"T_max={T_max}: at least 1, or null for all epochs")
        self.is_open = T_max is None
        super().__init__(optimizer, T_max or 1, eta_min)

    def get_lr(self) -> list[Any]:
        """The rates of this epoch, whatever those before it were."""
        return self._get_closed_form_lr()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = {name: self.__dict__[name] for name in ("T_max", "is_open")}
        super().load_state_dict(state_dict | own)
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


class WarmupCosine(LambdaLR):
    """The rate rises in a straight line over the first epochs, then falls along half a cosine.

    Goyal et al., arXiv:1706.02677; Loshchilov and Hutter, ICLR 2017.

    Args:
        optimizer: Its rate is the highest of the schedule.
        epochs: All epochs, those of the rise included; None for those of the trainer.
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
        self,
        optimizer: Optimizer,
        epochs: int | None = None,
        warmup: int = 5,
        lowest: float = 0.0,
    ) -> None:
        if not 0 <= warmup < (warmup + 1 if epochs is None else epochs):
            raise UsageError(f"warmup={warmup}: from 0 to below epochs={epochs}")
        if not 0 <= lowest <= 1:
            raise UsageError(f"lowest={lowest}: from 0 to 1")
        self.is_open = epochs is None
        self.epochs = warmup + 1 if epochs is None else epochs
        self.warmup = warmup
        self.lowest = lowest
        super().__init__(optimizer, self._share)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        own = {name: self.__dict__[name] for name in ("epochs", "is_open")}
        super().load_state_dict(state_dict | own)
        self._last_lr = [rate * self._share(self.last_epoch) for rate in self.base_lrs]
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate

    def _share(self, epoch: int) -> float:
        if epoch < self.warmup:
            return (epoch + 1) / (self.warmup + 1)
        passed = min((epoch - self.warmup) / (self.epochs - self.warmup), 1.0)
        return self.lowest + (1 - self.lowest) * (1 + math.cos(math.pi * passed)) / 2


def set_length(schedule: LRScheduler, epochs: int | None) -> None:
    """Give a schedule the epochs of the trainer; say so where it has other ones of its own.

    Args:
        schedule: One of ours without a length takes them, any other keeps its own.
        epochs: Of the trainer; None or -1 where it does not count them.

    Raises:
        UsageError: neither says how many there are, or it rises for longer than it lasts.
    """
    count = epochs or -1
    name = next((name for name in _LENGTHS if hasattr(schedule, name)), None)
    if name is None:
        return
    kind = type(schedule).__name__
    if getattr(schedule, "is_open", False):
        if count < 0:
            raise UsageError(
                f"{kind}: how many epochs it has is not known; give --trainer.max_epochs, or "
                f"--model.lr_scheduler.{name}"
            )
        if getattr(schedule, "warmup", 0) >= count:
            raise UsageError(
                f"warmup={schedule.warmup}: from 0 to below --trainer.max_epochs {count}"  # type: ignore[attr-defined]
            )
        setattr(schedule, name, count)
    elif count > 0 and getattr(schedule, name) != count:
        length = getattr(schedule, name)
        end = "stops on its way" if length > count else "is at its end before the training is"
        logger.warning(
            "%s has %s=%d and the training --trainer.max_epochs %d: the learning rate %s; give "
            "--model.lr_scheduler.%s=%d, or ferlit.training.CosineAnnealingLR, which takes its "
            "length from the trainer",
            *(kind, name, length, count, end, name, count),
        )
