"""Evaluations apart from the run's own test: their configuration, their place, what they say."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.loading.preprocessing import PREPROCESSING
from ferlit.data.store import Store, StoreUnion
from ferlit.data.store.manifest import checksum
from ferlit.errors import DataError, FerlitError, UsageError
from ferlit.runs.folder import BEST, EVALUATIONS, RunFolder
from ferlit.runs.people import Split
from ferlit.runs.seen import ALLOW, Seen
from ferlit.runs.settings import Change, changes, named
from ferlit.training.free_settings import FREE_IN_EVALUATION

logger = logging.getLogger(__name__)
# What an evaluation may set otherwise than the training, by command.
_LIMITS = {"test": "test", "validate": "val", "predict": "predict"}
_USED = (
    "data.equalize",
    "data.eval_crops",
    "data.fit_plane",
    "data.fold",
    "data.folds",
    "data.folds_by",
    "model.flip_average",
    "trainer.fast_dev_run",
    "trainer.precision",
)
_NETWORK = ("model.backbone", "model.branches")  # with all below


@dataclass(frozen=True)
class Plan:
    """An evaluation before it runs.

    Args:
        command: "test", "validate" or "predict".
        checkpoint: What is evaluated.
        changed: Settings that are not those of the training.
        config: The configuration in force, plain.
    """

    command: str
    checkpoint: Path
    changed: tuple[Change, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)

    def says(self, data: ExpressionDataModule, seen: Seen | None) -> dict[str, Any]:
        """What ``metrics.json`` says of it beside the results.

        Args:
            data: After its setup.
            seen: Who of the data the network has seen.
        """
        changed = self.changed
        return {
            "command": self.command,
            "checkpoint": str(self.checkpoint.absolute()),
            "checkpoint_sha256": checksum(self.checkpoint),
            "store": _store(data.store),
            "split": Split.of(data).title,
            "settings": self._settings(),
            "changed": {c.name: {"training": c.old, "here": c.new} for c in changed},
            "people": None if seen is None else seen.to_dict(),
        }

    def folder(self, data: ExpressionDataModule, says: Mapping[str, Any]) -> Path:
        """Where its results go: the same place for the same evaluation, and for no other.

        Args:
            data: After its setup.
            says: What `says` gave.
        """
        run = RunFolder.around(self.checkpoint)
        if self._is_of_the_run(data) and run is not None:
            return run.path
        what = {key: value for key, value in says.items() if key != "checkpoint"}
        what["store"] = _unplaced(says["store"])
        digest = hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode())
        split = Split.of(data)
        for parts in (split.persons, split.images):
            for name in sorted(parts):
                digest.update(parts[name].tobytes())
        name = f"{self.command}_{self.checkpoint.stem}_{digest.hexdigest()[:8]}"
        return (run.path if run else self.checkpoint.absolute().parent) / EVALUATIONS / name

    def _settings(self) -> dict[str, Any]:
        data, model, trainer = (
            self.config.get(name) or {} for name in ("data", "model", "trainer")
        )
        options, network = data.get("init_args") or {}, model.get("init_args") or {}
        limit = f"limit_{_LIMITS[self.command]}_batches"
        crops = options.get("eval_crops", 1)
        return {
            **({"eval_crops": crops} if crops != 1 else {}),
            "equalize": options.get("equalize"),
            "fit_plane": options.get("fit_plane"),
            "flip_average": network.get("flip_average"),
            "precision": trainer.get("precision"),
            limit: trainer.get(limit),
        }

    def _is_of_the_run(self, data: ExpressionDataModule) -> bool:
        """Whether these are the run's predictions: of its best network, store and settings."""
        run = RunFolder.around(self.checkpoint)
        if self.command != "predict" or run is None or self.checkpoint.name != BEST:
            return False
        store = run.record().get("store") or {}
        is_same_store = store.get("fingerprint") == data.store.description.fingerprint
        is_same_store &= store.get("content", data.store.content) == data.store.content
        return is_same_store and not self.changed


def _store(store: Store | StoreUnion) -> dict[str, Any]:
    """What ``metrics.json`` says of the data: of several stores together, and of each."""
    known = store.description
    said = {
        "database": known.database,
        "fingerprint": known.fingerprint,
        "content": store.content,
    }
    if isinstance(store, Store):
        return {"folder": str(store.folder.resolve()), **said, "reader": known.reader}
    stores = [{"name": member.name, **_store(member.store)} for member in store.members]
    return {**said, "stores": stores}


def _unplaced(store: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says nothing of what is in them beside the content."""
    if "stores" in store:
        return {**store, "stores": [_unplaced(each) for each in store["stores"]]}
    return {name: value for name, value in store.items() if name != "reader"} | {"folder": None}


def compare(
    command: str,
    checkpoint: Path,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    is_of_run: bool,
) -> Plan:
    """Compare the settings of an evaluation with those of the training.

    Args:
        command: "test", "validate" or "predict".
        checkpoint: What is evaluated.
        old: The configuration of its training.
        new: That of the command.
        is_of_run: Whether the configuration is that of the run, with options of the command line
            over it; one from elsewhere may well differ in what an evaluation does not use.

    Raises:
        FerlitError: the checkpoint is of another network.
        UsageError: an option has no effect on an evaluation.
    """
    found = changes(_comparable(old), _comparable(new))
    network = _of_network(found)
    if network:
        raise FerlitError(
            f"{checkpoint} is of another network than the configuration:\n  "
            + "\n  ".join(map(str, network))
            + f"\n`ferlit {command} {_place(checkpoint)}` needs no configuration"
        )
    used = named(found, [*_USED, f"trainer.limit_{_LIMITS[command]}_batches"])
    # Predictions judge nobody, so there is nothing to allow.
    judges = command != "predict"
    free = named(found, [name for name in FREE_IN_EVALUATION if judges or name != ALLOW])
    unused = [change for change in found if change not in [*used, *free]]
    if unused and is_of_run:
        names = "\n  ".join(map(str, unused))
        raise UsageError(f"these options have no effect on {command}; leave them out:\n  {names}")
    if unused:
        logger.warning(
            "%s does not use these settings, which differ from those of the training:\n  %s",
            *(command, "\n  ".join(map(str, unused))),
        )
    if used:
        logger.warning("other settings than in training:\n  %s", "\n  ".join(map(str, used)))
    config = json.loads(json.dumps(new, default=str))
    for change in unused:
        _put(config, change.path.split("."), change.old)
    return Plan(command, checkpoint, tuple(used), config)


def is_of_system(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """How the network of one configuration differs from that of another."""
    return _of_network(changes(_comparable(old), _comparable(new)))


def check_classes(checkpoint: Path, content: Mapping[str, Any], classes: list[str]) -> None:
    """See that data have the classes of a checkpoint, in its order.

    Raises:
        DataError: they have not; its outputs would be taken for other expressions.
    """
    own = (content.get("hyper_parameters") or {}).get("classes")
    if own is not None and list(own) != list(classes):
        raise DataError(
            f"{checkpoint} knows the classes {', '.join(own)}, and the data have "
            f"{', '.join(classes)}; give data of the database that it was trained on, or take "
            f"`ferlit evaluate --model {checkpoint} --store STORE`, which matches them by name"
        )


def changed_preprocessing(content: Mapping[str, Any], data: ExpressionDataModule) -> list[Change]:
    """How the faces of data are made otherwise than those that a checkpoint was trained on.

    Args:
        content: Of the checkpoint.
        data: After its setup.
    """
    old = (content.get(PREPROCESSING) or {}).get("landmarks")
    found = changed_landmarks(old, data.preprocessing.landmarks)
    if found:
        logger.warning("other settings than in training:\n  %s", found[0])
    return found


def changed_landmarks(old: str | None, new: str) -> list[Change]:
    """Whether faces were registered by other landmarks than those of a training.

    Args:
        old: Of the training; None where it is not known.
        new: Of the store.

    >>> [str(change) for change in changed_landmarks("mediapipe", "none")]
    ['landmarks of the store: mediapipe there, none now']
    """
    return [] if old in (None, new) else [Change("landmarks of the store", old, new)]


def _comparable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without the class of its data: images are evaluated one by one."""
    data = config.get("data")
    if not isinstance(data, Mapping):
        return dict(config)
    return {**config, "data": {"init_args": data.get("init_args") or {}}}


def _of_network(found: list[Change]) -> list[Change]:
    whole = ("model", "model.metric_loss")
    return [change for change in found if change.name in whole or named([change], _NETWORK)]


def _place(checkpoint: Path) -> Path:
    run = RunFolder.around(checkpoint)
    return checkpoint if run is None else run.path


def _put(config: Any, path: list[str], value: Any) -> None:
    for name in path[:-1]:
        config = config[name]
    config[path[-1]] = value
