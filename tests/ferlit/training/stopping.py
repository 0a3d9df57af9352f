"""What stops a fit at a known place, named by class paths in configurations."""

import os
import signal
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from pytorch_metric_learning.losses import TripletMarginLoss
from torch import nn

from ferlit.training import RunLogger
from nmloss import CrossBatchMemory


class Stop(Callback):
    """Ctrl-C, or SIGKILL, in a hook of an epoch, but for the first time only.

    Args:
        hook: Such as "on_train_batch_start".
        epoch: From 0.
        mark: Remembers the first time.
        kill: Whether it is SIGKILL.
    """

    def __init__(self, hook: str, epoch: int, mark: Path, kill: bool = False) -> None:
        self.epoch = epoch
        self.mark = mark
        self.kill = kill
        setattr(self, hook, self._stop)

    def _stop(self, trainer: Trainer, pl_module: LightningModule, *rest: Any) -> None:
        if trainer.current_epoch == self.epoch and not self.mark.exists():
            self.mark.touch()
            if self.kill:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyboardInterrupt


class KilledBeforeRow(RunLogger):
    """SIGKILL before the row of an epoch's training is logged, when its checkpoints are there."""

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        mark = Path(self.log_dir, "killed")
        if metrics.get("epoch") == 1 and "train/loss" in metrics and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().log_metrics(metrics, step)


class Dropping(nn.Sequential):
    """A backbone that draws from torch's global random numbers, and has batch statistics."""

    out_features = 32

    def __init__(self) -> None:
        super().__init__(
            nn.AvgPool2d(6),
            nn.Flatten(),
            nn.Linear(64, 32),
            nn.BatchNorm1d(32),
            nn.ReLU(),
            nn.Dropout(0.3),
        )


class Memory(CrossBatchMemory):
    """A metric loss that remembers embeddings of former batches."""

    def __init__(self) -> None:
        super().__init__(TripletMarginLoss(), embedding_size=128, memory_size=200)
