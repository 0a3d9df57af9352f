"""``ferlit fit``: a run goes on in its own folder, and ends with its test."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.locks import alone_in
from ferlit.runs.checkpoints import read_checkpoint
from ferlit.runs.folder import TESTED, RunFolder
from ferlit.runs.people import Split, Training
from ferlit.runs.seen import check_resume, check_start, count_seen
from ferlit.training.callbacks.provenance import RecordRun
from ferlit.training.callbacks.summary import WriteResults, is_trial, run_folder
from ferlit.training.distributed import is_first_process
from ferlit.training.fit.command_cli import CommandCLI
from ferlit.training.fit.resuming import (
    check_epochs,
    check_new_run,
    check_no_run,
    check_preprocessing,
    check_settings,
    is_over,
)
from ferlit.training.modules import ExpressionModule
from ferlit.training.record.logger import RunLogger
from ferlit.training.record.wandb_logger import WandbRunLogger

logger = logging.getLogger(__name__)


class FitCLI(CommandCLI):
    """Trains, then tests."""

    finished: RunFolder | None = None  # a run that needs no more training
    changed: list[str]  # settings that are not those of the checkpoint

    def start_without_checkpoint(self) -> None:
        """Nothing: a new run."""

    def start_from(
        self, checkpoint: Path, before: Mapping[str, Any], now: Mapping[str, Any]
    ) -> Path | None:
        is_known = bool(self.training.splits)
        self.changed = check_settings(checkpoint, before, now, is_split_known=is_known)
        run = RunFolder.around(checkpoint)
        return None if run is None else run.path

    def before_fit(self) -> None:
        """Meet mistakes in the data before the run's folder is made."""
        if self.set_up_data("fit"):
            self._check_people()
            chosen = self.trainer.checkpoint_callback
            if isinstance(chosen, ModelCheckpoint) and chosen.monitor is None:
                logger.warning(
                    "checkpoint.monitor is null: best.ckpt is the last one saved, and validation "
                    "chooses nothing"
                )
            logger.info(self.datamodule.summary())
        checkpoint = self.config[self.subcommand].ckpt_path
        if checkpoint is not None:
            check_epochs(Path(checkpoint), self.content, self.trainer.max_epochs)
        elif not is_trial(self.trainer) and is_first_process():
            run = self.trainer.logger
            if isinstance(run, RunLogger) and run.begun:
                check_new_run(RunFolder(run.begun))
            if run is None:
                check_no_run(Path(self.trainer.default_root_dir))

    def fit(self, **arguments: Any) -> None:
        """Train, unless the run that ``--ckpt_path`` names has come to its end."""
        tracker, checkpoint = self.trainer.logger, arguments.get("ckpt_path")
        if isinstance(tracker, RunLogger) and is_first_process() and not is_trial(self.trainer):
            self.held.enter_context(alone_in(Path(tracker.log_dir), "fit", "end it"))
        run = RunFolder.around(Path(checkpoint)) if checkpoint else None
        if run is not None:
            self.finished = run if is_over(run, self.settings["trainer"]) else None
        if self.finished is None:
            self.trainer.fit(**arguments)

    def after_fit(self) -> None:
        """Test the checkpoint that validation chose, where there is something to test on."""
        if self.finished is not None:
            logger.info("%s: finished already", self.finished.path)
            if self.finished.best.is_file() and not (self.finished.path / TESTED).is_file():
                self._test(self.finished.best)
            return
        tracker, chosen = self.trainer.logger, self.trainer.checkpoint_callback
        # Empty after a fast_dev_run.
        best_path = chosen.best_model_path if isinstance(chosen, ModelCheckpoint) else ""
        is_ours = isinstance(self.datamodule, ExpressionDataModule)
        if is_ours and not (best_path or is_trial(self.trainer)):
            logger.warning(
                "no checkpoint was chosen (checkpoint.monitor, save_top_k, every_n_epochs; "
                "trainer.limit_val_batches, check_val_every_n_epoch), so nothing is tested"
            )
        is_tested = bool(best_path) and self._test(Path(best_path))
        run = run_folder(self.trainer)
        if not self.trainer.is_global_zero or is_trial(self.trainer):
            return
        run.mark_finished()
        if isinstance(tracker, WandbRunLogger):
            record = run.record()
            tracker.log_config({"run": record})
            if is_tested:
                tracker.log_results(self.datamodule.classes)
            if best_path:
                tracker.log_checkpoint(Path(best_path), {"run": record})

    def _test(self, best: Path) -> bool:
        """Test a network where there are data to test it on; whether there are."""
        data = self.datamodule
        if not isinstance(data, ExpressionDataModule) or not data.has_test_data:
            return False
        # Not by ckpt_path: the callbacks would get the checkpoint as well, and with averaged
        # weights put those beside them in their place, which validation has never seen.
        self.model.load_state_dict(read_checkpoint(best)["state_dict"])
        self.trainer.test(self.model, datamodule=data, verbose=False)
        return True

    def _check_people(self) -> None:
        """See that a fit goes on with its people, and starts from weights that know no others."""
        config, allow = self.config[self.subcommand], self.config[self.subcommand].allow_seen_people
        start = self.model.init_from if isinstance(self.model, ExpressionModule) else None
        training = Training()
        if config.ckpt_path is not None:
            check_resume(Path(config.ckpt_path), self.training, self.datamodule, allow=allow)
            check_preprocessing(Path(config.ckpt_path), self.content, self.datamodule)
            self.callback(RecordRun).changed = self.changed
            training = self.training
        elif start is not None:
            training = Training.read(start)
            check_start(start, training, self.datamodule, allow=allow)
        here = Split.of(self.datamodule)
        own = count_seen(Training((here,)), self.datamodule, "test")
        if own.images:
            logger.warning("%s: in its own split, %s", self.datamodule.source_name, own)
        seen = count_seen(training.then(here), self.datamodule, "test")
        if seen.images or seen.unknown:
            self.callback(WriteResults).says = {"people": seen.to_dict()}
