"""Where a checkpoint comes from: the run's folder around it, and the runs before it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ferlit.data.folds import FoldsBy
from ferlit.data.store import DESCRIPTION, Description
from ferlit.errors import DataError
from ferlit.packed import ENDING, read_description
from ferlit.runs.checkpoints import CONFIGURATION
from ferlit.runs.folder import BEST, RunFolder
from ferlit.shipped import place_of

_OF_STORES = ("database", "reader", "landmarks", "images")
_OF_MACHINE = ("root", "store", "init_from")  # options of a run that are paths


@dataclass(frozen=True)
class Origin:
    """What the run's folder says of a checkpoint; each part is empty where it says nothing.

    Args:
        checkpoint: The file.
        config: ``config.yaml``.
        metrics: ``metrics.json``, results on the test data by level ("image", "sequence").
        split: ``split.csv``.
        confusion: ``confusion.csv``, counts by image; rows are actual, columns predicted.
        named: The databases, where the file itself names them.
        stores: Those of its own training, each with ``database``, ``reader`` (its options),
            ``landmarks`` and ``images``, as far as they are known.
    """

    checkpoint: Path
    config: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    split: pd.DataFrame
    confusion: pd.DataFrame
    named: tuple[str, ...] = ()
    stores: tuple[dict[str, Any], ...] = ()

    @classmethod
    def of(cls, checkpoint: Path) -> "Origin":
        """Read the folder that ``checkpoints/`` with the checkpoint lies in.

        A network in safetensors says it itself, see `ferlit.packed`.

        Results are taken for those of ``best.ckpt`` alone: that is the checkpoint a run tests.

        Raises:
            DataError: a file in it is damaged.
        """
        checkpoint = place_of(checkpoint)
        if checkpoint.suffix == ENDING and checkpoint.is_file():
            said = read_description(checkpoint)
            config, figures = said.get(CONFIGURATION) or {}, said.get("figures") or {}
            named, stores = (tuple(said.get(name) or ()) for name in ("databases", "stores"))
            return cls(checkpoint, config, figures, pd.DataFrame(), pd.DataFrame(), named, stores)
        run = RunFolder.around(checkpoint.resolve())
        if run is None:
            return cls(checkpoint, {}, {}, pd.DataFrame(), pd.DataFrame())
        is_tested = checkpoint.name == BEST
        try:
            return cls(
                checkpoint,
                config=run.config(),
                metrics=run.results() if is_tested else {},
                split=run.split(),
                confusion=run.confusion() if is_tested else pd.DataFrame(),
                stores=_stores(run.record().get("store")),
            )
        except DataError as error:
            reason = str(error).replace("cannot be read", "damaged", 1)
            raise DataError(f"{reason}; it belongs to the checkpoint's run") from error

    @property
    def data(self) -> dict[str, Any]:
        """The options of the data module."""
        return dict(self.config.get("data", {}).get("init_args") or {})

    @property
    def database(self) -> str | None:
        """What this run trained on; several stores' databases are joined by "+"."""
        return "+".join(self.own_databases) or None

    @property
    def own_databases(self) -> tuple[str, ...]:
        """What this run trained on, one a store."""
        if self.stores:
            return tuple(each["database"] for each in self.stores)
        name, stores = self.data.get("database"), self.data.get("store")
        if name is not None:
            return (str(name),)
        folders = stores if isinstance(stores, list) else [] if stores is None else [stores]
        paths = [Path(folder) / DESCRIPTION for folder in folders]
        return tuple(Description.read(path).database for path in paths if path.is_file())

    @property
    def fold(self) -> tuple[int, int] | None:
        """Round and number of folds of the cross-validation; None for the official split."""
        fold, folds = self.data.get("fold"), self.data.get("folds")
        return None if fold is None or folds is None else (int(fold), int(folds))

    @property
    def folds_by(self) -> FoldsBy:
        """What the folds go by."""
        return "image" if self.data.get("folds_by") == "image" else "identity"

    @property
    def databases(self) -> tuple[str, ...]:
        """What the network was trained on, the latest first, as far as the folders tell."""
        if self.named:
            return self.named
        names: list[str] = []
        current, seen = self, {self.checkpoint.resolve()}
        while True:
            names += current.own_databases
            start = (current.config.get("model", {}).get("init_args") or {}).get("init_from")
            if start is None or Path(start).resolve() in seen:
                break
            seen.add(Path(start).resolve())
            current = Origin.of(Path(start))
            names += current.named
        return tuple(dict.fromkeys(names))


def _stores(record: Any) -> tuple[dict[str, Any], ...]:
    """What ``run.json`` says of the data: of a store, or of each of several."""
    if not isinstance(record, Mapping):
        return ()
    stores = record.get("stores") or [record]
    return tuple(
        {name: each.get(name) for name in _OF_STORES} | _of_folder(each)
        for each in stores
        if each.get("database")
    )


def _of_folder(record: Mapping[str, Any]) -> dict[str, Any]:
    """What the store itself says, where an earlier version did not record it."""
    path = Path(str(record.get("folder"))) / DESCRIPTION
    if "reader" in record or not path.is_file():
        return {}
    found = Description.read(path)
    if found.fingerprint != record.get("fingerprint"):
        return {}
    return {"reader": found.reader, "landmarks": found.landmarks}


def without_paths(value: Any) -> Any:
    """A configuration without what tells of the machine that it ran on.

    Of paths that stay the last part does; what is empty is left out.

    >>> without_paths({"data": {"root": "/data/ferplus", "reader": {"votes": "majority"}}})
    {'data': {'reader': {'votes': 'majority'}}}
    """
    if isinstance(value, Mapping):
        return {
            name: without_paths(inner)
            for name, inner in value.items()
            if name not in _OF_MACHINE and inner not in (None, {})
        }
    if isinstance(value, (list, tuple)):
        return [without_paths(inner) for inner in value]
    if isinstance(value, Path) or (isinstance(value, str) and os.sep in value):
        return Path(value).name
    return value
