"""A run stops where its training loss is no number any more, and says on which images."""

import math
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ferlit.errors import FerlitError
from ferlit.runs.folder import RunFolder
from ferlit.training.callbacks.summary import is_trial, run_folder

NON_FINITE = "non_finite.csv"


class Step(NamedTuple):
    """What is kept of a step until its loss is looked at.

    Args:
        epoch: Number of its epoch, from 0.
        batch: Number of its batch, from 0.
        row: (B,) rows of the record table, or None where batches do not say.
        losses: Name -> scalar, on the device; "loss" is the one that trains.
    """

    epoch: int
    batch: int
    row: Tensor | None
    losses: dict[str, Tensor]


class StopOnNonFinite(Callback):
    """Stops a fit whose training loss is infinite or not a number.

    On one CPU every loss is looked at before its step, which costs nothing: the weights stay good.
    On other devices, and with several processes, that would wait for the device in each step; there
    the losses of all steps are looked at together, every ``log_every_n_steps`` steps and before
    validation. Weights that such a step has spoilt never reach a checkpoint: what is to be saved is
    looked at as well, so that the last checkpoint is a good one.

    The images of the first bad batch are written into the run's ``non_finite.csv``.
    """

    def __init__(self) -> None:
        self._batch: Any = None
        self._batch_idx = 0
        self._steps: list[Step] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._batch, self._batch_idx = batch, batch_idx

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        parts = getattr(pl_module, "last_losses", {})
        losses = {"loss": loss.detach(), **parts}
        row = getattr(self._batch, "row", None)
        self._steps.append(Step(trainer.current_epoch, self._batch_idx, row, losses))
        if pl_module.device.type == "cpu" and trainer.world_size == 1:
            self._look(trainer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._batch = None
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and (batch_idx + 1) % every == 0:
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Other buffers may well hold infinities: a mask, for example.
        buffers = {name for name, _ in pl_module.named_buffers() if ".running_" not in name}
        state = checkpoint["state_dict"]
        if not all_finite({name: state[name] for name in state.keys() - buffers}):
            raise FerlitError(
                f"the weights after {trainer.global_step} steps are not finite, so they were not "
                f"saved. {_advice(_folder(trainer))}"
            )

    def _look(self, trainer: Trainer) -> None:
        steps, self._steps = self._steps, []
        bad = _first_bad(steps)
        # All processes stop together, or the others would wait for the one that did.
        if not trainer.strategy.reduce_boolean_decision(bad is not None, all=False):
            return
        run = run_folder(trainer)
        if bad is None:
            raise FerlitError(f"the training loss of another process is not finite; see {run.path}")
        values = {name: float(value) for name, value in bad.losses.items()}
        rank = trainer.global_rank
        path = run.path / (f"non_finite_{rank}.csv" if rank else NON_FINITE)
        if not is_trial(trainer):
            run.path.mkdir(parents=True, exist_ok=True)
            _table(trainer, bad, values).to_csv(path, index=False)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise FerlitError(
            f"the training loss is not finite in epoch {bad.epoch + 1}, batch {bad.batch + 1} "
            f"({shown}); its images are listed in {path}. {_advice(run)}"
        )


def all_finite(values: dict[str, Any]) -> bool:
    """Whether all numbers in all tensors are finite.

    >>> all_finite({"weight": torch.ones(2), "count": torch.tensor(3)})
    True
    >>> all_finite({"weight": torch.tensor([1.0, torch.nan])})
    False
    """
    tensors = [
        value
        for value in values.values()
        if isinstance(value, Tensor) and value.is_floating_point() and value.numel()
    ]
    checks = [torch.isfinite(tensor).all().cpu() for tensor in tensors]
    return all(map(bool, checks))


def _first_bad(steps: list[Step]) -> Step | None:
    if not steps:
        return None
    losses = torch.stack([step.losses["loss"].float() for step in steps]).tolist()
    return next(
        (step for step, loss in zip(steps, losses, strict=True) if not math.isfinite(loss)), None
    )


def _table(trainer: Trainer, step: Step, losses: dict[str, float]) -> pd.DataFrame:
    store = getattr(trainer.datamodule, "store", None)  # type: ignore[attr-defined]
    if step.row is None or store is None:
        return pd.DataFrame([losses])
    columns = ["image", "identity", "sequence", "expression"]
    table: pd.DataFrame = store.records[columns].iloc[step.row.cpu().numpy()]
    names = {"index": "row", "expression": "label"}
    return table.reset_index().rename(columns=names).assign(**losses)


def _folder(trainer: Trainer) -> RunFolder:
    return RunFolder(Path(getattr(trainer.logger, "log_dir", None) or trainer.default_root_dir))


def _advice(run: RunFolder) -> str:
    last = run.last
    again = (
        f"The last good checkpoint is {last}; start anew from its weights with "
        f"--model.init_from {last}. "
        if last.is_file()
        else ""
    )
    return (
        f"{again}Try a lower learning rate (--model.optimizer.lr), full precision "
        "(--trainer.precision 32-true), clipped gradients (--trainer.gradient_clip_val 1)"
    )
