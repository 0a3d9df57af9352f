"""The LightningModule of stage 1 (softmax); `ferlit.training.joint` adds the metric loss.

Wiring only: backbone, branches and optimiser are arguments, any of them replaceable by its class
path from a configuration.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.loading.dataset import Batch
from ferlit.data.loading.preprocessing import PREPROCESSING, PRIOR, flip_averaged
from ferlit.data.records import SequenceRule
from ferlit.errors import FerlitError, UsageError
from ferlit.evaluation.metrics import Predictions, SequenceAccuracy
from ferlit.models import Branches, InceptionFER, OneBranch
from ferlit.models.timm import weights_follow
from ferlit.models.weights import load_matching_weights
from ferlit.runs.people import PEOPLE, Split, Training
from ferlit.training.schedules import set_length
from ferlit.training.targets import (
    TargetRule,
    implied_shares,
    logit_adjustment,
    mixup,
    softmax_loss,
)

logger = logging.getLogger(__name__)

_LEAST = 1e-12  # a probability's, in a logarithm
# Arguments that are no plain data, so that a checkpoint with them would not load safely.
_OBJECTS = ["backbone", "branches", "optimizer", "lr_scheduler", "init_from", "metric_loss"]


def adam(parameters: Any) -> torch.optim.Optimizer:
    """Adam with a learning rate of 1e-3, where a configuration names no optimiser."""
    return torch.optim.Adam(parameters, lr=1e-3)


def fuse(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimiser make its step in one pass over the weights, where torch can and none says.

    >>> optimizer = adam([torch.zeros(1, requires_grad=True)])
    >>> fuse(optimizer)
    >>> optimizer.param_groups[0]["fused"]
    True
    """
    for group in optimizer.param_groups:
        is_open = "fused" in group and group["fused"] is None and not group.get("foreach")
        # torch refuses to differentiate through such a step, or to capture it.
        is_plain = not any(group.get(name) for name in ("differentiable", "capturable"))
        weights: list[Tensor] = group["params"]
        kinds = {(weight.device.type, weight.is_floating_point()) for weight in weights}
        if is_open and is_plain and kinds <= {("cpu", True), ("cuda", True)}:
            group["fused"] = True


class _Shared:
    """A function that copies of a module share: the command line's cannot be copied."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


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
        label_smoothing: Share of each target that is spread over all classes.
        mixup: Alpha of mixup (see `ferlit.training.targets.mixup`); 0 mixes nothing.
        flip_average: Evaluate by the mean of the probabilities of a face and its mirror image.
        logit_adjustment: Tau of logit adjustment, for classes that are rare in training (see
            `ferlit.training.targets.logit_adjustment`); 0 adjusts nothing.
        target_rule: What the data's targets mean, see `ferlit.training.targets.softmax_loss`.
        compile: Run the fit, its validation and its test too, by `torch.compile`.
    """

    def __init__(
        self,
        classes: list[str],
        sequence_rule: SequenceRule = "max",
        backbone: nn.Module | None = None,
        branches: Callable[[int, int], nn.Module] = OneBranch,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
        init_from: Path | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        flip_average: bool = False,
        logit_adjustment: float = 0.0,
        target_rule: TargetRule = "",
        compile: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise UsageError(f"label_smoothing={label_smoothing}: from 0 to below 1")
        if mixup < 0 or (mixup and target_rule == "multi_target"):
            raise UsageError(
                f"mixup={mixup}: it cannot be negative, nor mix targets several of which are right"
            )
        if label_smoothing and target_rule == "multi_target":
            raise FerlitError(
                f"label_smoothing={label_smoothing}: targets several of which are right are not "
                "smoothed; leave it out"
            )
        if logit_adjustment < 0:
            raise UsageError(f"logit_adjustment={logit_adjustment}: it cannot be negative")
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
        # So that the maps between convolutions lie with their channels together, which is faster.
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.branches = branches(out_features, len(classes))
        self.optimizer = _Shared(optimizer)
        self.lr_scheduler = lr_scheduler and _Shared(lr_scheduler)
        self.init_from = init_from
        self.label_smoothing = label_smoothing
        self.mixup = mixup
        self.flip_average = flip_average
        self.logit_adjustment = logit_adjustment
        self._adjustment: Tensor | None = None  # of the logits, from the classes' shares
        self.target_rule: TargetRule = target_rule
        self.is_compiled = compile
        self.mixup_seed = torch.initial_seed() % 2**63  # every epoch gets another one
        self._seen_before = Training()  # whom the weights that a fit starts from have seen
        self._told: dict[str, Any] | None = None  # with them whom this fit shows it, and how often
        self.train_accuracy = MulticlassAccuracy(len(classes), average="micro")
        self.val_accuracy = MulticlassAccuracy(len(classes), average="micro")
        self.val_sequence_accuracy = SequenceAccuracy(sequence_rule)
        self.val_loss = MeanMetric()
        self.predictions = Predictions()

    @classmethod
    def load_from_checkpoint(cls, *arguments: Any, **options: Any) -> Self:
        """As Lightning's; a backbone fetches no weights that the checkpoint replaces."""
        with weights_follow():
            return super().load_from_checkpoint(*arguments, **options)

    def forward(self, image: Tensor) -> Tensor:
        """Class logits by the classification branch alone, as at test time.

        Args:
            image: (B, 1, 48, 48) standardised faces.

        Returns:
            (B, K) logits.
        """
        return cast("Branches", self.branches).classify(self.backbone(image))

    def probabilities(self, image: Tensor) -> Tensor:
        """(B, K) probabilities of faces, see ``flip_average``.

        Args:
            image: (B, 1, 48, 48), or (B, C, 1, 48, 48) for the mean over C crops of each.
        """
        if image.ndim == 5:
            of_crops = self.probabilities(image.flatten(0, 1))
            return of_crops.view(*image.shape[:2], -1).mean(1)
        return flip_averaged(self._softmax, image) if self.flip_average else self._softmax(image)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if self.mixup:
            seed = (self.mixup_seed, self.current_epoch, batch_idx, self.global_rank)
            rng = np.random.default_rng(seed)  # a resumed run draws the same
            batch = mixup(batch, len(self.classes), self.mixup, rng)
        logits = self(batch.image)
        loss = self._softmax_loss(logits, batch)
        self._log_training({"loss": loss}, logits, batch.label)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        probabilities = self.probabilities(batch.image)
        loss = F.nll_loss(probabilities.clamp_min(_LEAST).log(), batch.label)
        self.val_loss.update(loss, len(batch.label))
        self.val_accuracy.update(probabilities, batch.label)
        self.val_sequence_accuracy.update(probabilities, batch.label, batch.sequence)
        self.log("val/loss", self.val_loss)
        self.log("val/accuracy", self.val_accuracy, prog_bar=True)
        self.log("val/sequence_accuracy", self.val_sequence_accuracy, prog_bar=True)
        if self.trainer.state.fn == TrainerFn.VALIDATING:  # not within a fit
            self.predictions.update(batch.row, probabilities, batch.label)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.predictions.update(batch.row, self.probabilities(batch.image), batch.label)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """(B, K) probabilities."""
        probabilities = self.probabilities(batch.image)
        self.predictions.update(batch.row, probabilities, batch.label)
        return probabilities

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._told = None
        if stage == "fit" and self.init_from is not None:
            report = load_matching_weights(self, self.init_from, self.classes)
            logger.info("weights from %s\n%s", self.init_from, report.summary())
            self._seen_before = Training.read(self.init_from)
        if stage == "fit" and self.logit_adjustment:
            self._adjustment = self._adjust()
        if stage == "fit" and self.is_compiled:
            # In place: a wrapper would rename the weights in the checkpoints.
            self.backbone.compile()
            self.branches.compile()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say how pictures become inputs, and who trained and validated."""
        weights = checkpoint.get("state_dict", {})
        checkpoint["state_dict"] = {name: each.contiguous() for name, each in weights.items()}
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, ExpressionDataModule):
            checkpoint[PREPROCESSING] = asdict(data.preprocessing)
            if self._told is None:
                self._told = self._tell(data)
            checkpoint.update(self._told)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Remember whom the network has seen so far."""
        path = self._trainer and self._trainer.ckpt_path
        if path or PEOPLE in checkpoint:
            self._seen_before = Training.read(Path(path or ""), checkpoint)

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer()
        fuse(optimizer)
        if self.lr_scheduler is None:
            return optimizer
        schedule = self.lr_scheduler(optimizer)
        set_length(schedule, self.trainer.max_epochs)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _optimizer(self) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = self.optimizer(self.parameters())
        return optimizer

    def _softmax(self, image: Tensor) -> Tensor:
        probabilities: Tensor = self(image).float().softmax(1)
        return probabilities

    def _softmax_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        adjustment = self._adjustment
        if adjustment is not None:
            adjustment = adjustment.to(logits.device)
        return softmax_loss(logits, batch, self.target_rule, self.label_smoothing, adjustment)

    def _shares(self, data: ExpressionDataModule) -> list[float] | None:
        """How often each class comes in the softmax loss, where that is known."""
        if self.target_rule == "multi_target":  # several are right at once
            return None
        shares = data.class_shares()
        if not data.balanced:
            return shares
        return [(share > 0) / sum(each > 0 for each in shares) for share in shares]

    def _tell(self, data: ExpressionDataModule) -> dict[str, Any]:
        """What checkpoints say of the data: who was in them, and how often each class."""
        told: dict[str, Any] = {PEOPLE: self._seen_before.then(Split.of(data)).plain()}
        shares = self._shares(data)
        if shares is not None:
            told[PRIOR] = implied_shares(shares, self.logit_adjustment, self.label_smoothing)
        return told

    def _adjust(self) -> Tensor:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ExpressionDataModule):
            raise UsageError(
                f"logit_adjustment={self.logit_adjustment}: it needs the classes' shares in "
                "training, which only the data modules of ferlit tell"
            )
        if data.balanced:
            raise UsageError(
                f"logit_adjustment={self.logit_adjustment}: with data.balanced no class is rarer "
                "than another; leave out one of the two"
            )
        shares = self._shares(data)
        if shares is None:
            raise UsageError(
                f"logit_adjustment={self.logit_adjustment}: how often each class comes in the "
                "softmax loss is known with model.softmax_on query and one target an image only"
            )
        return logit_adjustment(shares, self.logit_adjustment)

    def _log_training(self, losses: Mapping[str, Tensor], logits: Tensor, label: Tensor) -> None:
        # For callbacks: what is logged is a mean over the epoch.
        self.last_losses = {name: value.detach() for name, value in losses.items()}
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
