"""What goes into ``metrics.csv`` beside losses and accuracies: mining, threshold, learning rate."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from nmloss import AdaptiveNMTupleClustersLoss
from nmloss.base import TupleLoss

NAMES = ("positives_kept", "tuples_with_loss")


class MiningStatistics(Callback):
    """Logs what the metric loss did in an epoch.

    ``metric/positives_kept`` is the share of the positives that online mining keeps (Liu et al.
    2017, Algorithm 1), ``metric/tuples_with_loss`` the share of the tuples with an active hinge,
    ``metric/threshold`` the learned threshold b at the end of the epoch (Eq. 8). The shares are
    means over every ``interval``-th batch: there the loss is computed once more, without gradients,
    outside of what ``torch.compile`` has made of it. Nothing is logged of a loss that is no loss of
    nmloss, nor of one inside a larger compiled graph.

    Args:
        interval: Batches from one measurement to the next.

    Raises:
        ValueError: ``interval`` is not positive.
    """

    def __init__(self, interval: int = 10) -> None:
        if interval < 1:
            raise ValueError(f"interval={interval}: at least 1")
        self.interval = interval
        self._shares: defaultdict[str, list[float]] = defaultdict(list)
        self._is_due = False
        self._undo: list[Callable[[], None]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metric_loss = getattr(pl_module, "metric_loss", None)
        if isinstance(metric_loss, nn.Module):
            self._undo = [
                after_call(called, self._measure) for called, _ in tuple_losses(metric_loss)
            ]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._is_due = batch_idx % self.interval == 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        values = {name: fmean(shares) for name, shares in self._shares.items()}
        self._shares.clear()
        metric_loss = getattr(pl_module, "metric_loss", None)
        if isinstance(metric_loss, nn.Module):
            for _, loss in tuple_losses(metric_loss):
                if isinstance(loss, AdaptiveNMTupleClustersLoss):
                    values["threshold"] = loss.bias.item()
        for name, value in values.items():
            pl_module.log(f"metric/{name}", value, sync_dist=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def _measure(self, called: nn.Module, *args: Any, **kwargs: Any) -> None:
        # Inside a compiled graph there is nothing to read; returning keeps the graph whole.
        if torch.compiler.is_compiling() or not self._is_due:
            return
        self._is_due = False
        loss = compiled_from(called)
        loss.collect_stats = True
        try:
            with torch.no_grad():
                # forward, not the call: that would measure again.
                loss.forward(*args, **kwargs)
        finally:
            loss.collect_stats = False
        for name in NAMES:
            self._shares[name].append(float(getattr(loss, name)))

    def _stop(self) -> None:
        for undo in self._undo:
            undo()
        self._undo = []


class LearningRate(Callback):
    """Logs the learning rate of an epoch's last step.

    It is ``train/learning_rate``; further groups of parameters follow with their numbers,
    ``train/learning_rate_1`` and so on.
    """

    def __init__(self) -> None:
        self._rates: list[float] = []

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        self._rates = [group["lr"] for group in optimizer.param_groups]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number, rate in enumerate(self._rates):
            name = f"train/learning_rate{f'_{number}' if number else ''}"
            pl_module.log(name, float(rate), sync_dist=True)


def tuple_losses(metric_loss: nn.Module) -> Iterator[tuple[nn.Module, TupleLoss]]:
    """The losses of nmloss in a loss, each with the module that is called for it.

    They differ for a loss that ``torch.compile`` has wrapped.

    >>> from nmloss import CoupledClustersLoss
    >>> [type(loss).__name__ for _, loss in tuple_losses(CoupledClustersLoss())]
    ['CoupledClustersLoss']
    """
    wrapped = {
        id(compiled_from(module))
        for module in metric_loss.modules()
        if compiled_from(module) is not module
    }
    for module in metric_loss.modules():
        loss = compiled_from(module)
        if isinstance(loss, TupleLoss) and id(module) not in wrapped:
            yield module, loss


def after_call(module: nn.Module, look: Callable[..., None]) -> Callable[[], None]:
    """Have ``look(module, *args, **kwargs)`` called after each call of a module.

    Returns:
        What undoes it.

    >>> layer = nn.Identity()
    >>> undo = after_call(layer, lambda module, value: print("called with", value))
    >>> layer(3)
    called with 3
    3
    >>> undo()
    >>> layer(3)
    3
    """
    compiled = module._compiled_call_impl
    if compiled is None:
        hook = module.register_forward_hook(
            lambda module, args, kwargs, _: look(module, *args, **kwargs), with_kwargs=True
        )
        return hook.remove

    # Of a module compiled in place (`module.compile()`), hooks would be compiled with it.
    def call(*args: Any, **kwargs: Any) -> Any:
        result = compiled(*args, **kwargs)
        look(module, *args, **kwargs)
        return result

    def undo() -> None:
        module._compiled_call_impl = compiled

    module._compiled_call_impl = call
    return undo


def compiled_from(module: nn.Module) -> Any:
    """The module that ``torch.compile`` made this one of, or else itself."""
    return module._modules.get("_orig_mod", module)
