"""The run's folder and its CSV log."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter


class RunLogger(CSVLogger):
    """Lightning's CSV logger, but a resumed run keeps the rows of its ``metrics.csv``.

    The folder of a run is ``save_dir/name/version_k``.
    """

    @property
    def experiment(self) -> Any:
        if self._experiment is None:
            rows = _read_rows(Path(self.log_dir) / ExperimentWriter.NAME_METRICS_FILE)
            writer = super().experiment  # deletes the file that is there
            if isinstance(writer, ExperimentWriter):
                writer.metrics = rows
        return super().experiment


def forget_after(folder: Path, epoch: int) -> None:
    """Drop the rows of ``metrics.csv`` that come after the checkpoint of ``epoch``."""
    path = folder / ExperimentWriter.NAME_METRICS_FILE
    rows = [row for row in _read_rows(path) if int(float(row.get("epoch", 0))) <= epoch]
    if rows:
        names = sorted({name for row in rows for name in row})
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names)
            writer.writeheader()
            writer.writerows(rows)


def _read_rows(path: Path) -> list[dict[str, float]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {name: _number(text) for name, text in row.items() if text}
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
