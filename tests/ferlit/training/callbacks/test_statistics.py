import pytest
import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from torch import Tensor, nn

from ferlit.training import MiningStatistics
from ferlit.training.callbacks.statistics import tuple_losses
from nmloss import (
    AdaptiveNMTupleClustersLoss,
    CrossBatchMemory,
    NMTupleClustersLoss,
    NPlusOneTupletLoss,
    tuple_indices,
)

TUPLES = tuple_indices(4, positives=3, negatives=3)


class Module:
    """As much of a LightningModule as the callback asks for."""

    def __init__(self, metric_loss: nn.Module) -> None:
        self.metric_loss = metric_loss
        self.logged: dict[str, float] = {}

    def log(self, name: str, value: float, **_: object) -> None:
        self.logged[name] = value


def batches(count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return list(torch.randn(count, 24, 16, generator=generator))


def train(metric_loss: nn.Module, inputs: list[Tensor], interval: int = 1) -> dict[str, float]:
    """What is logged of an epoch."""
    callback, module = MiningStatistics(interval), Module(metric_loss)
    callback.on_fit_start(None, module)  # type: ignore[arg-type]
    for number, embeddings in enumerate(inputs):
        callback.on_train_batch_start(None, module, None, number)  # type: ignore[arg-type]
        leaf = embeddings.clone().requires_grad_()
        metric_loss(leaf, None, TUPLES).backward()
        assert leaf.grad is not None
    callback.on_train_epoch_end(None, module)  # type: ignore[arg-type]
    callback.on_fit_end(None, module)  # type: ignore[arg-type]
    return module.logged


def expected(loss: nn.Module, inputs: list[Tensor]) -> dict[str, float]:
    """By the loss's own statistics."""
    loss.collect_stats = True
    shares = []
    for embeddings in inputs:
        loss(embeddings, None, TUPLES)
        shares.append([loss.positives_kept, loss.tuples_with_loss])
    kept, with_loss = torch.tensor(shares).mean(0).tolist()
    return {"metric/positives_kept": kept, "metric/tuples_with_loss": with_loss}


@pytest.mark.parametrize("interval", [1, 2])
@pytest.mark.parametrize("margin", [0.2, 1.0])
def test_the_shares_are_means_over_the_batches_looked_at(interval: int, margin: float) -> None:
    inputs = batches(5)
    logged = train(NMTupleClustersLoss(1.5, margin), inputs, interval)
    assert logged == pytest.approx(
        expected(NMTupleClustersLoss(1.5, margin), inputs[::interval]), rel=1e-6
    )
    assert 0 < logged["metric/positives_kept"] < 1


def test_the_learned_threshold_is_logged() -> None:
    loss = AdaptiveNMTupleClustersLoss(16, threshold=1.25)
    assert train(loss, batches(1))["metric/threshold"] == 1.25


def test_a_compiled_loss_stays_one_graph_and_is_measured() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> object:
        graphs.append(graph)
        return graph.forward

    inputs = batches(3)
    compiled = torch.compile(NMTupleClustersLoss(), fullgraph=True, backend=backend)
    logged = train(compiled, inputs)
    assert logged == pytest.approx(expected(NMTupleClustersLoss(), inputs), rel=1e-6)
    assert len(graphs) == 1


def test_a_loss_compiled_in_place_stays_one_graph_and_is_measured() -> None:
    inputs = batches(3)
    loss = NMTupleClustersLoss()
    loss.compile(fullgraph=True, backend="eager")
    before = loss._compiled_call_impl
    logged = train(loss, inputs)
    assert logged == pytest.approx(expected(NMTupleClustersLoss(), inputs), rel=1e-6)
    assert loss._compiled_call_impl is before


def test_a_loss_inside_a_larger_graph_does_not_break_it() -> None:
    loss = NMTupleClustersLoss()
    callback = MiningStatistics()
    callback.on_fit_start(None, Module(loss))  # type: ignore[arg-type]
    callback.on_train_batch_start(None, None, None, 0)  # type: ignore[arg-type]

    @torch.compile(fullgraph=True, backend="eager")
    def step(embeddings: Tensor) -> Tensor:
        value: Tensor = loss(embeddings, None, TUPLES)
        return value

    (embeddings,) = batches(1)
    assert step(embeddings) == loss.forward(embeddings, None, TUPLES)


def test_losses_without_mining_keep_all_positives() -> None:
    assert train(NPlusOneTupletLoss(), batches(2))["metric/positives_kept"] == 1


def test_of_other_losses_there_is_nothing_to_log() -> None:
    class Other(TripletMarginLoss):  # type: ignore[misc]
        def forward(self, embeddings: Tensor, _: object, indices: object) -> Tensor:
            labels = torch.arange(24) % 2
            loss: Tensor = super().forward(embeddings, labels)
            return loss

    assert train(Other(), batches(1)) == {}


def test_a_loss_inside_another_is_found() -> None:
    inner = NMTupleClustersLoss()
    memory = CrossBatchMemory(inner, embedding_size=16, memory_size=48)
    assert [loss for _, loss in tuple_losses(memory)] == [inner]


def test_nothing_of_the_callback_stays_behind() -> None:
    loss = NMTupleClustersLoss()
    train(loss, batches(1))
    assert not loss._forward_hooks
    assert not loss.collect_stats


def test_an_interval_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="interval=0"):
        MiningStatistics(0)
