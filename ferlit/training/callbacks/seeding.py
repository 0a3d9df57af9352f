"""Every epoch begins with random numbers of its own, so that a resumed one draws the same."""

import os
import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer


class SeedEpochs(Callback):
    """Seeds the random numbers of torch, numpy and Python by (seed, epoch, process).

    What a network draws in training, such as the masks of dropout, so depends on the epoch and not
    on what was drawn before it. The seed is that of ``--seed_everything``; without one nothing is
    seeded. The images' order, tuples and augmentation have seeds of their own (``--data.seed``).
    """

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Not when the epoch starts: the loaders draw between that and the first batch, or before
        # it where a run is resumed.
        seed = os.environ.get("PL_GLOBAL_SEED")
        if batch_idx == 0 and seed is not None:
            sequence = np.random.SeedSequence(
                (int(seed), trainer.current_epoch, trainer.global_rank)
            )
            drawn = int(sequence.generate_state(1)[0])
            random.seed(drawn)
            np.random.seed(drawn)  # noqa: NPY002 - whoever draws from it shall draw the same
            torch.manual_seed(drawn)
