"""What a run was made with, and whether it came to its end: ``run.json`` in the run's folder."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.store import Store
from ferlit.data.store.manifest import MANIFEST, checksum
from ferlit.runs.environment import describe_environment, device_names
from ferlit.runs.folder import now
from ferlit.training.callbacks.summary import is_trial, run_folder
from ferlit.training.record.wandb_logger import WandbRunLogger


class RecordRun(Callback):
    """Writes ``run.json`` when a fit starts; `RunFolder.mark_finished` completes it.

    It holds the command, the seeds, the split, the store with its checksums, the devices and the
    environment (`describe_environment`). A resumed run keeps the time of its first start and lists
    the checkpoints that it went on from; its seconds count those up to the checkpoint as well. One
    whose folder has another path by then still knows its best accuracy.
    """

    def __init__(self) -> None:
        self.changed: list[str] = []  # settings that a resumed run has changed, for people
        self._clock = time.time()
        self._earlier = 0.0  # seconds, before the checkpoint that this run goes on from

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = time.time()
        run = run_folder(trainer)
        if not trainer.is_global_zero or is_trial(trainer):
            return
        data = trainer.datamodule  # type: ignore[attr-defined]
        content: dict[str, Any] = {"command": sys.argv, "started": now(), "resumed_from": []}
        content |= _seeds_and_data(data) | _devices(trainer) | describe_environment()
        before = run.record()
        checkpoint = trainer.ckpt_path
        if before and checkpoint is not None:
            resumed = {"checkpoint": str(checkpoint), "at": now(), "command": before["command"]}
            resumed |= {"changed": self.changed}
            content["started"] = before["started"]
            content["resumed_from"] = [*before.get("resumed_from", []), resumed]
        content |= {"clock": self._clock, "earlier_seconds": round(self._earlier, 1)}
        run.write_record(content)
        if isinstance(trainer.logger, WandbRunLogger):
            trainer.logger.log_config({"run": content})
            if isinstance(data, ExpressionDataModule):
                for member in data.store.members:
                    is_alone = isinstance(data.store, Store)
                    key = "store" if is_alone else f"store_{member.name}"
                    trainer.logger.log_store(member.store.folder, key)

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self._earlier + time.time() - self._clock}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._earlier = state_dict["seconds"]

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # Lightning forgets the best accuracy where the folder's path is not what it was, moved or
        # only written in another way; the next epoch would replace the best network then.
        states = checkpoint.get("callbacks", {})
        here = Path(trainer.ckpt_path or "").resolve().parent
        for callback in trainer.checkpoint_callbacks:
            state, folder = states.get(callback.state_key), getattr(callback, "dirpath", None)
            if state and folder and Path(folder).resolve() == here:
                states[callback.state_key] = moved(state, state["dirpath"], folder)


def moved(state: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    """The state of a `ModelCheckpoint` whose folder has another path now.

    >>> moved({"best_k_models": {"a/best.ckpt": 0.5}, "dirpath": "a"}, "a", "b")
    {'best_k_models': {'b/best.ckpt': 0.5}, 'dirpath': 'b'}
    """

    def path(value: Any) -> Any:
        return f"{new}{value.removeprefix(old)}" if _is_below(value, old) else value

    def paths(value: Any) -> Any:
        if isinstance(value, dict):
            return {path(name): score for name, score in value.items()}
        return path(value)

    return {name: paths(value) for name, value in state.items()}


def _is_below(value: Any, folder: str) -> bool:
    return isinstance(value, str) and Path(value).is_relative_to(folder)


def _fold(data: ExpressionDataModule) -> tuple[int | None, int | None]:
    return data.fold, data.folds if data.fold is not None else None


def _seeds_and_data(data: Any) -> dict[str, Any]:
    seed = os.environ.get("PL_GLOBAL_SEED")
    seeds = {"seed_everything": None if seed is None else int(seed)}
    if not isinstance(data, ExpressionDataModule):
        return {"seeds": seeds}
    fold, folds = _fold(data)
    return {
        "seeds": seeds | {"data": data.seed},
        "fold": fold,
        "folds": folds,
        "folds_by": None if fold is None else data.folds_by,
        "store": _store(data),
    }


def _store(data: ExpressionDataModule) -> dict[str, Any]:
    """What the faces are from: a store, or several with the weight and the faces of each."""
    store = data.store
    if isinstance(store, Store):
        return _one_store(store)
    weights = data.weights
    stores = []
    for member in store.members:
        weight = 1.0 if weights is None else float(weights[member.start])
        lost = int(store.left_out[member.rows].sum()) if data.fold is None else 0
        own = {"name": member.name, "weight": weight, "left_out_of_official_split": lost}
        stores.append(own | _one_store(member.store))
    return {
        "database": store.description.database,
        "images": len(store.records),
        "fingerprint": store.description.fingerprint,
        "content": store.content,
        "images_in_several": int(store.again.sum()),
        "stores": stores,
    }


def _one_store(store: Store) -> dict[str, Any]:
    manifest = store.folder / MANIFEST
    return {
        "folder": str(store.folder.resolve()),
        "database": store.description.database,
        "reader": store.description.reader,
        "landmarks": store.description.landmarks,
        "images": len(store.records),
        "fingerprint": store.description.fingerprint,
        "content": store.content,
        "manifest_sha256": checksum(manifest) if manifest.is_file() else None,
    }


def _devices(trainer: Trainer) -> dict[str, Any]:
    return {
        "devices": device_names(trainer.strategy.root_device, trainer.num_devices),
        "processes": trainer.world_size,
        "precision": trainer.precision,
    }
