"""What users expect of a trainer, each an option of ``fit``: off by default, tried all together."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from ferlit.cli import main
from ferlit.data import ExpressionDataModule
from ferlit.data.loading.transforms import FaceTransform
from ferlit.data.store import Store
from ferlit.inference.classifiers.checkpoint import load_checkpoint
from ferlit.training import JointModule
from tests.ferlit.training.fits import fit_options

KNOBS = {
    "model": {
        "class_path": "ferlit.training.JointModule",
        "init_args": {
            "label_smoothing": 0.1,
            "flip_average": True,
            "lr_scheduler": {
                "class_path": "ferlit.training.WarmupCosine",
                "init_args": {"epochs": 4, "warmup": 1},
            },
        },
    },
    "data": {
        "class_path": "ferlit.data.TupleDataModule",
        "init_args": {
            "balanced": True,
            "augment": {"rotation": 10, "zoom": 0.1, "shift": 2, "erase": 0.25},
        },
    },
    "trainer": {
        "callbacks": [
            {
                "class_path": "lightning.pytorch.callbacks.EMAWeightAveraging",
                "init_args": {"decay": 0.5},
            },
            {
                "class_path": "lightning.pytorch.callbacks.EarlyStopping",
                # Every accuracy counts as a failure to improve.
                "init_args": {"monitor": "val/accuracy", "mode": "max", "patience": 2,
                              "min_delta": 2.0},
            },
        ]
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("knobs")
    config = folder / "knobs.yaml"
    config.write_text(yaml.safe_dump(KNOBS))
    options = [f"--config={config}", "--trainer.max_epochs=4"]
    assert main(fit_options(store.folder, folder / "runs", *options)) == 0
    return folder / "runs" / "ckplus" / "version_0"


def test_the_rate_rises_then_falls_and_training_stops_early(run: Path) -> None:
    rates = pd.read_csv(run / "metrics.csv").groupby("epoch")["train/learning_rate"].first()
    assert rates.tolist() == pytest.approx([0.015, 0.03, 0.0225])


def test_the_averaged_weights_are_validated_and_saved(run: Path) -> None:
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    averaged, trained = checkpoint["state_dict"], checkpoint["current_model_state"]
    name = "backbone.2.weight"
    assert averaged.keys() == trained.keys()
    assert not torch.equal(averaged[name], trained[name])


def test_the_test_is_of_the_averaged_weights_that_validation_chose(run: Path, store: Store) -> None:
    checkpoint = run / "checkpoints" / "best.ckpt"
    module = JointModule.load_from_checkpoint(checkpoint, weights_only=True).eval()
    data = ExpressionDataModule(store=store.folder, fold=0, folds=4, num_workers=0)
    data.setup("test")
    with torch.no_grad():
        expected = torch.cat([module.probabilities(b.image) for b in data.test_dataloader()])
    predictions = pd.read_csv(run / "predictions.csv")[module.classes]
    assert predictions.to_numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_the_run_ends_with_its_test(run: Path, store: Store) -> None:
    split = pd.read_csv(run / "split.csv")
    predictions = pd.read_csv(run / "predictions.csv")
    assert len(predictions) == split.loc[split["split"] == "test", "images"].sum()


def test_an_evaluation_by_ten_crops_is_the_mean_of_their_probabilities(
    run: Path, store: Store
) -> None:
    checkpoint = run / "checkpoints" / "best.ckpt"
    assert main(["predict", str(checkpoint), "--data.eval_crops=5", "--data.num_workers=0"]) == 0
    (folder,) = (run / "evaluations").glob("predict_*")
    found = pd.read_csv(folder / "predictions_all.csv")
    module = load_checkpoint(checkpoint, torch.device("cpu"), ()).module
    transform = FaceTransform(train=False, crops=5)
    with torch.inference_mode():
        crops = transform.batch(np.asarray(store.faces[:4]), [0] * 4)
        by_crop = [module.probabilities(crops[:, number]) for number in range(5)]
    expected = torch.stack(by_crop).mean(0).numpy()
    np.testing.assert_allclose(found[module.classes].to_numpy()[:4], expected, atol=1e-5)


def test_logit_adjustment_takes_the_shares_of_the_training_images(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--trainer.max_epochs=1", "--model.logit_adjustment=1"]
    assert main(fit_options(store.folder, tmp_path, *options)) == 0
    plain = main(fit_options(store.folder, tmp_path, "--trainer.max_epochs=1"))
    assert plain == 0
    losses = [
        pd.read_csv(tmp_path / "ckplus" / f"version_{number}" / "metrics.csv")["train/softmax"]
        for number in range(2)
    ]
    assert losses[0].iloc[0] != losses[1].iloc[0]
    assert main(fit_options(store.folder, tmp_path, *options, "--data.balanced=true")) == 2
    assert "with data.balanced no class is rarer" in capsys.readouterr().err
