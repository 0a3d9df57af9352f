"""``ferlit fit``, ``validate``, ``test`` and ``predict``: LightningCLI with our modules."""

import logging
import os
import shlex
import warnings
from pathlib import Path
from typing import Any

import torch

# Lightning 2.6 calls what jsonargparse 4.49 deprecates; the pin in our metadata keeps both working.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ferlit.configurations import find_config
from ferlit.data.datamodule import ExpressionDataModule
from ferlit.errors import FerlitError, UsageError
from ferlit.options import without_option
from ferlit.training.callbacks.finite import StopOnNonFinite
from ferlit.training.callbacks.statistics import LearningRate, MiningStatistics
from ferlit.training.callbacks.summary import (
    EpochSummary,
    SaveSplit,
    WriteResults,
    is_trial,
    run_folder,
)
from ferlit.training.modules import ExpressionModule
from ferlit.training.processes.launch import (
    check_launch,
    is_first_process,
    leave_together,
    quiet_other_processes,
)
from ferlit.training.record.logger import forget_after
from ferlit.training.record.provenance import RecordRun, check_fold, mark_finished, read_run
from ferlit.training.record.saved_config import SaveConfig
from ferlit.training.record.wandb_logger import WandbRunLogger, finish_tracking

logger = logging.getLogger(__name__)
KEYWORDS = ("last", "best")  # the checkpoints of the newest run, by name
LAST = ("checkpoints", "last.ckpt")  # in a run's folder
# Warnings of Lightning that do not hold here: we pass the command line's own arguments on, and a
# resumed run keeps its log and checkpoints.
_SILENCED = (
    "LightningCLI's args parameter",
    "does not have many workers",
    "exists and is not empty",
    "The dirpath has changed",
    "LeafSpec",
)


class FerlitCLI(LightningCLI):
    """LightningCLI where a run continues in its own folder and a fit ends with its test."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults(
            {
                "checkpoint.monitor": "val/accuracy",
                "checkpoint.mode": "max",
                "checkpoint.filename": "best",
                "checkpoint.save_last": True,
                "checkpoint.save_on_train_epoch_end": True,
                "checkpoint.enable_version_counter": False,
                "checkpoint.auto_insert_metric_name": False,
            }
        )
        for name in ("classes", "sequence_rule", "target_rule"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Nothing: a checkpoint's hyper-parameters must not override the command line."""

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint that ``--ckpt_path`` names; continue in the folder of its run."""
        config = self.config[self.subcommand]
        checkpoint = config.get("ckpt_path")
        if checkpoint is None:
            if self.subcommand != "fit":
                raise UsageError(
                    f"{self.subcommand} needs a checkpoint: give --ckpt_path best, "
                    "--ckpt_path last (of the newest run) or a file"
                )
            return
        logger = config.trainer.logger
        if not hasattr(logger, "init_args"):
            raise UsageError(
                f"--ckpt_path {checkpoint} needs a logger, which says where the runs are: leave "
                "out --trainer.logger, or give ferlit.training.RunLogger"
            )
        if checkpoint in KEYWORDS:
            runs = Path(logger.init_args.save_dir) / logger.init_args.name
            path = newest_checkpoint(runs, checkpoint)
        else:
            path = Path(checkpoint)
            if not path.is_file():
                raise FerlitError(f"--ckpt_path {checkpoint}: there is no such file")
        config.ckpt_path = str(path)
        is_ours = checkpoint in KEYWORDS or self.subcommand == "fit"
        if is_ours and path.parent.name == "checkpoints":
            folder = path.parent.parent
            logger.init_args.save_dir = str(folder.parent.parent)
            logger.init_args.name = folder.parent.name
            logger.init_args.version = folder.name

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Leave out what an option switches off, where it is there by default."""
        off = tuple(
            kind
            for option, kind in (
                ("enable_progress_bar", ProgressBar),
                ("enable_checkpointing", ModelCheckpoint),
            )
            if config.get(option) is False
        )
        defaults = self.trainer_defaults["callbacks"]
        self.trainer_defaults["callbacks"] = [
            each for each in defaults if not isinstance(each, off)
        ]
        kept = [each for each in callbacks if not isinstance(each, off)]
        try:
            return super()._instantiate_trainer(config, kept)
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise UsageError(f"--trainer: {error}") from error

    def instantiate_classes(self) -> None:
        super().instantiate_classes()
        check_launch(self.trainer)

    def before_fit(self) -> None:
        """Meet mistakes in the data before the run's folder is made."""
        if self._check_data("fit"):
            logger.info(self.datamodule.summary())
        path = Path(self.config[self.subcommand].ckpt_path or "")
        if path.parent.name == "checkpoints" and is_first_process():
            epoch = torch.load(path, weights_only=True, mmap=True)["epoch"]
            forget_after(path.parent.parent, epoch)

    def before_validate(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._check_data("validate")

    def before_test(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._check_data("test")

    def after_fit(self) -> None:
        """Test the checkpoint that validation chose, where there is something to test on."""
        data, chosen = self.datamodule, self.trainer.checkpoint_callback
        # Empty after a fast_dev_run.
        best = chosen.best_model_path if isinstance(chosen, ModelCheckpoint) else ""
        is_tested = isinstance(data, ExpressionDataModule) and bool(best) and data.has_test_data
        if is_tested:
            # Not by ckpt_path: the callbacks would get the checkpoint as well, and with averaged
            # weights put those beside them in their place, which validation has never seen.
            checkpoint = torch.load(best, map_location="cpu", weights_only=True)
            self.model.load_state_dict(checkpoint["state_dict"])
            self.trainer.test(self.model, datamodule=data, verbose=False)
        folder, tracker = run_folder(self.trainer), self.trainer.logger
        if not self.trainer.is_global_zero or is_trial(self.trainer):
            return
        mark_finished(folder)
        if isinstance(tracker, WandbRunLogger):
            run = read_run(folder)
            tracker.log_config({"run": run})
            if is_tested:
                tracker.log_results(data.classes)
            if best:
                tracker.log_checkpoint(Path(best), {"run": run})

    def after_test(self) -> None:
        """Hand the results on to W&B, where it is used."""
        data, tracker = self.datamodule, self.trainer.logger
        if isinstance(tracker, WandbRunLogger) and isinstance(data, ExpressionDataModule):
            tracker.log_results(data.classes)

    def _check_data(self, stage: str) -> bool:
        """Whether the data are ours and this process has seen that they serve."""
        data, checkpoint = self.datamodule, self.config[self.subcommand].ckpt_path
        if not isinstance(data, ExpressionDataModule) or not self.trainer.is_global_zero:
            return False
        data.prepare_data()
        data.setup(stage)
        if checkpoint is not None:
            check_fold(Path(checkpoint), data)
        return True

    def _run_subcommand(self, subcommand: str) -> None:
        """Let an interruption say what a fit goes on from, by KeyboardInterrupt's arguments."""
        try:
            super()._run_subcommand(subcommand)
        except SystemExit as stop:
            # Lightning ends an interrupted run by SystemExit while it handles the
            # KeyboardInterrupt, and a terminated one by a SystemExit of its own that would count as
            # success.
            is_interrupted = isinstance(stop.__context__, KeyboardInterrupt)
            if not is_interrupted and not isinstance(stop, SIGTERMException):
                raise
            if not is_first_process():
                raise SystemExit(130) from None
            # Not "last": before this run's first checkpoint that is another run's.
            last = Path(getattr(self.trainer.logger, "log_dir", None) or ".", *LAST)
            is_begun = subcommand == "fit" and last.is_file()
            raise KeyboardInterrupt(*(("--ckpt_path", str(last)) if is_begun else ())) from None


def newest_checkpoint(runs: Path, name: str) -> Path:
    """The checkpoint ``name`` ("last" or "best") of the newest run that has one.

    Raises:
        FerlitError: no run below ``runs`` has one.
    """
    found = list(runs.glob(f"version_*/checkpoints/{name}.ckpt"))
    if not found:
        raise FerlitError(f"--ckpt_path {name}: no run in {runs} has a checkpoint {name}.ckpt")
    return max(found, key=lambda path: path.stat().st_mtime)


def main(command: str, options: list[str], cli: type[FerlitCLI] = FerlitCLI) -> None:
    """Run a command of LightningCLI."""
    for message in _SILENCED:
        warnings.filterwarnings("ignore", f".*{message}.*")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    quiet_other_processes()
    torch.set_float32_matmul_precision("high")
    exit_code = 1
    try:
        cli(
            ExpressionModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={
                "use_distributed_sampler": False,
                "num_sanity_val_steps": 0,
                "log_every_n_steps": 10,
                "logger": {
                    "class_path": "ferlit.training.RunLogger",
                    "init_args": {"save_dir": "runs", "name": "ferlit"},
                },
                "callbacks": [
                    RichProgressBar(),
                    EpochSummary(),
                    RecordRun(),
                    SaveSplit(),
                    WriteResults(),
                    MiningStatistics(),
                    LearningRate(),
                    StopOnNonFinite(),
                ],
            },
            parser_kwargs={"prog": "ferlit"},
            args=[command, *_find_configs(options)],
        )
        leave_together()
        exit_code = 0
    except KeyboardInterrupt as interrupt:
        exit_code = 130
        if not interrupt.args:
            raise
        resume = ["ferlit", command, *without_option(options, "--ckpt_path"), *interrupt.args]
        raise KeyboardInterrupt(shlex.join(resume)) from None
    finally:
        finish_tracking(exit_code)


def _find_configs(options: list[str]) -> list[str]:
    """Point ``--config NAME`` to the shipped configuration where there is no such file."""
    found: list[str] = []
    for option in options:
        name, equals, value = option.partition("=")
        if equals and name in ("--config", "-c"):
            found.append(f"{name}={find_config(value)}")
        elif found and found[-1] in ("--config", "-c"):
            found.append(str(find_config(option)))
        else:
            found.append(option)
    return found
