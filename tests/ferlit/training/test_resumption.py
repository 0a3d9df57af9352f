"""A fit that was stopped, anywhere, gives the numbers of one that was not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ferlit.cli import main
from ferlit.data.store import Store

EPOCHS = 4
STOP = "--trainer.callbacks+=tests.ferlit.training.stopping.Stop"
STOP_ARGUMENTS = "--trainer.callbacks.init_args"
CALLBACKS = "--trainer.callbacks+="
EARLY = (
    f"{CALLBACKS}lightning.pytorch.callbacks.EarlyStopping",
    "--trainer.callbacks.monitor=val/loss",
    "--trainer.callbacks.min_delta=100",
    "--trainer.callbacks.patience=3",
)
EMA = (
    f"{CALLBACKS}lightning.pytorch.callbacks.EMAWeightAveraging",
    "--trainer.callbacks.decay=0.9",
)
BACK_OFF = (
    "--model.lr_scheduler=null",
    f"{CALLBACKS}ferlit.training.BackOff",
    "--trainer.callbacks.patience=1",
)
TUPLES = ("--config=ckplus.yaml", "--data.tuples_per_batch=6")
IMAGES = (*TUPLES[:1], "--config=systems/softmax.yaml", "--data.batch_size=20")
COMBINATIONS = {
    "tuples": (0, *TUPLES),
    "tuples, workers": (2, *TUPLES),
    "images, workers": (2, *IMAGES),
    "images, balanced, mixed": (2, *IMAGES, "--data.balanced=true", "--model.mixup=0.4"),
    "tuples, balanced": (0, *TUPLES, "--data.balanced=true"),
    "accumulation": (2, *TUPLES, "--trainer.accumulate_grad_batches=3"),
    "averaged weights": (2, *TUPLES, *EMA),
    "back-off": (2, *TUPLES, *BACK_OFF),
    "early stopping": (2, *TUPLES, *EARLY),
    "all together": (
        2,
        *TUPLES,
        "--data.balanced=true",
        "--trainer.accumulate_grad_batches=2",
        *EMA,
        *BACK_OFF,
        *EARLY,
    ),
    "a memory": (
        0,
        *TUPLES,
        "--model.metric_loss=nmloss.CrossBatchMemory",
        "--model.metric_loss.loss=pytorch_metric_learning.losses.TripletMarginLoss",
        "--model.metric_loss.embedding_size=128",
        "--model.metric_loss.memory_size=100",
    ),
    "limits and steps": (
        2,
        *TUPLES,
        "--trainer.limit_train_batches=3",
        "--trainer.val_check_interval=0.5",
        "--trainer.log_every_n_steps=1",
        f"{CALLBACKS}lightning.pytorch.callbacks.LearningRateMonitor",
        "--trainer.callbacks.logging_interval=step",
    ),
    "by steps": (0, *TUPLES, "--trainer.max_steps=20", "--trainer.max_epochs=-1"),
}


def options(store: Path, runs: Path, workers: int, *more: str) -> list[str]:
    return [
        "fit",
        *more,
        f"--data.store={store}",
        "--data.folds=4",
        f"--data.num_workers={workers}",
        "--model.backbone=tests.ferlit.training.stopping.Dropping",
        f"--trainer.logger.save_dir={runs}",
        "--trainer.logger.init_args.name=run",
        "--trainer.accelerator=cpu",
        *(
            []
            if any("max_epochs" in option for option in more)
            else [f"--trainer.max_epochs={EPOCHS}"]
        ),
    ]


def stop(hook: str, epoch: int, mark: Path, **more: Any) -> list[str]:
    values = {"hook": hook, "epoch": epoch, "mark": mark, **more}
    return [STOP, *(f"{STOP_ARGUMENTS}.{name}={value}" for name, value in values.items())]


def folder(runs: Path) -> Path:
    return runs / "run" / "version_0"


def last(runs: Path) -> Path:
    return folder(runs) / "checkpoints" / "last.ckpt"


def checkpoint(runs: Path, name: str) -> dict[str, Any]:
    path = folder(runs) / "checkpoints" / f"{name}.ckpt"
    content: dict[str, Any] = torch.load(path, weights_only=True)
    content["callbacks"].pop("RecordRun")  # seconds
    for key, state in content["callbacks"].items():
        if key.startswith("ModelCheckpoint"):
            for place in ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path"):
                state[place] = Path(state[place]).name
            state["best_k_models"] = list(state["best_k_models"].values())
    return content


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two checkpoints differ, in one bit or more."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = [*one, *(name for name in other if name not in one)]
        return [
            found
            for name in names
            for found in differences(one.get(name), other.get(name), f"{place}/{name}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [found for k, pair in pairs for found in differences(*pair, f"{place}/{k}")]
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        is_same = one.dtype == other.dtype and torch.equal(one, other)
    else:
        is_same = one == other or (one != one and other != other)
    return [] if is_same else [f"{place}: {one} and {other}"]


def assert_same(one: Path, other: Path) -> None:
    assert (folder(one) / "metrics.csv").read_text() == (folder(other) / "metrics.csv").read_text()
    for name in ("best", "last"):
        assert differences(checkpoint(one, name), checkpoint(other, name)) == []
    for name in ("predictions.csv", "metrics.json", "split.csv"):
        assert (folder(one) / name).read_bytes() == (folder(other) / name).read_bytes()


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_stopped_fit_gives_the_numbers_of_one_never_stopped(
    store: Store, tmp_path: Path, name: str
) -> None:
    workers, *more = COMBINATIONS[name]
    whole, stopped = (options(store.folder, tmp_path / name, workers, *more) for name in "ab")
    assert main(whole) == 0
    hook = "on_validation_end" if workers else "on_train_batch_start"
    assert main([*stopped, *stop(hook, 2, tmp_path / "stopped")]) == 130
    assert main([*stopped, f"--ckpt_path={last(tmp_path / 'b')}"]) == 0
    assert_same(tmp_path / "a", tmp_path / "b")
