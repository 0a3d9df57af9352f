"""A run that is logged to Weights & Biases (W&B) as well; an option, never needed."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from ferlit.data.preparation.contact_sheet import CONTACT_SHEET
from ferlit.data.preparation.summary import REPORT
from ferlit.errors import FerlitError
from ferlit.files import write_json
from ferlit.runs.folder import CONFIG, RECORD, WANDB, RunFolder
from ferlit.training.record.logger import RunLogger

_COUNTS = (
    *("database", "reader", "landmarks", "found", "prepared", "dropped", "classes", "splits"),
)


class WandbRunLogger(RunLogger):
    """`RunLogger` that hands everything on to W&B.

    The folder of the run, its ``metrics.csv`` and its resumption stay as they are; the run's W&B id
    is kept there in ``wandb.json``, so that a resumed run continues the same W&B run. Without an
    account, ``offline`` or ``WANDB_MODE=offline`` writes into the run's folder, for ``wandb sync``
    to upload later. Under an agent of a sweep the run takes the agent's id, in W&B and as the name
    of its folder, so that agents side by side do not meet. With several processes the first alone
    logs.

    Args:
        save_dir: Folder of all runs.
        name: Folder of this experiment's runs below it.
        version: Of the run: a number k, a folder's name, or None for the next number.
        project: W&B's project.
        entity: User or team; None for the account's own.
        group: Runs that belong together, such as the folds of a cross-validation.
        tags: To find the run by.
        notes: About the run.
        offline: Write into the run's folder only.
        log_model: Whether to keep the best checkpoint as an artifact at the end.
        **run: The other arguments of `RunLogger`.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "ferlit",
        version: int | str | None = None,
        *,
        project: str = "ferlit",
        entity: str | None = None,
        group: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        offline: bool = False,
        log_model: bool = True,
        **run: Any,
    ) -> None:
        of_agent = os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None
        super().__init__(save_dir, name, of_agent if version is None else version, **run)
        self.log_model = log_model
        self._options: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "group": group,
            "tags": tags,
            "notes": notes,
            "mode": "offline" if offline else None,
        }
        self._wandb: WandbLogger | None = None

    @property
    def wandb(self) -> WandbLogger:
        """Lightning's logger of the W&B run, which is started when it is first asked for.

        Raises:
            FerlitError: W&B cannot start a run, for example without an account.
        """
        if self._wandb is None:
            self._wandb = WandbLogger(experiment=self._start())
        return self._wandb

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics(metrics, step)
        self.wandb.log_metrics(dict(metrics), step)

    @rank_zero_only
    def log_config(self, config: Mapping[str, Any]) -> None:
        """Keep the full configuration, or another part of the run's description."""
        self.wandb.log_hyperparams(dict(config))

    @rank_zero_only
    def log_store(self, folder: Path, key: str = "store") -> None:
        """Log what a prepared store holds: the counts of its report and its contact sheet.

        Args:
            folder: The store.
            key: What it is called there.
        """
        import wandb

        try:
            report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # the report is for people; a store does without
            report = {}
        self.log_config({key: {name: report[name] for name in _COUNTS if name in report}})
        if (folder / CONTACT_SHEET).is_file():
            sheet = wandb.Image(str(folder / CONTACT_SHEET), caption=str(folder))
            self.wandb.experiment.log({f"{key}/contact_sheet": sheet})

    @rank_zero_only
    def log_results(self, classes: list[str]) -> None:
        """Log what a test has written into the run's folder.

        Args:
            classes: The expressions, in the order of the network's outputs.
        """
        import wandb

        run = RunFolder(Path(self.log_dir))
        content: dict[str, Any] = {
            f"test/{level}_{name}": value
            for level, values in run.results().items()
            if level in ("image", "sequence")
            for name, value in values.items()
            if isinstance(value, int | float)
        }
        predictions = run.predictions()
        labels, predicted = (
            pd.Index(classes).get_indexer(pd.Index(predictions[name])).tolist()
            for name in ("label", "predicted")
        )
        content["test/confusion_matrix"] = wandb.plot.confusion_matrix(
            y_true=labels, preds=predicted, class_names=classes, title="test, by image"
        )
        content["test/confusion"] = wandb.Image(str(run.path / "confusion.png"))
        self.wandb.experiment.log(content)

    @rank_zero_only
    def log_checkpoint(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """Keep a checkpoint and the files that describe its run as an artifact, if asked to.

        Args:
            path: The checkpoint.
            metadata: About it.
        """
        import wandb

        if not self.log_model:
            return
        run = self.wandb.experiment
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=dict(metadata))
        for file in (path, *(Path(self.log_dir) / name for name in (CONFIG, RECORD))):
            if file.is_file():
                artifact.add_file(str(file), name=file.name)
        run.log_artifact(artifact, aliases=["best"])

    def _start(self) -> Any:
        import wandb

        folder = Path(self.log_dir)
        folder.mkdir(parents=True, exist_ok=True)  # else W&B writes somewhere else
        started = read_id(folder)
        in_sweep = folder.name == os.environ.get("WANDB_RUN_ID")
        number = started or (folder.name if in_sweep else None)
        try:
            run = wandb.init(
                **self._options,
                id=number,
                name=f"{self.name}/{folder.name}",
                dir=str(folder),
                # Offline there is no run on a server to resume; `wandb sync` joins the parts.
                resume="allow" if started else None,
            )
        except (wandb.errors.UsageError, wandb.errors.CommError) as error:
            raise FerlitError(
                f"W&B cannot start a run ({error}); log in with `wandb login`, or log into the "
                "run's folder only, without an account, with WANDB_MODE=offline"
            ) from error
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        url = None if run.offline else run.url
        content = {"id": run.id, "project": self._options["project"], "url": url}
        write_json(folder / WANDB, content)
        return run


def read_id(folder: Path) -> str | None:
    """The W&B id of the run in a folder, or None where it has none yet."""
    try:
        return str(json.loads((folder / WANDB).read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError):
        return None


def finish_tracking(exit_code: int) -> None:
    """End this process's W&B run, if there is one."""
    wandb = sys.modules.get("wandb")
    if wandb is not None and wandb.run is not None:
        wandb.finish(exit_code)
