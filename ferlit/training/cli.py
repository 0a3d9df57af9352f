"""``ferlit fit``, ``validate``, ``test`` and ``predict``: LightningCLI with our modules."""

import logging
import os
import shlex
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml

# Lightning 2.6 calls what jsonargparse 4.49 deprecates; the pin in our metadata keeps both working.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ferlit.configurations import find_config
from ferlit.data.datamodule import ExpressionDataModule
from ferlit.errors import FerlitError, UsageError
from ferlit.options import without_option
from ferlit.training.callbacks.checkpoint import GoOn, RunCheckpoint
from ferlit.training.callbacks.finite import StopOnNonFinite
from ferlit.training.callbacks.seeding import SeedEpochs
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
from ferlit.training.record.checkpoint_io import WholeCheckpoints
from ferlit.training.record.provenance import RecordRun, check_fold, mark_finished, read_run
from ferlit.training.record.saved_config import SaveConfig
from ferlit.training.record.wandb_logger import WandbRunLogger, finish_tracking
from ferlit.training.resumption import LAST, check_epochs, check_start, is_over

logger = logging.getLogger(__name__)
KEYWORDS = ("last", "best")  # the checkpoints of the newest run, by name
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

    finished: Path | None = None  # the folder of a run that needs no more training

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")
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

    def instantiate_classes(self) -> None:
        super().instantiate_classes()
        check_launch(self.trainer)
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = WholeCheckpoints()

    def before_fit(self) -> None:
        """Meet mistakes in the data before the run's folder is made."""
        if self._check_data("fit"):
            logger.info(self.datamodule.summary())
        checkpoint = self.config[self.subcommand].ckpt_path
        if checkpoint is not None:
            check_epochs(Path(checkpoint), self.trainer.max_epochs)
        elif not is_trial(self.trainer) and is_first_process():
            folder = getattr(self.trainer.logger, "log_dir", None)
            if folder is not None:
                check_start(Path(folder))

    def before_validate(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._check_data("validate")

    def before_test(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._check_data("test")

    def fit(self, **arguments: Any) -> None:
        """Train, unless the run that ``--ckpt_path`` names has come to its end."""
        checkpoint = Path(arguments.get("ckpt_path") or "")
        if checkpoint.parent.name == "checkpoints":
            options = yaml.safe_load(self._parser("fit").dump(self.config.fit, skip_none=False))
            if is_over(checkpoint.parent.parent, options["trainer"]):
                self.finished = checkpoint.parent.parent
        if self.finished is None:
            self.trainer.fit(**arguments)

    def after_fit(self) -> None:
        """Test the checkpoint that validation chose, where there is something to test on."""
        if self.finished is not None:
            logger.info("%s: finished already", self.finished)
            best = self.finished / "checkpoints" / "best.ckpt"
            if best.is_file() and not (self.finished / "predictions.csv").is_file():
                self._test(best)
            return
        tracker, chosen = self.trainer.logger, self.trainer.checkpoint_callback
        # Empty after a fast_dev_run.
        best_path = chosen.best_model_path if isinstance(chosen, ModelCheckpoint) else ""
        is_tested = bool(best_path) and self._test(Path(best_path))
        folder = run_folder(self.trainer)
        if not self.trainer.is_global_zero or is_trial(self.trainer):
            return
        mark_finished(folder)
        if isinstance(tracker, WandbRunLogger):
            run = read_run(folder)
            tracker.log_config({"run": run})
            if is_tested:
                tracker.log_results(self.datamodule.classes)
            if best_path:
                tracker.log_checkpoint(Path(best_path), {"run": run})

    def _test(self, best: Path) -> bool:
        """Test a network where there are data to test it on; whether there are."""
        data = self.datamodule
        if not isinstance(data, ExpressionDataModule) or not data.has_test_data:
            return False
        # Not by ckpt_path: the callbacks would get the checkpoint as well, and with averaged
        # weights put those beside them in their place, which validation has never seen.
        checkpoint = torch.load(best, map_location="cpu", weights_only=True)
        self.model.load_state_dict(checkpoint["state_dict"])
        self.trainer.test(self.model, datamodule=data, verbose=False)
        return True

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
                    SeedEpochs(),
                    GoOn(),
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
