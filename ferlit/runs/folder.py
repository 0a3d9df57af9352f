"""The folder of a run: the names in it, and what its files say."""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ferlit.configurations import read_config
from ferlit.data.records import OF_IMAGE, STORE
from ferlit.errors import DataError
from ferlit.files import write_json

logger = logging.getLogger(__name__)
CHECKPOINTS, BEST, LAST = "checkpoints", "best.ckpt", "last.ckpt"
CONFIG, RECORD, SPLIT, HISTORY = "config.yaml", "run.json", "split.csv", "metrics.csv"
HYPER_PARAMETERS = "hparams.yaml"
RESULTS, CONFUSION = "metrics.json", "confusion.csv"
TESTED, PREDICTED = "predictions.csv", "predictions_all.csv"  # by a test; by ``ferlit predict``
LOG = "fit.log"  # what a fit prints that another command has started
WANDB = "wandb.json"
EVALUATIONS = "evaluations"  # those apart from the run's own test, a folder each


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run.

    Every reader raises `ferlit.errors.DataError` where its file is damaged. Only the history and
    the predictions must be there; the others are empty where they are not.

    Args:
        path: The folder.

    >>> RunFolder(Path("runs/ckplus/version_0")).best.as_posix()
    'runs/ckplus/version_0/checkpoints/best.ckpt'
    """

    path: Path

    @classmethod
    def around(cls, checkpoint: Path) -> "RunFolder | None":
        """The run that a checkpoint lies in; None where it lies elsewhere.

        >>> RunFolder.around(Path("runs/ckplus/version_0/checkpoints/best.ckpt")).path.name
        'version_0'
        >>> RunFolder.around(Path("best.ckpt")) is None
        True
        """
        folder = checkpoint.absolute().parent
        return cls(folder.parent) if folder.name == CHECKPOINTS else None

    @property
    def best(self) -> Path:
        """The checkpoint that validation chose."""
        return self.path / CHECKPOINTS / BEST

    @property
    def last(self) -> Path:
        """The checkpoint to go on from."""
        return self.path / CHECKPOINTS / LAST

    @property
    def log(self) -> Path:
        """What its fit printed, where another command has started it."""
        return self.path / LOG

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return "finished" in self.record()

    def config(self) -> dict[str, Any]:
        """``config.yaml``: the whole configuration."""
        path = self.path / CONFIG
        return read_config(path) if path.is_file() else {}

    def hyper_parameters(self) -> dict[str, Any]:
        """``hparams.yaml``: those of the module and the data module."""
        path = self.path / HYPER_PARAMETERS
        return read_config(path) if path.is_file() else {}

    def check_record(self) -> None:
        """See that ``run.json`` can be read, where there is one."""
        _read_json(self.path / RECORD)

    def record(self) -> dict[str, Any]:
        """``run.json``: what the run was made with; a damaged one says nothing but a warning."""
        try:
            return _read_json(self.path / RECORD)
        except DataError as error:
            logger.warning("%s: what it says is not known", error)
            return {}

    def write_record(self, content: dict[str, Any]) -> None:
        """Write ``run.json``, whole or not at all."""
        write_json(self.path / RECORD, content)

    def mark_finished(self) -> None:
        """Note that the fit, and its test where there is one, came to the end."""
        content = self.record()
        seconds = time.time() - content.get("clock", time.time())
        seconds += content.get("earlier_seconds", 0.0)
        self.write_record(content | {"finished": now(), "seconds": round(seconds, 1)})

    def split(self) -> pd.DataFrame:
        """``split.csv``: who trains, validates and tests."""
        return self._table(SPLIT, dtype={"identity": str}, keep_default_na=False)

    def history(self) -> pd.DataFrame:
        """``metrics.csv``: what was logged; an epoch may have several rows."""
        return read_table(self.path / HISTORY, ["epoch"])

    def results(self) -> dict[str, Any]:
        """``metrics.json``: what the test gave, by image and by sequence."""
        return _read_json(self.path / RESULTS)

    def confusion(self) -> pd.DataFrame:
        """``confusion.csv``: counts by image; rows are actual, columns predicted."""
        return self._table(CONFUSION, keep_default_na=False)

    def predictions(self, name: str = TESTED) -> pd.DataFrame:
        """One row an image: `OF_IMAGE`, of several stores ``store``, the probability of each class.

        Args:
            name: The file: `TESTED` or `PREDICTED`.
        """
        path = self.path / name
        classes = class_columns(read_table(path, OF_IMAGE, nrows=1))
        # Python's float reads exactly what was written: a rounded probability could win another
        # vote.
        numbers = dict.fromkeys(classes, float)
        texts = dict.fromkeys({*OF_IMAGE, STORE} - set(classes), str)
        return read_table(path, dtype=texts, converters=numbers, keep_default_na=False)

    def _table(self, name: str, **options: Any) -> pd.DataFrame:
        path = self.path / name
        return read_table(path, **options) if path.is_file() else pd.DataFrame()


def class_columns(predictions: pd.DataFrame) -> list[str]:
    """The classes of a table of predictions: all columns beside those that tell of the image.

    A column ``store`` tells of it where it stands before them; a class may have that name.

    >>> class_columns(pd.DataFrame(columns=["store", *OF_IMAGE, "anger", "fear"]))
    ['anger', 'fear']
    """
    names = [str(name) for name in predictions]
    before = names[: names.index(OF_IMAGE[-1])]
    return [
        name for name in names if name not in OF_IMAGE and (name != STORE or name not in before)
    ]


def read_table(path: Path, columns: Iterable[str] = (), **options: Any) -> pd.DataFrame:
    """A CSV file that must have rows, and some columns.

    Args:
        path: The file.
        columns: Names that must be there.
        **options: Of `pandas.read_csv`.

    Raises:
        DataError: it cannot be read, or lacks something.
    """
    try:
        table: pd.DataFrame = pd.read_csv(path, **options)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    missing = [name for name in columns if name not in table]
    if missing or table.empty:
        raise DataError(f"{path}: " + (f"no column {missing[0]}" if missing else "empty"))
    return table


def store_folders(record: Mapping[str, Any]) -> list[str]:
    """Where the store of a run lay, or its several did, as ``run.json`` says; nothing if not.

    >>> store_folders({"store": {"folder": "a"}}), store_folders({})
    (['a'], [])
    >>> store_folders({"store": {"stores": [{"folder": "a"}, {"folder": "b"}]}})
    ['a', 'b']
    """
    store = record.get("store") or {}
    stores = store.get("stores") or [store]
    return [str(each["folder"]) for each in stores if each.get("folder")]


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{path}: cannot be read (a {type(content).__name__}, not a record)")
    return content
