import copy
import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import Trainer
from pytorch_metric_learning.losses import TripletMarginLoss

from ferlit.data.loading.dataset import Batch
from ferlit.errors import FerlitError, UsageError
from ferlit.models import OneBranch, TwoBranch
from ferlit.training import ExpressionModule, JointModule, WarmupCosine
from nmloss import AdaptiveNMTupleClustersLoss, NMTupleClustersLoss, tuple_indices
from tests.ferlit.tiny import NamelessBackbone, TinyBackbone

CLASSES = ["anger", "fear", "happiness", "sadness"]


def tuple_batch(count: int = 3, positives: int = 3, negatives: int = 3) -> Batch:
    size = positives + negatives
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(count * size, 1, 48, 48, generator=generator)
    label = torch.tensor([[0] * positives + [1, 2, 3]] * count).flatten()
    row = torch.arange(count * size)
    return Batch(image, label, row, row, (positives, negatives))


def joint(**options: object) -> JointModule:
    torch.manual_seed(0)
    options = {"metric_loss": NMTupleClustersLoss(), "backbone": TinyBackbone()} | options
    module = JointModule(CLASSES, **options)  # type: ignore[arg-type]
    module.log = lambda *_, **__: None  # type: ignore[assignment,method-assign]
    return module


@pytest.mark.parametrize(("softmax_on", "step"), [("query", 6), ("all", 1)])
@pytest.mark.parametrize("branches", [OneBranch, TwoBranch])
def test_the_joint_loss_is_softmax_plus_alpha_times_the_metric_loss(
    softmax_on: str, step: int, branches: type
) -> None:
    module = joint(alpha=0.3, softmax_on=softmax_on, branches=branches)
    batch = tuple_batch()
    output = module.branches(module.backbone(batch.image))
    softmax = F.cross_entropy(output.logits[::step], batch.label[::step])
    metric = NMTupleClustersLoss()(output.embedding, batch.label, tuple_indices(3, 3, 3))
    loss = module.training_step(batch, 0)
    assert loss.item() == pytest.approx((softmax + 0.3 * metric).item(), rel=1e-5)


def test_a_compiled_module_trains_the_same_and_keeps_the_names_of_its_weights() -> None:
    eager, compiled = joint(), joint(compile=True)
    names = list(eager.state_dict())
    for module in (eager, compiled):
        module.setup("fit")
        module.eval()  # so that batch normalisation is the same at each call
    for _ in range(2):
        loss = compiled.training_step(tuple_batch(), 0)
        assert loss.item() == pytest.approx(eager.training_step(tuple_batch(), 0).item(), rel=1e-5)
    loss.backward()
    assert all(weight.grad is not None for weight in compiled.backbone.parameters())
    assert list(compiled.state_dict()) == names


def test_losses_of_pytorch_metric_learning_serve_as_well() -> None:
    loss = joint(metric_loss=TripletMarginLoss()).training_step(tuple_batch(), 0)
    loss.backward()
    assert loss.item() > 0


def test_the_parameters_of_the_metric_loss_train() -> None:
    module = joint(metric_loss=AdaptiveNMTupleClustersLoss(128), branches=TwoBranch)
    before = copy.deepcopy(module.metric_loss.state_dict())
    optimizer = module.configure_optimizers()
    module.training_step(tuple_batch(), 0).backward()
    optimizer.step()
    assert all(not torch.equal(before[name], value)
               for name, value in module.metric_loss.state_dict().items()
               if value.numel())  # fmt: skip


def test_the_metric_loss_may_have_a_rate_of_its_own() -> None:
    loss_fn = AdaptiveNMTupleClustersLoss(128)
    module = joint(metric_loss=loss_fn, branches=TwoBranch, loss_rate=0.1, optimizer=partial(
        torch.optim.SGD, lr=0.5))  # fmt: skip
    optimizer = module.configure_optimizers()
    network, own = optimizer.param_groups
    assert (network["lr"], own["lr"]) == (0.5, 0.05)
    assert {id(x) for x in own["params"]} == {id(x) for x in loss_fn.parameters()}
    assert len(network["params"]) + len(own["params"]) == len([*module.parameters()])
    before = loss_fn.bias.item()
    module.training_step(tuple_batch(), 0).backward()
    optimizer.step()
    assert loss_fn.bias.grad is not None
    assert loss_fn.bias.item() == pytest.approx(before - 0.05 * loss_fn.bias.grad.item())


def test_one_rate_is_one_group_of_all_parameters_in_their_order() -> None:
    module = joint(metric_loss=AdaptiveNMTupleClustersLoss(128), branches=TwoBranch)
    (group,) = module.configure_optimizers().param_groups
    assert [id(x) for x in group["params"]] == [id(x) for x in module.parameters()]


@pytest.mark.parametrize(
    "schedule",
    [
        WarmupCosine,
        partial(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.5),
        partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0),
    ],
)
def test_schedules_keep_the_share_of_the_rate(schedule: Any) -> None:
    loss_fn = AdaptiveNMTupleClustersLoss(128)
    module = joint(metric_loss=loss_fn, loss_rate=0.1, lr_scheduler=schedule)
    module.trainer = Trainer(max_epochs=8, logger=False, enable_checkpointing=False)
    configured = module.configure_optimizers()
    network, own = configured["optimizer"].param_groups
    rates = []
    for _ in range(4):
        configured["optimizer"].step()
        is_plateau = isinstance(schedule, partial) and "patience" in schedule.keywords
        configured["lr_scheduler"].step(*([1.0] if is_plateau else []))
        rates.append(network["lr"])
        assert own["lr"] == pytest.approx(0.1 * network["lr"])
    assert len(set(rates)) > 1


def test_a_schedule_that_sets_all_rates_is_refused() -> None:
    schedule = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=9)
    module = joint(
        metric_loss=AdaptiveNMTupleClustersLoss(128), loss_rate=0.1, lr_scheduler=schedule
    )
    module.trainer = Trainer(max_epochs=9, logger=False, enable_checkpointing=False)
    with pytest.raises(UsageError, match=r"loss_rate=0.1: the schedule sets .* to 0.004, and to"):
        module.configure_optimizers()


def test_a_rate_that_cannot_be_used_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert len(joint(loss_rate=0.1).configure_optimizers().param_groups) == 1
    assert "loss_rate=0.1 is not used: NMTupleClustersLoss learns nothing" in caplog.text
    options = {"metric_loss": AdaptiveNMTupleClustersLoss(128), "loss_rate": 0.1}
    with pytest.raises(UsageError, match=r"loss_rate=0.1: the optimiser takes no groups"):
        joint(**options, optimizer=torch.optim.LBFGS).configure_optimizers()
    for rate in (-0.1, math.inf, math.nan):
        with pytest.raises(UsageError, match=f"loss_rate={rate}: a share"):
            joint(loss_rate=rate)


def test_images_instead_of_tuples_are_explained() -> None:
    with pytest.raises(FerlitError, match="TupleDataModule"):
        joint().training_step(tuple_batch()._replace(tuple_size=None), 0)


def test_a_backbone_must_say_how_many_features_it_gives() -> None:
    with pytest.raises(FerlitError, match="NamelessBackbone has no integer attribute out_features"):
        ExpressionModule(CLASSES, backbone=NamelessBackbone())


def test_an_unknown_softmax_on_is_refused() -> None:
    with pytest.raises(FerlitError, match="softmax_on='positives'"):
        joint(softmax_on="positives")


def test_stage_one_weights_start_the_joint_stage(
    tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    stage_one = ExpressionModule(["anger", "fear"], backbone=TinyBackbone())
    path = tmp_path / "stage1.ckpt"  # type: ignore[operator]
    torch.save({"state_dict": stage_one.state_dict()}, path)
    module = joint(init_from=path)
    module.setup("fit")
    for name, value in stage_one.backbone.state_dict().items():
        assert torch.equal(module.backbone.state_dict()[name], value)
    hidden = [name for name, value in stage_one.branches.state_dict().items()
              if value.ndim == 2 and len(value) > 2]  # fmt: skip
    assert hidden
    for name in hidden:
        assert torch.equal(
            module.branches.state_dict()[name], stage_one.branches.state_dict()[name]
        )
