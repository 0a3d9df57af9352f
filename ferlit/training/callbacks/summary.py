"""What every run does beside training: a line an epoch, the split, the results of a test."""

import time
from pathlib import Path
from typing import Any, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.evaluation.results import by_store, evaluate
from ferlit.evaluation.tables import prediction_table, print_evaluation, write_evaluation
from ferlit.files import whole_file
from ferlit.runs.folder import PREDICTED, SPLIT, RunFolder
from ferlit.training.modules import ExpressionModule

LOGGED = (
    "train/loss",
    "train/softmax",
    "train/metric",
    "train/accuracy",
    "val/loss",
    "val/accuracy",
    "val/sequence_accuracy",
)


def run_folder(trainer: Trainer) -> RunFolder:
    """The folder that this run writes into; all processes must ask for it together."""
    return RunFolder(Path(trainer.log_dir or trainer.default_root_dir))


def is_trial(trainer: Trainer) -> bool:
    """Whether this is a ``fast_dev_run``, which leaves nothing behind."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


class EpochSummary(Callback):
    """Prints one line an epoch, readable in a terminal and in a log file."""

    def __init__(self) -> None:
        self.console = Console()
        self.started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics  # the processes compute them together, so all must ask
        if not trainer.is_global_zero:
            return
        text = "  ".join(f"{name} {metrics[name]:.4f}" for name in LOGGED if name in metrics)
        epochs = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        seconds = time.monotonic() - self.started
        self.console.print(
            f"epoch {trainer.current_epoch + 1}{epochs}  {text}  {seconds:.1f} s",
            highlight=False,
            soft_wrap=True,
        )


class SaveSplit(Callback):
    """Writes ``split.csv``: which subjects train, validate and test in this run."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_folder(trainer).path
        if trainer.is_global_zero and not is_trial(trainer):
            folder.mkdir(parents=True, exist_ok=True)
            data = cast("ExpressionDataModule", trainer.datamodule)  # type: ignore[attr-defined]
            data.split_table().to_csv(folder / SPLIT, index=False)


class WriteResults(Callback):
    """Prints a test and writes it into the run's folder; writes the predictions of ``predict``.

    Evaluations apart from the run have a folder of their own, which the logger names.
    """

    def __init__(self) -> None:
        self.console = Console()
        self.says: dict[str, Any] = {}  # what ``metrics.json`` tells beside the results

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, cast("ExpressionModule", pl_module), is_test=True)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:  # not within a fit
            self._write(trainer, cast("ExpressionModule", pl_module), is_test=True)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer, cast("ExpressionModule", pl_module), is_test=False)

    def _write(self, trainer: Trainer, module: ExpressionModule, *, is_test: bool) -> None:
        rows, probabilities, _ = (value.cpu() for value in module.predictions.compute())
        module.predictions.reset()
        folder, classes = run_folder(trainer).path, module.classes
        if not trainer.is_global_zero:
            return
        data = cast("ExpressionDataModule", trainer.datamodule)  # type: ignore[attr-defined]
        records = data.store.records.iloc[rows.numpy()]
        predictions = prediction_table(records, probabilities.double().numpy(), classes)
        if not is_test:
            folder.mkdir(parents=True, exist_ok=True)
            with whole_file(folder / PREDICTED) as draft:
                predictions.to_csv(draft, index=False)
            self.console.print(
                f"{len(predictions)} predictions: {folder}/{PREDICTED}",
                markup=False,
                soft_wrap=True,
            )
            return
        results = evaluate(predictions, classes, data.sequence_rule)
        stores = {
            name: evaluate(own, classes, data.sequence_rule)
            for name, own in by_store(predictions).items()
        }
        print_evaluation(results, self.console, stores)
        part = "val" if trainer.state.fn == TrainerFn.VALIDATING else "test"
        total = int(((data.split == part) & (data.labels >= 0)).sum())
        limits = {"limited": {"images": len(predictions), "of": total}}
        says = self.says | (limits if len(predictions) < total else {})
        if stores:
            says["stores"] = {
                name: {level: result.to_dict() for level, result in levels.items()}
                for name, levels in stores.items()
            }
        write_evaluation(results, predictions, folder, says)
        self.console.print(f"results: {folder}", highlight=False, markup=False, soft_wrap=True)
