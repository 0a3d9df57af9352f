"""The LightningModule of the joint loss of the two branches (Liu et al. 2017, Secs. 4 and 5.2)."""

import logging
import math
from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.loading.dataset import Batch
from ferlit.errors import FerlitError, UsageError
from ferlit.models import Output, TwoBranch
from ferlit.training.modules import ExpressionModule
from ferlit.training.rates import check_own_rate, with_own_rate
from nmloss import tuple_indices

logger = logging.getLogger(__name__)


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
        loss_rate: Learning rate of the metric loss's own parameters, as a share of the network's;
            1 trains all as one group.
        **module: The other arguments of `ExpressionModule`.
    """

    def __init__(
        self,
        classes: list[str],
        metric_loss: nn.Module,
        alpha: float = 1.0,
        softmax_on: Literal["query", "all"] = "query",
        branches: Callable[[int, int], nn.Module] = TwoBranch,
        loss_rate: float = 1.0,
        **module: Any,
    ) -> None:
        super().__init__(classes=classes, branches=branches, **module)
        if softmax_on not in ("query", "all"):
            raise UsageError(f"softmax_on={softmax_on!r}; known are 'query' and 'all'")
        if self.mixup:
            raise UsageError(f"mixup={self.mixup}: tuples cannot be mixed; use ExpressionModule")
        if not 0 <= loss_rate < math.inf:
            raise UsageError(f"loss_rate={loss_rate}: a share of the learning rate, 0 or more")
        self.metric_loss = metric_loss
        self.loss_rate = loss_rate
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
        target = None if batch.target is None else batch.target[::step]
        softmax = self._softmax_loss(logits, batch._replace(label=label, target=target))
        loss: Tensor = softmax + self.alpha * metric
        losses = {"loss": loss, "softmax": softmax, "metric": metric}
        self._log_training(losses, logits, label)
        return loss

    def configure_optimizers(self) -> Any:
        configured = super().configure_optimizers()
        if self._has_own_rate() and isinstance(configured, dict):
            check_own_rate(configured["optimizer"], self.loss_rate)
        return configured

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See that a fit goes on with as many learning rates as before."""
        super().on_load_checkpoint(checkpoint)
        path = self._trainer and self._trainer.training and self._trainer.ckpt_path
        states = checkpoint.get("optimizer_states", [])
        if path and self._has_own_rate() and any(len(each["param_groups"]) < 2 for each in states):
            raise FerlitError(
                f"{path} was trained with one learning rate for all; leave out loss_rate="
                f"{self.loss_rate:g} to go on, or start a new run from its weights: "
                f"--model.init_from {path}"
            )

    def _optimizer(self) -> Optimizer:
        if self._has_own_rate():
            return with_own_rate(self.optimizer, self, self._learned(), self.loss_rate)
        if self.loss_rate != 1:
            name = type(self.metric_loss).__name__
            logger.warning("loss_rate=%g is not used: %s learns nothing", self.loss_rate, name)
        return super()._optimizer()

    def _has_own_rate(self) -> bool:
        return self.loss_rate != 1 and bool(self._learned())

    def _learned(self) -> list[nn.Parameter]:
        """What the metric loss learns."""
        return [weight for weight in self.metric_loss.parameters() if weight.requires_grad]

    def _shares(self, data: ExpressionDataModule) -> list[float] | None:
        # On all images of the tuples the classes come as the negatives are found.
        return super()._shares(data) if self.softmax_on == "query" else None

    def on_train_epoch_end(self) -> None:
        """Log whose images served as negatives (Sec. 3: the fallback is the usual path on CK+)."""
        sources = getattr(self.trainer.datamodule, "negative_sources", None)  # type: ignore[attr-defined]
        if sources is not None and sum(sources):
            for name, count in sources._asdict().items():
                self.log(f"negatives/{name}", count / sum(sources), sync_dist=True)
