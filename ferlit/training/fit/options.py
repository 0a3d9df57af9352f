"""The options of ``ferlit fit``, ``validate``, ``test`` and ``predict``, by LightningCLI."""

import logging
import os
import warnings
from argparse import ArgumentError
from collections.abc import Sequence
from typing import Any, TypeVar

# Lightning 2.6 calls what jsonargparse 4.49 deprecates; the pin in our metadata keeps both working.
os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from ferlit.configurations import layers
from ferlit.errors import UsageError
from ferlit.options import option_values
from ferlit.runs.seen import ALLOW
from ferlit.training.callbacks.checkpoint import GoOn, RunCheckpoint
from ferlit.training.callbacks.finite import StopOnNonFinite
from ferlit.training.callbacks.provenance import RecordRun
from ferlit.training.callbacks.seeding import SeedEpochs
from ferlit.training.callbacks.statistics import LearningRate, MiningStatistics
from ferlit.training.callbacks.summary import EpochSummary, SaveSplit, WriteResults
from ferlit.training.fit.trainer import AUTO, RunTrainer, chosen_precision
from ferlit.training.modules import ExpressionModule
from ferlit.training.record.saved_config import SaveConfig, plain

RUN_LOGGER = "ferlit.training.RunLogger"
# Warnings of Lightning that do not hold here: we pass the command line's own arguments on, and a
# resumed run keeps its log and checkpoints.
_SILENCED = (
    "LightningCLI's args parameter",
    "does not have many workers",
    "exists and is not empty",
    "The dirpath has changed",
    "callbacks used to create the checkpoint",
    "LeafSpec",
    "is not supported by the model summary",
)
T = TypeVar("T", bound="OptionsCLI")


class OptionsCLI(LightningCLI):
    """LightningCLI with our options and their defaults."""

    def __init__(self, *classes: Any, **keywords: Any) -> None:
        self._command = keywords["args"][0]
        super().__init__(*classes, **keywords)

    def _prepare_subcommand_parser(
        self, klass: type[Trainer], subcommand: str, **keywords: Any
    ) -> LightningArgumentParser:
        """Lightning's for the command that is given; the others need no options."""
        if subcommand != self._command:
            return self.init_parser(**keywords)
        return super()._prepare_subcommand_parser(klass, subcommand, **keywords)

    @classmethod
    def run(cls: type[T], arguments: Sequence[str], *, exit_on_error: bool = True, **own: Any) -> T:
        """Do what a command line says.

        Args:
            arguments: The command and its options.
            exit_on_error: Whether an option that does not fit ends the process.
            **own: Arguments of the class beside those of `LightningCLI`.
        """
        for message in _SILENCED:
            warnings.filterwarnings("ignore", f".*{message}.*")
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.WARNING)
        return cls(
            ExpressionModule,
            LightningDataModule,
            trainer_class=RunTrainer,
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
                    "class_path": RUN_LOGGER,
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
            parser_kwargs={"prog": "ferlit", "exit_on_error": exit_on_error},
            args=_with_layers(arguments),
            **own,
        )

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
        trainer = self.config[self.config["subcommand"]].get("trainer")
        if trainer is not None and trainer.precision == AUTO:
            # Here, so that the run's config.yaml says what it was, and a resumption compares it.
            trainer.precision = chosen_precision(trainer.accelerator)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings of the command as plain data, whether given or by default."""
        return plain(self._parser(self.subcommand), self.config[self.subcommand])


class _ParseOnly(OptionsCLI):
    """Ends after the command line is parsed."""

    def instantiate_classes(self) -> None:
        """Nothing is built."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing runs."""


def resolve(options: Sequence[str], whose: str) -> dict[str, Any]:
    """All settings that ``ferlit fit`` makes of its options.

    Args:
        options: What follows ``ferlit fit``.
        whose: What a message calls them.

    Raises:
        UsageError: the fit would refuse them.

    >>> resolve(["--config=ckplus.yaml"], "stage 1")["data"]["init_args"]["folds"]
    8
    >>> resolve(["--config=ckplus.yaml", "--trainer.no_such=3"], "stage 1")
    Traceback (most recent call last):
        ...
    ferlit.errors.UsageError: stage 1: unrecognized arguments: --trainer.no_such=3
    """
    try:
        return _ParseOnly.run(["fit", *options], exit_on_error=False).settings
    except ArgumentError as error:
        raise UsageError(f"{whose}: {error}") from None
    except SystemExit:
        raise UsageError(f"{whose}: help is not for here; give it to ferlit fit") from None


def _with_layers(options: Sequence[str]) -> list[str]:
    """Put in the place of ``--config NAME`` each file that the configuration is made of."""
    found: list[str] = []
    rest = list(options)
    while rest:
        option = rest.pop(0)
        name, equals, value = option.partition("=")
        if name not in ("--config", "-c") or not (equals or rest):
            found.append(option)
            continue
        found += [f"{name}={layer}" for layer in layers(value if equals else rest.pop(0))]
    return found
