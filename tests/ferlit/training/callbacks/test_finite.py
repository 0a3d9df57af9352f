from pathlib import Path

import pandas as pd
import pytest
import torch
from lightning.pytorch import LightningModule

from ferlit.cli import main
from ferlit.data.store import Store
from ferlit.errors import FerlitError
from ferlit.training import StopOnNonFinite
from ferlit.training.callbacks.finite import NON_FINITE
from tests.ferlit.training.fits import fit_options

NAN_LOSS = "--model.metric_loss=tests.ferlit.training.bad_losses.NaNAfter"


def test_a_loss_that_is_no_number_stops_the_run_and_names_its_images(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad_batch = 12 + 5  # 12 batches an epoch
    more = (NAN_LOSS, f"--model.metric_loss.calls={bad_batch}", "--trainer.max_epochs=4")
    assert main(fit_options(store.folder, tmp_path, *more)) == 1
    run = tmp_path / "ckplus" / "version_0"
    message = capsys.readouterr().err
    assert "not finite in epoch 2, batch 6" in message
    assert "metric nan" in message
    assert str(run / NON_FINITE) in message
    assert "--model.optimizer.lr" in message
    assert "Traceback" not in message

    table = pd.read_csv(run / NON_FINITE, keep_default_na=False, na_values=["nan", ""])
    assert len(table) == 6 * (6 + 6)
    known = store.records.iloc[table["row"]].reset_index(drop=True)
    assert table["image"].tolist() == known["image"].tolist()
    assert table["identity"].tolist() == known["identity"].tolist()
    assert table["label"].tolist() == known["expression"].tolist()
    assert table["softmax"].notna().all()
    assert table["metric"].isna().all()
    assert table["loss"].isna().all()

    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 0
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    assert str(run / "checkpoints" / "last.ckpt") in message


def test_a_learning_rate_that_explodes_stops_the_run(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=1e20")
    assert main(fit_options(store.folder, tmp_path, *more, "--trainer.max_epochs=2")) == 1
    assert "the training loss is not finite in epoch 1" in capsys.readouterr().err
    run = tmp_path / "ckplus" / "version_0"
    assert (run / NON_FINITE).is_file()
    assert not (run / "checkpoints").exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, value: float) -> None:
    class Trainer:
        global_step = 7
        logger = None
        default_root_dir = str(tmp_path)

    class Masked(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(3)
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    module, callback = Masked(), StopOnNonFinite()
    callback.on_save_checkpoint(Trainer(), module, {"state_dict": module.state_dict()})  # type: ignore[arg-type]
    for name in ("norm.weight", "norm.running_var"):
        bad = module.state_dict() | {name: torch.tensor([1.0, value])}
        with pytest.raises(FerlitError, match="after 7 steps are not finite, so they were not"):
            callback.on_save_checkpoint(Trainer(), module, {"state_dict": bad})  # type: ignore[arg-type]
