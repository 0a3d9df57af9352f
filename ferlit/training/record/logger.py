"""The run's folder and what is logged there: a CSV table and TensorBoard events."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only


class RunLogger(CSVLogger):
    """Lightning's CSV logger, but a resumed run keeps the rows of its ``metrics.csv``.

    The folder of a run is ``save_dir/name/version_k``. The same numbers go there as events of
    TensorBoard, written by tensorboardX, which is small; TensorBoard itself, a hundred times the
    size with what it needs, is only for looking at them: ``tensorboard --logdir runs``.

    Args:
        save_dir: Folder of all runs.
        name: Folder of this experiment's runs below it.
        version: Of the run: a number k, a folder's name, or None for the next number.
        tensorboard: Whether to write TensorBoard's events.
        **csv: The other arguments of Lightning's `CSVLogger`.
    """

    def __init__(
        self,
        save_dir: str | Path,
        name: str | None = "ferlit",
        version: int | str | None = None,
        *,
        tensorboard: bool = True,
        **csv: Any,
    ) -> None:
        super().__init__(save_dir, name, version, **csv)
        self.tensorboard = tensorboard
        self._events: Any = None
        self._first_step: int | None = None  # of a resumed run

    @property
    def experiment(self) -> Any:
        if self._experiment is None:
            rows = _read_rows(Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE)
            writer = super().experiment  # deletes the file that is there
            if isinstance(writer, ExperimentWriter):
                writer.metrics = rows
            if rows:
                self._first_step = int(max(row.get("step", 0) for row in rows)) + 1
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics(dict(metrics), step)
        if self.tensorboard:
            events = self._open_events()
            for name, value in metrics.items():
                events.add_scalar(name, float(value), step)

    @rank_zero_only
    def save(self) -> None:
        super().save()
        if self._events is not None:
            self._events.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        if self._events is not None:
            self._events.close()
            self._events = self._first_step = None

    def _open_events(self) -> Any:
        if self._events is None:
            from tensorboardX import SummaryWriter

            # TensorBoard hides what an interrupted run wrote after the checkpoint it goes on from.
            self._events = SummaryWriter(self.log_dir, purge_step=self._first_step)
        return self._events


def forget_after(folder: Path, epoch: int) -> None:
    """Drop the rows of ``metrics.csv`` that come after the checkpoint of ``epoch``."""
    path = folder / ExperimentWriter.NAME_METRICS_FILE
    rows = [row for row in _read_rows(path) if int(float(row.get("epoch", 0))) <= epoch]
    if rows:
        names = sorted({name for row in rows for name in row})
        part = path.with_name(f"{path.name}.part")  # whole or not at all
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=names)
            writer.writeheader()
            writer.writerows(rows)
        part.replace(path)


def _read_rows(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: _number(text) for name, text in row.items() if text}
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
