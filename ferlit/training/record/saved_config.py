"""The configuration of a run, kept in its folder."""

from pathlib import Path

import yaml
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from ferlit.training.record.wandb_logger import WandbRunLogger

CONFIG = "config.yaml"


class SaveConfig(SaveConfigCallback):
    """Writes the whole configuration of a fit into the run's ``config.yaml``, and to W&B.

    An evaluation in the folder of a run writes ``config_test.yaml`` (or validate, predict) beside
    it. Lightning's own callback would replace ``config.yaml`` then, or refuse to run.
    """

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        logger = trainer.logger
        # Not trainer.log_dir: it waits for the other processes, and this one alone is here.
        folder = Path(getattr(logger, "log_dir", None) or trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / (CONFIG if stage == "fit" else f"config_{TrainerFn(stage).value}.yaml")
        self.parser.save(self.config, path, skip_none=False, overwrite=True, multifile=False)
        if stage == "fit" and isinstance(logger, WandbRunLogger):
            logger.log_config(yaml.safe_load(path.read_text(encoding="utf-8")))
