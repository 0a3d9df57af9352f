"""A fit that was stopped, anywhere, gives the numbers of one that was not."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

from ferlit.cli import main
from ferlit.data.store import Store
from tests.ferlit.tiny import TINY
from tests.ferlit.training.fits import ROOT, environment

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
    "averaged weights, counted anew": (
        2,
        *IMAGES,
        f"{CALLBACKS}ferlit.training.AveragedWeights",
        "--trainer.callbacks.decay=0.9",
    ),
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
        "--model.metric_loss=tests.ferlit.training.stopping.Memory",
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
    "a rate of the loss's own": (
        0,
        *TUPLES,
        "--model.loss_rate=0.1",
        "--model.metric_loss.sharpness=2",
        "--model.metric_loss.learn=linear",
    ),
    "double precision": (0, *TUPLES, "--trainer.precision=64-true"),
    "by steps": (
        0,
        *TUPLES,
        "--trainer.max_steps=44",
        "--trainer.max_epochs=-1",
        "--model.lr_scheduler.T_max=4",
    ),
}


def options(store: Path, runs: Path, workers: int, *more: str) -> list[str]:
    return [
        "fit",
        *more,
        f"--data.store={store}",
        "--data.folds=4",
        f"--data.num_workers={workers}",
        "--model.backbone=tests.ferlit.training.stopping.Dropping",
        *TINY[1:],
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
    content.pop("configuration")  # with the folder, and what stops the fit
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


def test_a_fit_stopped_before_its_test_only_tests(store: Store, tmp_path: Path) -> None:
    begun = options(store.folder, tmp_path, 0, *TUPLES, *EARLY)
    stopped = stop("on_test_start", 4, tmp_path / "stopped")
    assert main([*begun, "--trainer.max_epochs=9", *stopped]) == 130
    files = [folder(tmp_path) / "metrics.csv", last(tmp_path)]
    before = [path.read_bytes() for path in files]
    assert checkpoint(tmp_path, "last")["epoch"] == 3, "early stopping ends it"
    going_on = [*begun, "--trainer.max_epochs=9", f"--ckpt_path={last(tmp_path)}"]
    assert main(going_on) == 0
    assert [path.read_bytes() for path in files] == before
    assert (folder(tmp_path) / "predictions.csv").is_file()
    assert main([*going_on, "--trainer.callbacks.patience=4"]) == 0
    assert checkpoint(tmp_path, "last")["epoch"] == 4, "more patience lets it go on"


def test_what_is_logged_does_not_depend_on_the_workers(store: Store, tmp_path: Path) -> None:
    for workers, runs in ((0, "a"), (2, "b")):
        limits = ("--trainer.limit_train_batches=2", "--trainer.max_epochs=2")
        assert main(options(store.folder, tmp_path / runs, workers, *TUPLES, *limits)) == 0
    assert_same(tmp_path / "a", tmp_path / "b")
    table = pd.read_csv(folder(tmp_path / "a") / "metrics.csv")
    sources = table[[name for name in table if name.startswith("negatives/")]].dropna()
    counts = sources.to_numpy() * 2 * 36  # two batches of 6 tuples, 6 negatives each
    assert counts == pytest.approx(counts.round(), abs=1e-4)


class Killed:
    """A fit that kills itself, or is killed, and then goes on."""

    def __init__(self, store: Store, runs: Path) -> None:
        self.runs = runs
        self.options = [
            *options(store.folder, runs, 2, *TUPLES, "--data.balanced=true"),
            "--trainer.logger.init_args.version=version_0",
        ]

    def start(self, *more: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "ferlit", *self.options, *more],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def go_on(self) -> None:
        going_on = [f"--ckpt_path={last(self.runs)}"] if last(self.runs).is_file() else []
        assert main([*self.options, *going_on]) == 0


@pytest.fixture(scope="module")
def whole(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit that nobody killed."""
    runs = tmp_path_factory.mktemp("whole")
    Killed(store, runs).go_on()
    return runs


@pytest.mark.parametrize(
    ("hook", "epoch"),
    [
        ("on_validation_end", 0),  # before there is a checkpoint
        ("on_train_batch_end", 2),
        ("on_save_checkpoint", 2),
        ("log_metrics", 1),  # between an epoch's checkpoint and its row
    ],
)
def test_a_fit_killed_in_a_hook_gives_the_numbers_of_one_never_killed(
    store: Store, whole: Path, tmp_path: Path, hook: str, epoch: int
) -> None:
    fit = Killed(store, tmp_path)
    if hook == "log_metrics":
        more = ["--trainer.logger=tests.ferlit.training.stopping.KilledBeforeRow"]
        more += [o for o in fit.options if o.startswith("--trainer.logger.")]
    else:
        more = stop(hook, epoch, tmp_path / "killed", kill=True)
    assert fit.start(*more).wait(timeout=300) == -signal.SIGKILL
    fit.go_on()
    assert_same(whole, tmp_path)


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_a_fit_killed_at_a_random_moment_gives_the_numbers_of_one_never_killed(
    store: Store, whole: Path, tmp_path: Path, sign: signal.Signals
) -> None:
    fit = Killed(store, tmp_path)
    process = fit.start()
    while not last(tmp_path).is_file() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(random.uniform(0, 1))
    process.send_signal(sign)
    assert process.wait(timeout=300) in (-signal.SIGKILL, 130, 0)
    fit.go_on()
    assert_same(whole, tmp_path)
