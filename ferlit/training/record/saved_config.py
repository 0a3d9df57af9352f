"""The configuration of a run, kept in its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from ferlit.files import write_text
from ferlit.runs.checkpoints import CONFIGURATION
from ferlit.runs.folder import CONFIG, EVALUATIONS
from ferlit.training.record.wandb_logger import WandbRunLogger


class SaveConfig(SaveConfigCallback):
    """Writes the whole configuration of a fit into the run's ``config.yaml``, and to W&B.

    Every checkpoint keeps it as well. An evaluation has a folder of its own, see
    `ferlit.training.fit.evaluating.Plan`; the predictions that belong to the run itself leave
    ``config_predict.yaml`` beside ``config.yaml``, which Lightning's own callback would replace.
    """

    evaluation: Mapping[str, Any] | None = None  # the configuration in force
    _plain: dict[str, Any] | None = None

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        logger = trainer.logger
        # Not trainer.log_dir: it waits for the other processes, and this one alone is here.
        folder = Path(getattr(logger, "log_dir", None) or trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        is_apart = stage == "fit" or folder.parent.name == EVALUATIONS
        path = folder / (CONFIG if is_apart else f"config_{TrainerFn(stage).value}.yaml")
        if self.evaluation is not None:
            write_text(path, yaml.safe_dump(dict(self.evaluation), sort_keys=False))
        else:
            self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)
        if stage == "fit" and isinstance(logger, WandbRunLogger):
            logger.log_config(yaml.safe_load(path.read_text(encoding="utf-8")))

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if self._plain is None:
            self._plain = plain(self.parser, self.config)
        checkpoint[CONFIGURATION] = self._plain


def plain(parser: Any, config: Any) -> dict[str, Any]:
    """A configuration as plain data."""
    content: dict[str, Any] = yaml.safe_load(parser.dump(config, skip_none=False))
    return content
