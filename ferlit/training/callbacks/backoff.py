"""The schedule of stage 1: halve the learning rate and go back to the best network.

Liu et al., Adaptive Deep Metric Learning for Identity-Aware Facial Expression Recognition, CVPR
Workshops 2017, Sec. 5.2: "If the training loss increased more than 25% or the validation accuracy
does not improve for ten epochs, the learning rate is halved and the previous network with the best
loss is reloaded."
"""

import math
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor

from ferlit.errors import FerlitError, UsageError

LOSS = "train/loss"
ACCURACY = "val/accuracy"
_STATE = (
    "lowest_loss",
    "highest_accuracy",
    "stalled",
    "reason",
    "network",
    "network_epoch",
    "network_loss",
)


class BackOff(Callback):
    """Halves the learning rate and reloads the best network when training goes wrong or stalls.

    It decides at the end of an epoch, from metrics that are reduced over the processes, and acts at
    the start of the next one: the checkpoints of an epoch so hold the network that was validated.
    What the paper leaves open is settled like this:

    - The training loss is an epoch's mean. It has risen when it is more than ``rise`` above the
      lowest one so far, or is not finite.
    - The accuracy improves when it is higher than ever before. It has not improved for ``patience``
      epochs when that many in a row did not; after a back-off they are counted anew.
    - The best network is the one after the epoch with the lowest training loss, as the paper says,
      or, with ``best="accuracy"``, with the highest validation accuracy. Before the first epoch
      it is the network that the fit starts with. It comes with all that the module's state dict
      holds, the parameters of a metric loss too.
    - After a reload, the lowest loss so far is that of the reloaded network: for ``best="loss"``
      nothing changes; for ``best="accuracy"`` the loss of a network from many epochs ago would
      otherwise be too high, and the rate would be halved after each epoch.
    - The optimiser forgets its momentum, which belongs to the abandoned path; then the rates are
      halved.

    Its state is saved with every checkpoint (one more copy of the weights), so a resumed run goes
    on as one never stopped. ``ferlit fit`` logs the rate as ``train/learning_rate``, and stops by
    itself where a loss is not finite, before this callback sees it.

    Args:
        rise: How far above the lowest one a training loss may be; 0.25 is 25 %.
        patience: Epochs without a higher validation accuracy.
        factor: What a learning rate is multiplied with.
        minimum: No rate is lowered below it; at it the network is still reloaded.
        best: "loss" or "accuracy".

    Raises:
        FerlitError: a value is out of range; when a fit starts, a learning rate schedule is there
            as well, or not every epoch is validated; at the end of an epoch, a metric was not
            logged.

    >>> BackOff(patience=0)
    Traceback (most recent call last):
        ...
    ferlit.errors.UsageError: BackOff: patience=0; it must be at least 1
    """

    def __init__(
        self,
        rise: float = 0.25,
        patience: int = 10,
        factor: float = 0.5,
        minimum: float = 1e-6,
        best: Literal["loss", "accuracy"] = "loss",
    ) -> None:
        for name, value, is_allowed, claim in (
            ("rise", rise, rise > 0, "be above 0"),
            ("patience", patience, patience >= 1, "be at least 1"),
            ("factor", factor, 0 < factor < 1, "lie between 0 and 1"),
            ("minimum", minimum, minimum >= 0, "be at least 0"),
            ("best", best, best in ("loss", "accuracy"), "be 'loss' or 'accuracy'"),
        ):
            if not is_allowed:
                raise UsageError(f"BackOff: {name}={value!r}; it must {claim}")
        self.rise = rise
        self.patience = patience
        self.factor = factor
        self.minimum = minimum
        self.best = best
        self.console = Console()
        self.lowest_loss = math.inf
        self.highest_accuracy = -math.inf
        self.stalled = 0
        self.reason = ""  # why the next epoch starts with a back-off; "" for none
        self.network: dict[str, Tensor] = {}
        self.network_epoch = 0  # epochs of training behind the best network
        self.network_loss = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.lr_scheduler_configs:
            raise UsageError(
                "BackOff and a learning rate schedule would both set the rate: leave out "
                "model.init_args.lr_scheduler, or take BackOff out of trainer.callbacks"
            )
        if trainer.check_val_every_n_epoch != 1:
            raise UsageError(
                "BackOff counts epochs by their validation accuracy: leave out "
                "trainer.check_val_every_n_epoch"
            )
        if not self.network:
            self._keep(pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.reason:
            return
        pl_module.load_state_dict(self.network)
        groups = []
        for optimizer in trainer.optimizers:
            # Before the rates: what an optimiser remembers may bring its old rate back.
            optimizer.state.clear()
            groups += optimizer.param_groups
        before = groups[0]["lr"]
        for group in groups:
            group["lr"] = min(group["lr"], max(group["lr"] * self.factor, self.minimum))
        if trainer.is_global_zero:
            origin = f"epoch {self.network_epoch}" if self.network_epoch else "the start"
            self.console.print(
                f"back-off: {self.reason}; the network of {origin} is back, "
                f"learning rate {before:g} -> {groups[0]['lr']:g}",
                highlight=False,
                soft_wrap=True,
            )
        self.lowest_loss = self.network_loss
        self.stalled = 0
        self.reason = ""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loss, accuracy = (_metric(trainer, name) for name in (LOSS, ACCURACY))
        limit = self.lowest_loss * (1 + self.rise)
        is_lowest, is_highest = loss < self.lowest_loss, accuracy > self.highest_accuracy
        self.stalled = 0 if is_highest else self.stalled + 1
        if not math.isfinite(loss):
            self.reason = f"the training loss is {loss}"
        elif loss > limit:
            self.reason = (
                f"the training loss {loss:.4f} is more than {self.rise:.0%} above the lowest, "
                f"{self.lowest_loss:.4f}"
            )
        elif self.stalled >= self.patience:
            self.reason = (
                f"for {self.stalled} epochs the validation accuracy was not above "
                f"{self.highest_accuracy:.4f}"
            )
        if math.isfinite(loss):
            self.lowest_loss = min(loss, self.lowest_loss)
            self.highest_accuracy = max(accuracy, self.highest_accuracy)
            if is_lowest if self.best == "loss" else is_highest:
                self._keep(pl_module, trainer.current_epoch + 1, loss)

    def _keep(self, module: LightningModule, epoch: int = 0, loss: float = math.inf) -> None:
        self.network = {name: value.clone() for name, value in module.state_dict().items()}
        self.network_epoch = epoch
        self.network_loss = loss

    def state_dict(self) -> dict[str, Any]:
        """Counters and the best network: plain numbers, text and tensors."""
        return {name: getattr(self, name) for name in _STATE}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, state_dict[name])


def _metric(trainer: Trainer, name: str) -> float:
    """A metric of this epoch, reduced over the processes."""
    try:
        return float(trainer.callback_metrics[name])
    except KeyError:
        logged = ", ".join(sorted(trainer.callback_metrics)) or "nothing"
        raise FerlitError(f"BackOff needs the metric {name}; this run logs {logged}") from None
