"""Averaged weights, against the average and the counts taken by hand."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from ferlit.data import ExpressionDataModule
from ferlit.data.store import Store
from ferlit.errors import UsageError
from ferlit.models import OneBranch
from ferlit.training import AveragedWeights, ExpressionModule
from tests.ferlit.tiny import TinyBackbone

DECAY = 0.8


class ByHand(Callback):
    """Keeps the average of the weights and the images of the last epoch."""

    def __init__(self) -> None:
        self.average: dict[str, Tensor] = {}
        self.images: list[Tensor] = []

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.images = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.images.append(batch.image)
        for name, weight in pl_module.named_parameters():
            before = self.average.get(name, weight.detach())
            self.average[name] = DECAY * before + (1 - DECAY) * weight.detach()


@pytest.fixture(scope="module")
def fitted(store: Store) -> tuple[ExpressionModule, ByHand]:
    torch.manual_seed(0)
    data = ExpressionDataModule(store=store.folder, fold=0, folds=4, batch_size=16, num_workers=0)
    module = ExpressionModule(
        data.classes,
        backbone=TinyBackbone(),
        branches=partial(OneBranch, hidden=[32]),
        optimizer=lambda weights: torch.optim.SGD(weights, lr=0.5),
    )
    by_hand = ByHand()
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[AveragedWeights(decay=DECAY, images=40), by_hand],
    )
    trainer.fit(module, data)
    return module, by_hand


def test_the_weights_are_their_average(fitted: tuple[ExpressionModule, ByHand]) -> None:
    module, by_hand = fitted
    for name, weight in module.named_parameters():
        torch.testing.assert_close(weight.detach(), by_hand.average[name])


def test_means_and_variances_are_those_of_the_average(
    fitted: tuple[ExpressionModule, ByHand],
) -> None:
    module, by_hand = fitted
    images: list[Tensor] = []
    while sum(map(len, images)) < 40:
        images.insert(0, by_hand.images.pop())
    counted = copy.deepcopy(module).eval()
    layers = [each for each in counted.modules() if isinstance(each, nn.BatchNorm1d)]
    assert layers
    seen: list[Tensor] = []
    layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        for each in images:
            counted(each)
    means = torch.stack([values.mean(0) for values in seen]).mean(0)
    variances = torch.stack([values.var(0) for values in seen]).mean(0)
    torch.testing.assert_close(layers[0].running_mean, means)
    torch.testing.assert_close(layers[0].running_var, variances)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"decay": 1.0}, "decay=1.0: from 0 to below 1"), ({"images": 1}, "images=1: at least 2")],
)
def test_arguments_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AveragedWeights(**wrong)


def test_other_modules_are_refused() -> None:
    with pytest.raises(UsageError, match="AveragedWeights is for the modules of ferlit, not Lig"):
        AveragedWeights().setup(Trainer(logger=False), LightningModule(), "fit")
