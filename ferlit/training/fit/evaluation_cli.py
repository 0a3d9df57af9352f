"""``ferlit validate``, ``test`` and ``predict``: evaluations of a checkpoint."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.errors import UsageError
from ferlit.runs.folder import EVALUATIONS, RunFolder
from ferlit.runs.seen import check_evaluation
from ferlit.training.callbacks.summary import WriteResults
from ferlit.training.fit.command_cli import CommandCLI
from ferlit.training.fit.evaluating import changed_preprocessing, compare
from ferlit.training.record.logger import RunLogger
from ferlit.training.record.saved_config import SaveConfig
from ferlit.training.record.wandb_logger import WandbRunLogger


class EvaluationCLI(CommandCLI):
    """Evaluates a checkpoint, in a folder of its own beside the run.

    Args:
        is_of_run: Whether the configuration is that of the run.
    """

    def __init__(self, *arguments: Any, is_of_run: bool = False, **options: Any) -> None:
        self.is_of_run = is_of_run
        super().__init__(*arguments, **options)

    def start_without_checkpoint(self) -> None:
        raise UsageError(
            f"{self.subcommand} needs a checkpoint: give the folder of a run "
            f"(ferlit {self.subcommand} runs/ckplus/version_0), or --ckpt_path best, "
            "--ckpt_path last (of the newest run) or a file"
        )

    def start_from(
        self, checkpoint: Path, before: Mapping[str, Any], now: Mapping[str, Any]
    ) -> Path:
        command, run = str(self.subcommand), RunFolder.around(checkpoint)
        self.plan = compare(command, checkpoint, before, now, is_of_run=self.is_of_run)
        folder = checkpoint.absolute().parent if run is None else run.path
        return folder / EVALUATIONS / command

    def before_validate(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._prepare_evaluation("val")

    def before_test(self) -> None:
        """Meet mistakes in the data, such as another fold than the checkpoint's."""
        self._prepare_evaluation("test")

    def before_predict(self) -> None:
        """Meet mistakes in the data; predictions judge nobody, so anybody may be in them."""
        self._prepare_evaluation(None)

    def after_test(self) -> None:
        """Hand the results on to W&B, where it is used."""
        data, tracker = self.datamodule, self.trainer.logger
        if isinstance(tracker, WandbRunLogger) and isinstance(data, ExpressionDataModule):
            tracker.log_results(data.classes)

    def _prepare_evaluation(self, part: Literal["val", "test"] | None) -> None:
        data, plan = self.datamodule, self.plan
        config = self.config[self.subcommand]
        if not self.set_up_data(str(self.subcommand)):
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
        self.callback(SaveConfig).evaluation = {**plan.config, "trainer": trainer}
        self.callback(WriteResults).says = {"evaluation": says}


def _place_of(logger: Any, folder: Path) -> dict[str, Any]:
    places = {"save_dir": str(folder.parent.parent), "name": folder.parent.name}
    return {**logger, "init_args": {**logger["init_args"], **places, "version": folder.name}}
