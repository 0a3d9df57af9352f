"""The run's folder and what is logged there: a CSV table and TensorBoard events."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from ferlit.errors import FerlitError
from ferlit.files import whole_file
from ferlit.runs.folder import HISTORY

Row = dict[str, str]  # of ``metrics.csv``, without its empty fields


class RunLogger(CSVLogger):
    """Lightning's CSV logger, but a run that goes on keeps the rows of its ``metrics.csv``.

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

    def _get_next_version(self) -> int:
        """The next number; its folder is made at once, so that no other run takes it."""
        number = super()._get_next_version()
        if rank_zero_only.rank:  # type: ignore[attr-defined]
            return number  # the first process takes it, and tells
        while True:
            try:
                Path(self.root_dir, f"version_{number}").mkdir(parents=True)
                return number
            except FileExistsError:
                number += 1

    @property
    def begun(self) -> Path | None:
        """The run's folder; None as long as it has no number, which asking for it would take."""
        return None if self._version is None else Path(self.log_dir)

    def move(self, folder: Path) -> None:
        """Write into another folder, before anything is written."""
        self._save_dir, self._name = str(folder.parent.parent), folder.parent.name
        self._version = folder.name

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if self._experiment is None:
            self._experiment = _Table(self.log_dir)
        return self._experiment

    @property
    def path(self) -> Path:
        """``metrics.csv``."""
        return Path(self.log_dir) / HISTORY

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics(dict(metrics), step)
        if self.tensorboard:
            events = self._open_events()
            for name, value in metrics.items():
                events.add_scalar(name, float(value), step)

    @rank_zero_only
    def save(self) -> None:
        try:
            super().save()
        except OSError as error:
            raise FerlitError(f"{self.path}: it cannot be written ({error.strerror})") from error
        if self._events is not None:
            self._events.flush()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        super().finalize(status)
        if self._events is not None:
            self._events.close()
            self._events = None

    @rank_zero_only
    def restore(self, table: str) -> None:
        """Make ``metrics.csv`` what it was at a checkpoint, whatever became of it since.

        What the file lacks, because the run was killed before it was logged, is logged now.

        Args:
            table: Its text; "" forgets all rows.
        """
        rows, there = parse_rows(table), read_rows(self.path)
        kept = 0
        while kept < min(len(rows), len(there)) and rows[kept] == there[kept]:
            kept += 1
        write_rows(self.path, rows[:kept])
        self._experiment = None  # it knows other columns
        for row in rows[kept:]:
            values = {name: _number(text) for name, text in row.items() if name != "step"}
            self.log_metrics(values, int(row["step"]))
        self.save()

    def _open_events(self) -> Any:
        if self._events is None:
            from tensorboardX import SummaryWriter

            # TensorBoard hides what an interrupted run wrote after the checkpoint it goes on from.
            steps = [int(row["step"]) for row in read_rows(self.path) if "step" in row]
            is_begun = any(Path(self.log_dir).glob("events.out.*"))
            first = max(steps, default=-1) + 1 if steps or is_begun else None
            self._events = SummaryWriter(self.log_dir, purge_step=first)
        return self._events


class _Table(ExperimentWriter):
    """Adds rows to a ``metrics.csv`` and leaves those that are there; Lightning's begins anew."""

    def __init__(self, log_dir: str) -> None:
        super().__init__(log_dir)
        path = Path(self.metrics_file_path)
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.metrics_keys = next(csv.reader(file), [])

    def _check_log_dir_exists(self) -> None:
        """Nothing: a run goes on in its folder."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        write_rows(path, read_rows(path), fieldnames)


def read_rows(path: Path) -> list[Row]:
    """The rows of a ``metrics.csv``; none where there is no such file."""
    return parse_rows(path.read_text(encoding="utf-8")) if path.is_file() else []


def parse_rows(table: str) -> list[Row]:
    """The rows in the text of a ``metrics.csv``."""
    return [
        {name: text for name, text in row.items() if name and text}
        for row in csv.DictReader(io.StringIO(table, newline=""))
    ]


def format_rows(rows: Iterable[Mapping[str, Any]], names: Iterable[str] = ()) -> str:
    r"""The text of a ``metrics.csv``.

    Args:
        rows: A field that a row lacks is empty.
        names: Of the columns; those of the rows by default, in the order of the alphabet.

    >>> format_rows([{"step": 3, "loss": 0.5}, {"step": 4}])
    'loss,step\r\n0.5,3\r\n,4\r\n'
    """
    rows = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(names) or sorted({name for row in rows for name in row}))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]], names: Iterable[str] = ()) -> None:
    """Write a ``metrics.csv``, whole or not at all; without rows there is no such file."""
    rows = list(rows)
    if not rows:
        path.unlink(missing_ok=True)
        return
    with whole_file(path) as draft:
        draft.write_text(format_rows(rows, names), encoding="utf-8", newline="")


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdigit() else float(text)
