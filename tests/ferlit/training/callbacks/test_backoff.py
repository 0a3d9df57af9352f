"""The back-off schedule against the text of the paper (Sec. 5.2), on scripted curves."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ferlit.errors import FerlitError
from ferlit.training import BackOff
from ferlit.training.callbacks.statistics import LearningRate

NAN = math.nan
# One row an epoch: the training loss and validation accuracy that it ends with, the learning rate
# that it trains with, and the epoch whose network it starts with where that is not the one before.
Row = tuple[float, float, float, int | None]
PAPER: list[Row] = [
    (2.00, 0.30, 0.80, None),
    (1.00, 0.40, 0.80, None),
    (1.25, 0.41, 0.80, None),  # 25 %, and not more
    (1.26, 0.42, 0.80, None),  # more than 25 % above the lowest, 1 % above the epoch before
    (1.10, 0.43, 0.40, 2),
    (0.80, 0.50, 0.40, None),
    *[(0.90, 0.50, 0.40, None)] * 9,
    (0.90, 0.49, 0.40, None),  # the tenth epoch without a higher accuracy
    (0.79, 0.49, 0.20, 6),
    *[(0.90, 0.49, 0.20, None)] * 9,  # with the one before ten again since the back-off
    (NAN, 0.14, 0.10, 17),
    (NAN, 0.14, 0.05, 17),
    (0.79, 0.14, 0.04, 17),  # the floor, not 0.025
    (0.99, 0.14, 0.04, None),
    (0.60, 0.14, 0.04, 17),  # at the floor the network still comes back
]
# With the network of the highest accuracy its own loss is what the next ones are compared with.
ACCURACY: list[Row] = [
    (1.00, 0.60, 0.80, None),
    *[(0.50, 0.50, 0.80, None)] * 10,
    (1.20, 0.61, 0.40, 1),
    (0.90, 0.55, 0.40, None),
    (1.40, 0.55, 0.40, None),
    (1.00, 0.55, 0.20, 12),
]


class Scripted(LightningModule):
    """Logs a script; its parameter truly descends by SGD, always with the gradient 1."""

    def __init__(self, script: list[tuple[float, float]], schedule: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.script = script
        self.schedule = schedule

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = torch.tensor(self.script[self.current_epoch][0])
        self.log("train/loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return self.weight.sum()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/accuracy", self.script[self.current_epoch][1], sync_dist=True)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.8, momentum=0.5)
        if self.schedule:
            return [optimizer], [torch.optim.lr_scheduler.ConstantLR(optimizer)]
        return optimizer

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(torch.zeros(2, 1))  # type: ignore[arg-type]

    val_dataloader = train_dataloader


def weight_of(module: LightningModule) -> float:
    return float(module.state_dict()["weight"])


class Watch(Callback):
    """What each epoch trained with: rate, the weight before and after, the memory before."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        optimizer = trainer.optimizers[0]
        rate = optimizer.param_groups[0]["lr"]
        start = weight_of(pl_module)
        self.epochs.append({"rate": rate, "start": start, "memory": len(optimizer.state)})

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs[-1]["end"] = weight_of(pl_module)
        self.epochs[-1]["logged"] = float(trainer.callback_metrics["train/learning_rate"])


def fit(
    script: list[tuple[float, float]],
    folder: Path,
    backoff: BackOff | None = None,
    resume: Path | None = None,
    **options: Any,
) -> list[dict[str, float]]:
    """Train as the script says; what happened in each epoch."""
    watch = Watch()
    every = ModelCheckpoint(
        folder, "{epoch}", monitor="val/accuracy", save_top_k=-1, save_on_train_epoch_end=True
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=len(script),
        callbacks=[backoff or BackOff(minimum=0.04), LearningRate(), watch, every],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )
    trainer.fit(Scripted(script), ckpt_path=resume, weights_only=True)
    return watch.epochs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("paper")


@pytest.fixture(scope="module")
def epochs(folder: Path) -> list[dict[str, float]]:
    return fit(curves(PAPER), folder)


def curves(rows: list[Row]) -> list[tuple[float, float]]:
    return [row[:2] for row in rows]


def happened(epochs: list[dict[str, float]]) -> list[tuple[float, int | None]]:
    """The rate of each epoch, and the epoch whose network it started with, if another one's."""
    ends = [0.0, *(epoch["end"] for epoch in epochs)]
    return [
        (epoch["rate"], None if epoch["start"] == before else ends.index(epoch["start"]))
        for epoch, before in zip(epochs, ends, strict=False)
    ]


def test_rates_and_reloads_are_those_of_the_paper(epochs: list[dict[str, float]]) -> None:
    assert happened(epochs) == [pytest.approx(row[2:]) for row in PAPER]
    assert [epoch["logged"] for epoch in epochs] == pytest.approx([row[2] for row in PAPER])


def test_the_most_accurate_network_comes_back_with_its_own_loss(tmp_path: Path) -> None:
    epochs = fit(curves(ACCURACY), tmp_path, BackOff(best="accuracy"))
    assert happened(epochs) == [pytest.approx(row[2:]) for row in ACCURACY]


def test_momentum_is_gone_after_a_back_off(epochs: list[dict[str, float]]) -> None:
    for number, (epoch, row) in enumerate(zip(epochs, PAPER, strict=True)):
        is_fresh = row[3] is not None or number == 0
        assert epoch["memory"] == (0 if is_fresh else 1)
        # Two steps with the gradient 1: the second has the momentum of the first.
        if is_fresh:
            assert epoch["start"] - epoch["end"] == pytest.approx(row[2] * (1 + 1.5))
        else:
            assert epoch["start"] - epoch["end"] > row[2] * (1 + 1.5)


@pytest.mark.parametrize("after", [2, 4, 10, 26])
def test_a_resumed_run_goes_on_as_one_never_stopped(
    after: int, epochs: list[dict[str, float]], folder: Path, tmp_path: Path
) -> None:
    resumed = fit(curves(PAPER), tmp_path, resume=folder / f"epoch={after - 1}.ckpt")
    assert resumed == epochs[after:]


def test_a_checkpoint_holds_the_network_that_was_validated(
    epochs: list[dict[str, float]], folder: Path
) -> None:
    # Epoch 4 is the most accurate one so far, and its loss calls for a back-off.
    checkpoint = torch.load(folder / "epoch=3.ckpt", weights_only=True)
    assert float(checkpoint["state_dict"]["weight"]) == epochs[3]["end"]
    assert float(checkpoint["callbacks"]["BackOff"]["network"]["weight"]) == epochs[1]["end"]


def test_a_first_epoch_that_fails_starts_again_from_the_start(tmp_path: Path) -> None:
    epochs = fit([(NAN, 0.1), (1.0, 0.2), (9.0, 0.3), (9.0, 0.3)], tmp_path)
    assert happened(epochs) == [(0.8, None), (0.4, 0), (0.4, None), (0.2, 2)]


def test_each_back_off_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit([(1.0, 0.2), (1.5, 0.3), (0.9, 0.3), (0.9, 0.3)], tmp_path, BackOff(patience=2))
    assert capsys.readouterr().out.splitlines() == [
        "back-off: the training loss 1.5000 is more than 25% above the lowest, 1.0000; "
        "the network of epoch 1 is back, learning rate 0.8 -> 0.4"
    ]


def test_a_small_rate_is_never_raised_to_the_floor(tmp_path: Path) -> None:
    epochs = fit([(1.0, 0.2), (1.5, 0.3), (0.9, 0.3)], tmp_path, BackOff(minimum=1.0))
    assert [epoch["rate"] for epoch in epochs] == [0.8, 0.8, 0.8]


def test_a_learning_rate_schedule_beside_it_is_refused(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu", callbacks=[BackOff()], logger=False, default_root_dir=tmp_path
    )
    with pytest.raises(FerlitError, match="would both set the rate"):
        trainer.fit(Scripted([(1.0, 0.1)], schedule=True))


def test_epochs_without_a_validation_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FerlitError, match="check_val_every_n_epoch"):
        fit([(1.0, 0.1)], tmp_path, check_val_every_n_epoch=2)


def test_a_run_that_logs_no_accuracy_is_told_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FerlitError, match="needs the metric val/accuracy; this run logs train/"):
        fit([(1.0, 0.1)], tmp_path, limit_val_batches=0)


@pytest.mark.parametrize(
    "value", [{"rise": 0}, {"patience": 0}, {"factor": 1}, {"minimum": -1}, {"best": "f1"}]
)
def test_values_out_of_range_are_refused(value: dict[str, Any]) -> None:
    name, number = next(iter(value.items()))
    with pytest.raises(FerlitError, match=f"BackOff: {name}={number!r}; it must"):
        BackOff(**value)


class Divided(Scripted):
    """Two processes of which only the second sees the loss rise, by 60 %: 30 % in the mean."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.script = [(1.0, 0.1), (1.0 + 0.6 * self.global_rank, 0.2), (1.0, 0.3)]
        return super().training_step(batch, batch_idx)


class Tell(Watch):
    """Writes what a process saw, for the test to read."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(self.epochs))


def test_processes_decide_together(tmp_path: Path) -> None:
    trainer = Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        max_epochs=3,
        callbacks=[BackOff(), LearningRate(), Tell(tmp_path)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=tmp_path,
    )
    trainer.fit(Divided([(1.0, 0.1)] * 3))
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert happened(first) == [(0.8, None), (0.8, None), (0.4, 1)]
