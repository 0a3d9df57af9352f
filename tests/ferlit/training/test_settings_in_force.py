"""What a run records is what was in force: options are applied or refused, by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.training import CosineAnnealingLR
from tests.ferlit.training.fits import fit_options


def without(options: list[str], *names: str) -> list[str]:
    return [option for option in options if not any(name in option for name in names)]


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("--model.optimizer.lr=0.1", "model.optimizer.lr: 0.03 there, 0.1 now"),
        ("--model.optimizer.weight_decay=0.5", "model.optimizer.weight_decay: 0.0 there, 0.5 now"),
        ("--model.optimizer=SGD", "model.optimizer: Adam there, SGD now"),
        ("--model.lr_scheduler.T_max=7", "model.lr_scheduler.T_max: 60 there, 7 now"),
        ("--model.lr_scheduler=null", "model.lr_scheduler: CosineAnnealingLR there, None now"),
        ("--model.alpha=0.5", "model.alpha: 1.0 there, 0.5 now"),
        ("--model.metric_loss.threshold=1", "model.metric_loss.threshold: 2.0 there, 1.0 now"),
        ("--model.metric_loss.sharpness=4", "model.metric_loss.sharpness: None there, 4"),
        ("--model.metric_loss.learn=linear", "model.metric_loss.learn: all there, linear now"),
        ("--model.loss_rate=0.1", "model.loss_rate: 1.0 there, 0.1 now"),
        ("--data.tuples_per_batch=4", "data.tuples_per_batch: 6 there, 4 now"),
        ("--data.augment.rotation=9", "data.augment.rotation: 0.0 there, 9.0 now"),
        ("--data.seed=3", "data.seed: 0 there, 3 now"),
        ("--seed_everything=4", "seed_everything: 0 there, 4 now"),
        ("--data.equalize=false", "data.equalize: True there, False now"),
        ("--trainer.gradient_clip_val=1", "trainer.gradient_clip_val: None there, 1"),
        ("--trainer.limit_train_batches=1", "trainer.limit_train_batches: None there, 1"),
        ("--checkpoint.monitor=val/loss", "checkpoint.monitor: val/accuracy there, val/loss now"),
    ],
)
def test_a_setting_that_a_resumed_fit_cannot_change_is_refused(
    finished: Path, store: Store, option: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in finished.iterdir() if path.is_file()}
    options = fit_options(store.folder, finished.parent.parent, "--trainer.max_epochs=3", option)
    assert main([*options, "--ckpt_path=last"]) == 1
    errors = capsys.readouterr().err
    assert f"  {shown}" in errors
    assert "--model.init_from" in errors
    assert {path: path.read_bytes() for path in finished.iterdir() if path.is_file()} == before


def test_a_checkpoint_of_before_has_one_rate_for_all(
    finished: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What only one version knows is not compared; the optimiser could not take its state."""
    content = torch.load(finished / "checkpoints" / "last.ckpt", weights_only=True)
    del content["configuration"]["model"]["init_args"]["loss_rate"]
    torch.save(content, tmp_path / "old.ckpt")
    options = fit_options(store.folder, tmp_path, "--trainer.max_epochs=3")
    going_on = [*options, f"--ckpt_path={tmp_path / 'old.ckpt'}"]
    assert main([*going_on, "--model.loss_rate=0.1"]) == 1
    assert "one learning rate for all; leave out loss_rate=0.1" in capsys.readouterr().err
    assert main(going_on) == 0


def test_a_checkpoint_that_was_copied_away_knows_its_settings(
    finished: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes((finished / "checkpoints" / "last.ckpt").read_bytes())
    options = fit_options(store.folder, tmp_path / "runs", "--model.optimizer.lr=0.1")
    assert main([*options, f"--ckpt_path={copy}"]) == 1
    assert "model.optimizer.lr: 0.03 there, 0.1 now" in capsys.readouterr().err


def test_settings_that_may_change_are_applied_and_told(
    run_copy: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(store.folder, run_copy.parent.parent, "--trainer.max_epochs=3")
    assert main([*options, "--ckpt_path=last", "--data.num_workers=1"]) == 0
    errors = capsys.readouterr().err
    assert "going on with other settings:\n  trainer.max_epochs: 2 there, 3 now" in errors
    config = yaml.safe_load((run_copy / "config.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 3
    assert config["data"]["init_args"]["num_workers"] == 1
    (step,) = json.loads((run_copy / "run.json").read_text())["resumed_from"]
    assert step["changed"] == ["trainer.max_epochs: 2 there, 3 now"]


def rates(run: Path) -> list[float]:
    return pd.read_csv(run / "metrics.csv")["train/learning_rate"].dropna().tolist()


def test_the_cosine_ends_with_the_training(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = without(fit_options(store.folder, tmp_path, "--trainer.max_epochs=2"), "T_max")
    assert main(options) == 0
    run = tmp_path / "ckplus" / "version_0"
    assert rates(run) == pytest.approx([0.03, 0.015])
    assert "learning rate" not in capsys.readouterr().err
    assert main([*options, "--trainer.max_epochs=4", "--ckpt_path=last"]) == 0
    assert rates(run)[2:] == pytest.approx([0.015, 0.03 * (1 + np.cos(0.75 * np.pi)) / 2])
    errors = capsys.readouterr().err
    assert "the learning rate falls over all epochs, now 4 rather than 2" in errors


@pytest.mark.parametrize(
    ("schedule", "shown"),
    [
        (("torch.optim.lr_scheduler.CosineAnnealingLR", "T_max=60"), "T_max=60"),
        (("ferlit.training.WarmupCosine", "epochs=9"), "epochs=9"),
    ],
)
def test_a_schedule_of_another_length_than_the_training_is_named(
    store: Store,
    tmp_path: Path,
    schedule: tuple[str, str],
    shown: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = without(fit_options(store.folder, tmp_path, "--trainer.max_epochs=1"), "T_max")
    name, length = schedule
    options += [f"--model.lr_scheduler={name}", f"--model.lr_scheduler.{length}"]
    assert main(options) == 0
    errors = capsys.readouterr().err
    assert f"has {shown} and the training --trainer.max_epochs 1" in errors


def test_a_run_with_the_cosine_of_torch_goes_on_with_ours() -> None:
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
    for _ in range(2):
        optimizer.step()
        theirs.step()
    ours = CosineAnnealingLR(torch.optim.SGD([parameter], lr=1.0), T_max=6)
    ours.load_state_dict(theirs.state_dict())
    assert ours.last_epoch == 2
    assert ours.optimizer.param_groups[0]["lr"] == pytest.approx(theirs.get_last_lr()[0])


class Rows(Callback):
    """Writes which rows of the store each batch shows."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        with self.path.open("a") as file:
            pixels = float(batch.image.double().sum())
            shown = [trainer.current_epoch, batch_idx, batch.row.tolist(), pixels]
            file.write(json.dumps(shown) + "\n")


@pytest.mark.parametrize("system", ["2b_nm", "softmax"])
@pytest.mark.parametrize("workers", [0, 2])
def test_overfitting_shows_the_same_batches_in_every_epoch(
    store: Store, tmp_path: Path, system: str, workers: int
) -> None:
    path = tmp_path / "rows.jsonl"
    more = (
        "--trainer.overfit_batches=2",
        "--trainer.max_epochs=2",
        f"--trainer.callbacks={__name__}.Rows",
        f"--trainer.callbacks.path={path}",
        f"--data.num_workers={workers}",
    )
    options = without(fit_options(store.folder, tmp_path / "runs"), "metric_loss", "tuples")
    assert main([*options[:2], f"--config=systems/{system}.yaml", *options[2:], *more]) == 0
    shown = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(epoch, batch) for epoch, batch, _, _ in shown] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [rows for _, _, *rows in shown[:2]] == [rows for _, _, *rows in shown[2:]]
    assert shown[0][2] != shown[1][2]


def test_options_of_reading_are_not_recorded_where_a_store_is_read(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = tmp_path / "reader.yaml"
    overlay.write_text("data: {init_args: {reader: {frames: 1}}}\n")
    options = fit_options(store.folder, tmp_path / "runs", "--trainer.max_epochs=1")
    assert main([*options[:2], f"--config={overlay}", *options[2:]]) == 0
    run = tmp_path / "runs" / "ckplus" / "version_0"
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]["reader"] is None
    assert "data.reader {'frames': 1} of the configuration is not used" in capsys.readouterr().err
    assert main([*options, "--data.reader={frames: 1}"]) == 2
    assert "is prepared already" in capsys.readouterr().err
    assert main([*options, "--data.landmarks=dlib"]) == 1
    assert "has faces with landmarks of database, not of dlib" in capsys.readouterr().err
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]


def test_folds_without_a_round_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--config=fer2013.yaml", f"--data.root={tmp_path}", "--data.folds=5"]
    assert main(["fit", *options]) == 2
    assert "--data.folds 5: give the round as well" in capsys.readouterr().err


def test_a_fit_that_chooses_nothing_says_so(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(store.folder, tmp_path, "--trainer.max_epochs=1")
    assert main([*options, "--checkpoint.every_n_epochs=5"]) == 0
    assert "no checkpoint was chosen" in capsys.readouterr().err


def test_the_size_of_a_batch_of_images_is_not_taken_for_tuples(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = fit_options(store.folder, tmp_path, "--trainer.max_epochs=1")
    assert main([*options, "--data.batch_size=3"]) == 2
    assert "data.batch_size=3 is not used" in capsys.readouterr().err
    (tmp_path / "mine.yaml").write_text("data: {init_args: {batch_size: 3}}\n")
    assert main([*options, f"--config={tmp_path / 'mine.yaml'}"]) == 0
    assert "data.batch_size=3 is not used" in capsys.readouterr().err
    (run,) = (tmp_path / "ckplus").iterdir()
    assert "  batch_size: 128" in (run / "config.yaml").read_text()
