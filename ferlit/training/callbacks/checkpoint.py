"""The checkpoints of a run, and what a fit needs to go on from one as if it had never stopped."""

import logging
from typing import Any

from lightning.fabric.utilities.apply_func import convert_tensors_to_scalars
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.plugins.precision import DoublePrecision
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from ferlit.training.record.logger import RunLogger, format_rows, read_rows

logger = logging.getLogger(__name__)
TABLE = "metrics_table"  # in a checkpoint: the text of metrics.csv at its moment
NOT_STOPPED = EarlyStoppingReason.NOT_STOPPED.value


class RunCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, but ``last.ckpt`` is the last epoch's.

    Lightning writes it only in a step that saved a best one.
    """

    _last_saved_step = -1

    @property
    def state_key(self) -> str:
        """Lightning's own, by which older checkpoints name this state too."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.current_score = state_dict["current_score"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last_saved_step = -1
        super().on_train_epoch_end(trainer, pl_module)
        if self.save_last and self._last_saved_step != trainer.global_step:
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_last_checkpoint(
        self, trainer: Trainer, monitor_candidates: dict[str, Tensor]
    ) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return  # which leaves nothing behind; Lightning would, at the end
        if self.save_last == "link":
            # The checkpoint that it would lead to is the best one's.
            logger.warning("checkpoint.save_last=link: last.ckpt is a file here, of each epoch")
            self.save_last = True
        super()._save_last_checkpoint(trainer, monitor_candidates)
        self._last_saved_step = trainer.global_step


class GoOn(Callback):
    """Keeps in every checkpoint what Lightning does not, and takes it up when a fit goes on.

    - The rows of ``metrics.csv``, those of the checkpoint's epoch too, which Lightning logs only
      after it. A fit that goes on begins with exactly these rows, one that begins anew with none.
    - Weights of double precision, which Lightning would load in single precision.
    - That a fit limited by steps goes on with the next epoch.
    - That early stopping had ended the fit. ``patience`` may differ from the checkpoint's: what the
      fit is given counts, and a longer one lets it go on.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.precision_plugin, DoublePrecision):
            pl_module.double()  # Lightning does it too, but after it has loaded the weights

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        row = _row_to_come(trainer)  # of all processes together
        table = _run_logger(trainer)
        if table is not None and trainer.is_global_zero:
            table.save()
            checkpoint[TABLE] = format_rows([*read_rows(table.path), *([row] if row else [])])

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if trainer.state.fn != TrainerFn.FITTING:
            return
        table = _run_logger(trainer)
        if table is not None and trainer.is_global_zero:
            _restore(table, checkpoint)
        # With --trainer.max_steps, Lightning would end the checkpoint's epoch a second time.
        trainer.fit_loop._iteration_based_training = lambda: False  # type: ignore[method-assign]
        states = checkpoint.get("callbacks", {})
        for callback in trainer.early_stopping_callbacks:
            state = states.get(callback.state_key)
            if state is not None:
                _take_patience(callback, state)
                trainer.should_stop |= state.get("stopping_reason", NOT_STOPPED) != NOT_STOPPED

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        table = _run_logger(trainer)
        is_trial = bool(trainer.fast_dev_run)  # type: ignore[attr-defined]
        if table is not None and trainer.ckpt_path is None and not is_trial:
            table.restore("")  # of a fit that was killed before its first checkpoint


def _run_logger(trainer: Trainer) -> RunLogger | None:
    return next((each for each in trainer.loggers if isinstance(each, RunLogger)), None)


def _row_to_come(trainer: Trainer) -> dict[str, Any]:
    """The row that Lightning logs at the end of this epoch, after the checkpoint; else nothing."""
    loop, connector = trainer.fit_loop, trainer._logger_connector
    progress: Any = loop.epoch_progress.current
    if progress.processed == progress.completed or not connector.metrics["log"]:
        return {}
    row: dict[str, Any] = convert_tensors_to_scalars(dict(connector.metrics["log"]))
    if "step" not in row:
        row = {"epoch": trainer.current_epoch} | row
    return row | {"step": int(row.get("step", loop.epoch_loop._batches_that_stepped - 1))}


def _restore(table: RunLogger, checkpoint: dict[str, Any]) -> None:
    epoch, rows = checkpoint["epoch"], read_rows(table.path)
    trained = [row for row in rows if any(name.startswith("train/") for name in row)]
    logged = max((int(float(row.get("epoch", -1))) for row in trained), default=-1)
    if logged > epoch:  # unlike what a stopped epoch leaves
        logger.info(
            "goes on after epoch %d; %s has rows up to epoch %d, and those after it are dropped",
            epoch + 1,
            table.path,
            logged + 1,
        )
    if TABLE not in checkpoint:  # of an older version
        rows = [row for row in rows if int(float(row.get("epoch", 0))) <= epoch]
    table.restore(checkpoint.get(TABLE, format_rows(rows)))


def _take_patience(callback: EarlyStopping, state: dict[str, Any]) -> None:
    """Let the patience of the callback replace that of its saved state."""
    if state["patience"] == callback.patience:
        return
    logger.info("early stopping: patience %d -> %d", state["patience"], callback.patience)
    state["patience"] = callback.patience
    has_patience = state["wait_count"] < callback.patience
    if (
        has_patience
        and state.get("stopping_reason") == EarlyStoppingReason.PATIENCE_EXHAUSTED.value
    ):
        state["stopping_reason"] = NOT_STOPPED
