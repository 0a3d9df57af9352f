"""``ferlit fit``, ``validate``, ``test`` and ``predict``: LightningCLI with our modules."""

import logging
import os
import shlex
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

import torch

# Lightning 2.6 calls what jsonargparse 4.49 deprecates; the pin in our metadata keeps both working.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

from jsonargparse import dict_to_namespace
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar, RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import SIGTERMException

from ferlit.configurations import find_config
from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.errors import FerlitError, UsageError
from ferlit.options import option_values, without_option
from ferlit.runs.folder import (
    BEST,
    CHECKPOINTS,
    EVALUATIONS,
    LAST,
    config_of,
    read_checkpoint,
    run_around,
)
from ferlit.runs.people import Split, Training
from ferlit.runs.record import mark_finished, read_run
from ferlit.runs.seen import ALLOW, check_evaluation, check_resume, check_start, count_seen
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
from ferlit.training.evaluating import (
    changed_preprocessing,
    check_classes,
    compare,
)
from ferlit.training.modules import ExpressionModule
from ferlit.training.places import KEYWORDS, newest_checkpoint, remove_failed_start, run_options
from ferlit.training.processes.launch import (
    check_launch,
    is_first_process,
    leave_together,
    quiet_other_processes,
)
from ferlit.training.record.checkpoint_io import WholeCheckpoints
from ferlit.training.record.logger import RunLogger
from ferlit.training.record.provenance import RecordRun
from ferlit.training.record.saved_config import SaveConfig, plain
from ferlit.training.record.wandb_logger import WandbRunLogger, finish_tracking
from ferlit.training.resuming import (
    check_epochs,
    check_new_run,
    check_no_run,
    check_preprocessing,
    check_settings,
    is_over,
)
from ferlit.training.unused import leave_out_unused_data

logger = logging.getLogger(__name__)
_LOGGER = "ferlit.training.RunLogger"
T = TypeVar("T")
# Warnings of Lightning that do not hold here: we pass the command line's own arguments on, and a
# resumed run keeps its log and checkpoints.
_SILENCED = (
    "LightningCLI's args parameter",
    "does not have many workers",
    "exists and is not empty",
    "The dirpath has changed",
    "callbacks used to create the checkpoint",
    "LeafSpec",
)


class FerlitCLI(LightningCLI):
    """LightningCLI where a run continues in its own folder and a fit ends with its test."""

    finished: Path | None = None  # the folder of a run that needs no more training
    is_of_run = False  # whether an evaluation takes its configuration from a run
    changed: list[str]

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
        parser.add_argument(
            f"--{ALLOW}",
            type=bool,
            default=False,
            help="go on where the network has seen people that judge it; the results say so",
        )
        for name in ("classes", "sequence_rule", "target_rule"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def _parse_ckpt_path(self) -> None:
        """Nothing: a checkpoint's hyper-parameters must not override the command line."""

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        super().parse_arguments(parser, args)
        self.given = option_values(args if isinstance(args, list) else [])

    def before_instantiate_classes(self) -> None:
        """Find the checkpoint that ``--ckpt_path`` names; continue in the folder of its run."""
        config = self.config[self.subcommand]
        leave_out_unused_data(config, self.given)
        checkpoint = config.get("ckpt_path")
        if checkpoint is None:
            if self.subcommand != "fit":
                raise UsageError(
                    f"{self.subcommand} needs a checkpoint: give the folder of a run "
                    f"(ferlit {self.subcommand} runs/ckplus/version_0), or --ckpt_path best, "
                    "--ckpt_path last (of the newest run) or a file"
                )
            return
        logger = config.trainer.logger
        if not hasattr(logger, "init_args"):
            if not self.is_of_run:
                raise UsageError(
                    f"--ckpt_path {checkpoint} needs a logger, which says where the runs are: "
                    "leave out --trainer.logger, or give ferlit.training.RunLogger"
                )
            config.trainer.logger = logger = dict_to_namespace(
                {"class_path": _LOGGER, "init_args": {}}
            )
        now = plain(self._parser(self.subcommand), config)
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
        before = config_of(path, self.content)
        folder = run_around(path)
        if self.subcommand == "fit":
            self.changed = check_settings(
                path, before, now, is_split_known=bool(self.training.splits)
            )
        else:
            self.plan = compare(str(self.subcommand), path, before, now, is_of_run=self.is_of_run)
            folder = (folder or path.absolute().parent) / EVALUATIONS / str(self.subcommand)
        if folder is not None:
            if not logger.class_path.endswith("RunLogger"):
                logger.class_path = _LOGGER
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
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            self.trainer.strategy.checkpoint_io = WholeCheckpoints()

    def before_fit(self) -> None:
        """Meet mistakes in the data before the run's folder is made."""
        if self._set_up_data("fit"):
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
                check_new_run(run.begun)
            if run is None:
                check_no_run(Path(self.trainer.default_root_dir))

    def before_validate(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._prepare_evaluation("val")

    def before_test(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._prepare_evaluation("test")

    def before_predict(self) -> None:
        """Meet mistakes in the data; predictions judge nobody, so anybody may be in them."""
        self._prepare_evaluation(None)

    def fit(self, **arguments: Any) -> None:
        """Train, unless the run that ``--ckpt_path`` names has come to its end."""
        run = run_around(Path(arguments["ckpt_path"])) if arguments.get("ckpt_path") else None
        if run is not None:
            options = plain(self._parser("fit"), self.config.fit)
            self.finished = run if is_over(run, options["trainer"]) else None
        if self.finished is None:
            self.trainer.fit(**arguments)

    def after_fit(self) -> None:
        """Test the checkpoint that validation chose, where there is something to test on."""
        if self.finished is not None:
            logger.info("%s: finished already", self.finished)
            best = self.finished / CHECKPOINTS / BEST
            if best.is_file() and not (self.finished / "predictions.csv").is_file():
                self._test(best)
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
        self.model.load_state_dict(read_checkpoint(best)["state_dict"])
        self.trainer.test(self.model, datamodule=data, verbose=False)
        return True

    def after_test(self) -> None:
        """Hand the results on to W&B, where it is used."""
        data, tracker = self.datamodule, self.trainer.logger
        if isinstance(tracker, WandbRunLogger) and isinstance(data, ExpressionDataModule):
            tracker.log_results(data.classes)

    def _set_up_data(self, stage: str) -> bool:
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

    def _check_people(self) -> None:
        """See that a fit goes on with its people, and starts from weights that know no others."""
        config, allow = self.config[self.subcommand], self.config[self.subcommand].allow_seen_people
        start = self.model.init_from if isinstance(self.model, ExpressionModule) else None
        training = Training()
        if config.ckpt_path is not None:
            check_resume(Path(config.ckpt_path), self.training, self.datamodule, allow=allow)
            check_preprocessing(Path(config.ckpt_path), self.content, self.datamodule)
            self._callback(RecordRun).changed = self.changed
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
            self._callback(WriteResults).says = {"people": seen.to_dict()}

    def _prepare_evaluation(self, part: Literal["val", "test"] | None) -> None:
        data, plan = self.datamodule, self.plan
        config = self.config[self.subcommand]
        if not self._set_up_data(str(self.subcommand)):
            return
        seen = None
        if part is not None:
            seen = check_evaluation(
                plan.checkpoint, self.training, data, part, allow=config.allow_seen_people
            )
        changed = changed_preprocessing(self.content, data)
        plan = replace(plan, changed=(*plan.changed, *changed))
        says = plan.says(data, seen)
        folder = plan.folder(data, says)
        if isinstance(self.trainer.logger, RunLogger):
            self.trainer.logger.move(folder)
        trainer = plan.config["trainer"]
        trainer = {**trainer, "logger": _place_of(trainer["logger"], folder)}
        self._callback(SaveConfig).evaluation = {**plan.config, "trainer": trainer}
        self._callback(WriteResults).says = {"evaluation": says}

    def _callback(self, kind: type[T]) -> T:
        return next(c for c in self.trainer.callbacks if isinstance(c, kind))  # type: ignore[attr-defined]

    def _run_subcommand(self, subcommand: str) -> None:
        """Let an interruption say what a fit goes on from, by KeyboardInterrupt's arguments."""
        try:
            super()._run_subcommand(subcommand)
        except Exception:
            # A SIGTERM to all processes ends a loader's workers, which PyTorch takes for a failure
            # of theirs before Lightning comes to end the run.
            if not self.trainer.received_sigterm:
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
        last = Path(getattr(self.trainer.logger, "log_dir", None) or ".", CHECKPOINTS, LAST)
        is_begun = subcommand == "fit" and last.is_file()
        raise KeyboardInterrupt(*(("--ckpt_path", str(last)) if is_begun else ()))


def _place_of(logger: Any, folder: Path) -> dict[str, Any]:
    places = {"save_dir": str(folder.parent.parent), "name": folder.parent.name}
    return {**logger, "init_args": {**logger["init_args"], **places, "version": folder.name}}


def main(command: str, options: list[str], cli: type[FerlitCLI] = FerlitCLI) -> None:
    """Run a command of LightningCLI."""
    for message in _SILENCED:
        warnings.filterwarnings("ignore", f".*{message}.*")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    quiet_other_processes()
    torch.set_float32_matmul_precision("high")
    exit_code = 1
    is_of_run = command != "fit" and bool(options) and not options[0].startswith("-")
    kept = TemporaryDirectory()  # of the configuration that a run gives
    try:
        arguments = options
        if is_of_run:
            arguments = run_options(command, Path(options[0]), options[1:], Path(kept.name))
        type(cli.__name__, (cli,), {"is_of_run": is_of_run})(
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
            args=[command, *_find_configs(arguments)],
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
        kept.cleanup()


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
