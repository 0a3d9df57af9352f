"""A callback that configurations name by its class path: what each step of training saw."""

from pathlib import Path

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from ferlit.data.loading.dataset import Batch


class RecordBatches(Callback):
    """Writes each rank's batches of images and rows to ``<folder>/<epoch>-<step>-<rank>.pt``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{trainer.current_epoch}-{batch_idx}-{trainer.global_rank}.pt"
        torch.save((batch.image, batch.row), self.folder / name)
