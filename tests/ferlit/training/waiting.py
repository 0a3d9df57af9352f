"""Callbacks that configurations name by their class path, to stop a fit at a known place."""

import time
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer


class WaitOnce(Callback):
    """Waits in the second epoch, but for the first time only, which ``mark`` remembers."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == 1 and not self.mark.exists():
            self.mark.touch()
            time.sleep(300)


class InterruptAtOnce(Callback):
    """Somebody presses Ctrl-C in the first epoch."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        raise KeyboardInterrupt
