"""What a run was made with, and whether it came to its end: ``run.json`` in the run's folder."""

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from ferlit.data.datamodule import ExpressionDataModule
from ferlit.data.manifest import MANIFEST, checksum
from ferlit.errors import FerlitError
from ferlit.training.callbacks.summary import is_trial, run_folder
from ferlit.training.record.environment import describe_environment, device_names
from ferlit.training.record.wandb_logger import WandbRunLogger

RUN = "run.json"


class RecordRun(Callback):
    """Writes ``run.json`` when a fit starts; `mark_finished` completes it.

    It holds the command, the seeds, the split, the store with its checksums, the devices and the
    environment (`describe_environment`). A resumed run keeps the time of its first start and lists
    the checkpoints that it went on from; its seconds count those up to the checkpoint as well. One
    whose folder has another path by then still knows its best accuracy.
    """

    def __init__(self) -> None:
        self._clock = time.time()
        self._earlier = 0.0  # seconds, before the checkpoint that this run goes on from

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = time.time()
        folder = run_folder(trainer)
        if not trainer.is_global_zero or is_trial(trainer):
            return
        folder.mkdir(parents=True, exist_ok=True)
        data = trainer.datamodule  # type: ignore[attr-defined]
        content: dict[str, Any] = {"command": sys.argv, "started": _now(), "resumed_from": []}
        content |= _seeds_and_data(data) | _devices(trainer) | describe_environment()
        before = read_run(folder)
        checkpoint = trainer.ckpt_path
        if before and checkpoint is not None:
            resumed = {"checkpoint": str(checkpoint), "at": _now(), "command": before["command"]}
            content["started"] = before["started"]
            content["resumed_from"] = [*before.get("resumed_from", []), resumed]
        content |= {"clock": self._clock, "earlier_seconds": round(self._earlier, 1)}
        write_run(folder, content)
        if isinstance(trainer.logger, WandbRunLogger):
            trainer.logger.log_config({"run": content})
            if isinstance(data, ExpressionDataModule):
                trainer.logger.log_store(data.store.folder)

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


def write_run(folder: Path, content: dict[str, Any]) -> None:
    """Write ``run.json``, whole or not at all."""
    part = folder / f"{RUN}.part"
    part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    part.replace(folder / RUN)


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says; nothing where there is none or it is damaged."""
    try:
        content: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content


def mark_finished(folder: Path) -> None:
    """Note that the fit of a run, and its test where there is one, came to the end."""
    content = read_run(folder)
    seconds = time.time() - content.get("clock", time.time()) + content.get("earlier_seconds", 0.0)
    write_run(folder, content | {"finished": _now(), "seconds": round(seconds, 1)})


def is_finished(folder: Path) -> bool:
    """Whether a run came to its end."""
    return "finished" in read_run(folder)


def check_fold(checkpoint: Path, data: ExpressionDataModule) -> None:
    """See that the run of a checkpoint had the round of the cross-validation that the data have.

    The network of another round has trained on people of this one's validation and test. Nothing is
    known of a checkpoint outside a run's folder, or one from other images.

    Args:
        checkpoint: To go on from, or to evaluate.
        data: After its setup.

    Raises:
        FerlitError: the rounds differ.
    """
    run = read_run(checkpoint.parent.parent)
    if run.get("store", {}).get("fingerprint") != data.store.description.fingerprint:
        return
    trained, given = (run["fold"], run["folds"]), _fold(data)
    if trained != given:
        texts = [
            "the official split" if fold is None else f"fold {fold} of {folds}"
            for fold, folds in (trained, given)
        ]
        options = "null" if trained[0] is None else f"{trained[0]} --data.folds={trained[1]}"
        raise FerlitError(
            f"{checkpoint} was trained in {texts[0]}, and the data are those of {texts[1]}: it has "
            f"seen people that would be tested; give --data.fold={options}"
        )


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
    store, (fold, folds) = data.store, _fold(data)
    manifest = store.folder / MANIFEST
    return {
        "seeds": seeds | {"data": data.seed},
        "fold": fold,
        "folds": folds,
        "store": {
            "folder": str(store.folder.resolve()),
            "database": store.description.database,
            "images": len(store.records),
            "fingerprint": store.description.fingerprint,
            "manifest_sha256": checksum(manifest) if manifest.is_file() else None,
        },
    }


def _devices(trainer: Trainer) -> dict[str, Any]:
    return {
        "devices": device_names(trainer.strategy.root_device, trainer.num_devices),
        "processes": trainer.world_size,
        "precision": trainer.precision,
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
