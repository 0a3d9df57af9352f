"""The LightningModules: stage 1 (softmax) and the joint loss of the two branches.

Wiring only: backbone, branches, metric loss and optimiser are arguments, any of them replaceable by
its class path from a configuration.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from ferlit.data.dataset import Batch
from ferlit.errors import FerlitError
from ferlit.evaluation.metrics import Predictions, SequenceAccuracy
from ferlit.models import InceptionFER, OneBranch, Output, TwoBranch
from ferlit.models.weights import load_matching_weights
from nmloss import tuple_indices

logger = logging.getLogger(__name__)

# Arguments that are no plain data, so that a checkpoint with them would not load safely.
_OBJECTS = ["backbone", "branches", "optimizer", "lr_scheduler", "init_from", "metric_loss"]


class Branches(Protocol):
    """What follows the backbone: classes and, in training, an embedding."""

    def __call__(self, features: Tensor) -> Output: ...
    def classify(self, features: Tensor) -> Tensor: ...


def adam(parameters: Any) -> torch.optim.Optimizer:
    """Adam with a learning rate of 1e-3, where a configuration names no optimiser."""
    return torch.optim.Adam(parameters, lr=1e-3)


class ExpressionModule(LightningModule):
    """Stage 1: backbone and expression classification branch, softmax loss (Sec. 5.2).

    Args:
        classes: The expressions, in the order of the network's outputs.
        sequence_rule: How the images of a sequence vote, "max" (CK+) or "mean" (MMI).
        backbone: From (B, 1, 48, 48) to (B, ``out_features``).
        branches: From (in_features, num_classes) to the branches.
        optimizer: From the parameters to the optimiser.
        lr_scheduler: From the optimiser to a schedule that steps once an epoch.
        init_from: A checkpoint whose fitting weights are taken at the start of a fit.
    """

    def __init__(
        self,
        classes: list[str],
        sequence_rule: Literal["max", "mean"] = "max",
        backbone: nn.Module | None = None,
        branches: Callable[[int, int], nn.Module] = OneBranch,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: Path | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=_OBJECTS)
        if "_instantiator" in self.hparams:  # built from a configuration: all of it is plain data
            self.save_hyperparameters()
        self.classes = classes
        self.backbone = backbone if backbone is not None else InceptionFER()
        out_features = getattr(self.backbone, "out_features", None)
        if not isinstance(out_features, int):
            raise FerlitError(
                f"the backbone {type(self.backbone).__name__} has no integer attribute "
                "out_features: say there how many features it gives"
            )
        self.branches = branches(out_features, len(classes))
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.init_from = init_from
        self.train_accuracy = MulticlassAccuracy(len(classes), average="micro")
        self.val_accuracy = MulticlassAccuracy(len(classes), average="micro")
        self.val_sequence_accuracy = SequenceAccuracy(sequence_rule)
        self.val_loss = MeanMetric()
        self.predictions = Predictions()

    def forward(self, image: Tensor) -> Tensor:
        """Class logits by the classification branch alone, as at test time.

        Args:
            image: (B, 1, 48, 48) standardised faces.

        Returns:
            (B, K) logits.
        """
        return cast("Branches", self.branches).classify(self.backbone(image))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        logits = self(batch.image)
        loss = F.cross_entropy(logits, batch.label)
        self._log_training({"loss": loss}, logits, batch.label)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        logits = self(batch.image)
        self.val_loss.update(F.cross_entropy(logits, batch.label), len(batch.label))
        self.val_accuracy.update(logits, batch.label)
        self.val_sequence_accuracy.update(logits.softmax(1), batch.label, batch.sequence)
        self.log("val/loss", self.val_loss)
        self.log("val/accuracy", self.val_accuracy, prog_bar=True)
        self.log("val/sequence_accuracy", self.val_sequence_accuracy, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.predictions.update(batch.row, self(batch.image).softmax(1), batch.label)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """(B, K) probabilities."""
        probabilities: Tensor = self(batch.image).softmax(1)
        self.predictions.update(batch.row, probabilities, batch.label)
        return probabilities

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.init_from is not None:
            report = load_matching_weights(self, self.init_from, self.classes)
            logger.info("weights from %s\n%s", self.init_from, report.summary())

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer(self.parameters())
        if self.lr_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": self.lr_scheduler(optimizer)}

    def _log_training(self, losses: Mapping[str, Tensor], logits: Tensor, label: Tensor) -> None:
        for name, value in losses.items():
            self.log(
                f"train/{name}",
                value.detach(),
                on_step=False,
                on_epoch=True,
                sync_dist=True,
                batch_size=len(label),
                prog_bar=name == "loss",
            )
        self.train_accuracy.update(logits, label)
        self.log("train/accuracy", self.train_accuracy, on_step=False, on_epoch=True)


class JointModule(ExpressionModule):
    """The joint loss: softmax plus alpha times a metric loss on tuples (Secs. 4 and 5.2).

    The metric loss sees the branches' embedding: with `TwoBranch` that of the metric branch behind
    the connecting layer (Eq. 13), with `OneBranch` the last hidden layer.

    Args:
        classes: The expressions, in the order of the network's outputs.
        metric_loss: Any loss of nmloss or pytorch-metric-learning; its parameters train too.
        alpha: Weight of the metric loss; 1 weighs both equally.
        softmax_on: "query" puts the softmax loss on the queries alone (the paper), "all" on every
            image of the tuples.
        branches: From (in_features, num_classes) to the branches.
        **module: The other arguments of `ExpressionModule`.
    """

    def __init__(
        self,
        classes: list[str],
        metric_loss: nn.Module,
        alpha: float = 1.0,
        softmax_on: Literal["query", "all"] = "query",
        branches: Callable[[int, int], nn.Module] = TwoBranch,
        **module: Any,
    ) -> None:
        super().__init__(classes=classes, branches=branches, **module)
        if softmax_on not in ("query", "all"):
            raise FerlitError(f"softmax_on={softmax_on!r}; known are 'query' and 'all'")
        self.metric_loss = metric_loss
        self.alpha = alpha
        self.softmax_on = softmax_on

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if batch.tuple_size is None:
            raise FerlitError(
                "the joint loss needs batches of tuples: use ferlit.data.TupleDataModule"
            )
        positives, negatives = batch.tuple_size
        size = positives + negatives
        output: Output = self.branches(self.backbone(batch.image))
        tuples = tuple_indices(
            len(batch.label) // size, positives, negatives, device=batch.label.device
        )
        metric = self.metric_loss(output.embedding, batch.label, tuples)
        step = size if self.softmax_on == "query" else 1
        logits, label = output.logits[::step], batch.label[::step]
        softmax = F.cross_entropy(logits, label)
        loss: Tensor = softmax + self.alpha * metric
        losses = {"loss": loss, "softmax": softmax, "metric": metric}
        self._log_training(losses, logits, label)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log whose images served as negatives (Sec. 3: the fallback is the usual path on CK+)."""
        sources = getattr(self.trainer.datamodule, "negative_sources", None)  # type: ignore[attr-defined]
        if sources is not None and sum(sources):
            for name, count in sources._asdict().items():
                self.log(f"negatives/{name}", count / sum(sources), sync_dist=True)
