"""What the commands of LightningCLI share: the run of a checkpoint, the trainer, the end."""

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import dict_to_namespace
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.errors import FerlitError, UsageError
from ferlit.locks import TakenError
from ferlit.models.timm import weights_follow
from ferlit.runs.checkpoints import config_of, read_checkpoint
from ferlit.runs.folder import RunFolder
from ferlit.runs.people import Training
from ferlit.training.distributed import check_launch, check_requeued, is_first_process
from ferlit.training.fit.evaluating import check_classes
from ferlit.training.fit.options import RUN_LOGGER, OptionsCLI
from ferlit.training.fit.places import KEYWORDS, newest_checkpoint, remove_failed_start
from ferlit.training.fit.trainer import RunTrainer
from ferlit.training.fit.unused import leave_out_unused_data
from ferlit.training.record.checkpoint_io import WholeCheckpoints
from ferlit.training.record.logger import RunLogger

T = TypeVar("T")


class CommandCLI(OptionsCLI):
    """Runs a command in the folder of the run whose checkpoint ``--ckpt_path`` names."""

    is_of_run = False  # whether the configuration is that of a run
    trainer: RunTrainer
    held: ExitStack  # until the command ends
    content: dict[str, Any]  # of the checkpoint
    training: Training  # whom the checkpoint has seen

    @abstractmethod
    def start_without_checkpoint(self) -> None:
        """What follows where ``--ckpt_path`` is not given."""

    @abstractmethod
    def start_from(
        self, checkpoint: Path, before: Mapping[str, Any], now: Mapping[str, Any]
    ) -> Path | None:
        """See that the settings of a command are those of a checkpoint.

        Args:
            checkpoint: What ``--ckpt_path`` names.
            before: The settings of its training.
            now: Those of the command.

        Returns:
            The folder that the command writes into; None for a new one.
        """

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint that ``--ckpt_path`` names; continue in the folder of its run."""
        config = self.config[self.subcommand]
        leave_out_unused_data(config, self.given)
        checkpoint = config.get("ckpt_path")
        if checkpoint is None:
            self.start_without_checkpoint()
            return
        logger = config.trainer.logger
        if not hasattr(logger, "init_args"):
            if not self.is_of_run:
                raise UsageError(
                    f"--ckpt_path {checkpoint} needs a logger, which says where the runs are: "
                    "leave out --trainer.logger, or give ferlit.training.RunLogger"
                )
            config.trainer.logger = logger = dict_to_namespace(
                {"class_path": RUN_LOGGER, "init_args": {}}
            )
        now = self.settings
        if checkpoint in KEYWORDS:
            runs = Path(logger.init_args.save_dir) / logger.init_args.name
            path = newest_checkpoint(runs, checkpoint, now, logger.init_args.get("version"))
        else:
            path = Path(checkpoint)
            if not path.is_file():
                raise FerlitError(f"--ckpt_path {checkpoint}: there is no such file")
        config.ckpt_path = str(path)
        self.content = read_checkpoint(path)
        self.training = Training.read(path, self.content)
        folder = self.start_from(path, config_of(path, self.content), now)
        if folder is not None:
            if not logger.class_path.endswith("RunLogger"):
                logger.class_path = RUN_LOGGER
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
        is_loaded = self.config[self.subcommand].get("ckpt_path") is not None
        with weights_follow() if is_loaded else nullcontext():
            super().instantiate_classes()
        check_launch(self.trainer)
        check_requeued(self.trainer)
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = WholeCheckpoints()

    def set_up_data(self, stage: str) -> bool:
        """Whether the data are ours and this process has seen that they serve."""
        data = self.datamodule
        if not isinstance(data, ExpressionDataModule) or not self.trainer.is_global_zero:
            return False
        data.prepare_data()
        data.setup(stage)
        path = self.config[self.subcommand].ckpt_path
        if path is not None:
            check_classes(Path(path), self.content, data.classes)
        return True

    def callback(self, kind: type[T]) -> T:
        """The callback of a kind."""
        return next(c for c in self.trainer.callbacks if isinstance(c, kind))  # type: ignore[attr-defined]

    def _run_subcommand(self, subcommand: str) -> None:
        """Let an interruption say what a fit goes on from, by KeyboardInterrupt's arguments."""
        try:
            with ExitStack() as self.held:
                super()._run_subcommand(subcommand)
        except TakenError:
            raise
        except Exception:
            # A SIGTERM to all processes ends a loader's workers, which PyTorch takes for a failure
            # of theirs before Lightning comes to end the run.
            if not self.trainer.termination.is_asked:
                run = self.trainer.logger
                if isinstance(run, RunLogger) and run.begun and is_first_process():
                    remove_failed_start(run.begun)
                raise
        except SystemExit as stop:
            # Lightning ends an interrupted run by SystemExit while it handles the
            # KeyboardInterrupt, and a terminated one by a SystemExit of its own that would count as
            # success.
            is_interrupted = isinstance(stop.__context__, KeyboardInterrupt)
            if not is_interrupted and not isinstance(stop, SIGTERMException):
                raise
        else:
            return
        if not is_first_process():
            raise SystemExit(130)
        # Not "last": before this run's first checkpoint that is another run's.
        last = RunFolder(Path(getattr(self.trainer.logger, "log_dir", None) or ".")).last
        is_begun = subcommand == "fit" and last.is_file()
        raise KeyboardInterrupt(*(("--ckpt_path", str(last)) if is_begun else ()))
