"""Two gloo processes: PML's distributed wrappers around ours; batches in which little counts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from pytorch_metric_learning.miners import MultiSimilarityMiner
from pytorch_metric_learning.utils.distributed import (
    DistributedLossWrapper,
    DistributedMinerWrapper,
)
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import nmloss
from tests.nmloss.gloo import WORLD, gloo

D, HALF = 8, 10
LOSSES: dict[str, Callable[..., Any]] = {
    "fixed": nmloss.NMTupleClustersLoss,
    "adaptive": lambda: nmloss.AdaptiveNMTupleClustersLoss(D),
    "n_plus_one": nmloss.NPlusOneTupletLoss,
    "coupled": nmloss.CoupledClustersLoss,
    "fixed, softened": lambda: nmloss.NMTupleClustersLoss(sharpness=4),
}
all_losses = pytest.mark.parametrize("name", LOSSES)
NONE = (torch.zeros(0, dtype=torch.long),) * 4
POOR_BATCHES: dict[str, tuple[list[int], Any]] = {  # labels and indices of the second process
    "all labels differ": ([*range(HALF)], None),
    "one class": ([0] * HALF, None),
    "one image": ([0], None),
    "no pairs": ([0] * HALF, NONE),
    "no tuples": ([], nmloss.tuple_indices(0)),
}
Results = dict[str, dict[str, Tensor]]


class Model(nn.Module):
    """Encoder and loss in one module, so that DDP averages the gradients of both."""

    def __init__(self, loss: nn.Module, miner: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.loss, self.miner = nn.Linear(D, D).double(), loss.double(), miner

    def forward(self, images: Tensor, labels: Tensor, indices: Any = None) -> Tensor:
        embeddings = self.encoder(images)
        if self.miner is not None:
            indices = self.miner(embeddings, labels)
        loss: Tensor = self.loss(embeddings, labels, indices)
        return loss

    def outcome(self, loss: Tensor) -> dict[str, Tensor]:
        """The value and all gradients; the parameters of a wrapped loss under their own names."""
        self.zero_grad()
        loss.backward()
        gradients = {
            name if "encoder" in name else name.rsplit(".")[-1]: weight.grad.clone()
            for name, weight in self.named_parameters()
            if weight.grad is not None
        }
        return {"value": loss.detach(), **gradients}


def images(step: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    return torch.randn(WORLD * HALF, D, generator=generator, dtype=torch.float64)


LABELS = torch.arange(WORLD * HALF) * 7 % 4


def memory(name: str) -> nn.Module:
    return nmloss.CrossBatchMemory(LOSSES[name](), D, memory_size=50)


def chain() -> nmloss.ChainedMiner:
    match = nmloss.LabelMatch(lambda a, b: a == b, lambda a, b: (a - b).abs() > 1)
    return nmloss.ChainedMiner([match, MultiSimilarityMiner()])


def in_wrappers(rank: int) -> Results:
    own = slice(rank * HALF, (rank + 1) * HALF)
    models = {
        f"{name}, efficient={efficient}": Model(DistributedLossWrapper(LOSSES[name](), efficient))
        for name in LOSSES
        for efficient in (False, True)
    }
    unmining = nmloss.NMTupleClustersLoss(mine_positives=False)
    miner = DistributedMinerWrapper(nmloss.OnlinePositiveMiner())
    models["mined"] = Model(DistributedLossWrapper(unmining), miner)
    models["chained"] = Model(DistributedLossWrapper(unmining), DistributedMinerWrapper(chain()))
    models |= {f"{name}, memory": Model(DistributedLossWrapper(memory(name))) for name in LOSSES}
    results = {}
    for case, model in models.items():
        parallel = DistributedDataParallel(model)
        for step in range(3 if "memory" in case else 1):  # three batches of 20 in a memory of 50
            loss = parallel(images(step)[own], LABELS[own])
            results[case] = model.outcome(loss)
    return results


def with_poor_batches(rank: int) -> Results:
    results = {}
    for name, make in LOSSES.items():
        for kind, (labels, indices) in POOR_BATCHES.items():
            model = Model(make())
            batch: tuple[Any, ...] = (images()[:HALF], LABELS[:HALF])
            if rank == 1:
                batch = (images()[HALF : HALF + len(labels)], torch.tensor(labels).long(), indices)
            parallel = DistributedDataParallel(model)
            results[f"{name}, {kind}"] = model.outcome(parallel(*batch))
    return results


def work(rank: int, folder: str) -> None:
    with gloo(rank, folder, seconds=30):
        torch.save(in_wrappers(rank) | with_poor_batches(rank), f"{folder}/{rank}")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    """Of both processes; one start of them serves all tests."""
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(work, (str(folder),), nprocs=WORLD)  # type: ignore[no-untyped-call]
    return [torch.load(folder / str(rank)) for rank in range(WORLD)]


def assert_scaled(
    results: list[Results], case: str, alone: dict[str, Tensor], *, encoder: int
) -> None:
    """The mean of the values and the loss's own gradients are twice those of one process."""
    value = sum(result[case]["value"] for result in results) / WORLD
    torch.testing.assert_close(value, WORLD * alone["value"])
    for result in results:
        assert result[case].keys() == alone.keys()
        for name in alone.keys() - {"value"}:
            factor = encoder if name.startswith("encoder") else WORLD
            torch.testing.assert_close(result[case][name], factor * alone[name])


@all_losses
def test_pml_wrapper_gives_the_encoder_its_gradients_and_doubles_those_of_the_loss(
    name: str, results: list[Results]
) -> None:
    """It multiplies the loss by the number of processes, and DDP averages: right for the encoder,
    of which each process sees its part, twice too much for weights that all processes see whole.
    """
    alone = Model(LOSSES[name]())
    outcome = alone.outcome(alone(images(), LABELS))
    assert_scaled(results, f"{name}, efficient=False", outcome, encoder=1)


@all_losses
def test_the_efficient_wrapper_leaves_out_the_gradients_of_references_elsewhere(
    name: str, results: list[Results]
) -> None:
    """And doubles all that is left: another gradient than that of one process."""
    alone = Model(LOSSES[name]())
    embeddings, places = alone.encoder(images()), torch.arange(WORLD * HALF)
    parts = []
    for own in places.split(HALF):
        is_own = (places[:, None] == own).any(dim=1)
        references = torch.where(is_own[:, None], embeddings, embeddings.detach())
        alike = LABELS[own][:, None] == LABELS
        positive, negative = torch.where(alike & (own[:, None] != places)), torch.where(~alike)
        parts.append(alone.loss(embeddings[own], None, (*positive, *negative), references))
    outcome = alone.outcome(torch.stack(parts).mean())
    assert_scaled(results, f"{name}, efficient=True", outcome, encoder=WORLD)
    torch.testing.assert_close(outcome["value"], alone(images(), LABELS))


def test_mined_across_processes_is_mined_in_one(results: list[Results]) -> None:
    alone = Model(nmloss.NMTupleClustersLoss())
    outcome = alone.outcome(alone(images(), LABELS))
    assert_scaled(results, "mined", outcome, encoder=1)
    unmined = Model(nmloss.NMTupleClustersLoss(mine_positives=False))
    assert not torch.isclose(unmined(images(), LABELS), outcome["value"])


def test_chained_across_processes_is_chained_in_one(results: list[Results]) -> None:
    alone = Model(nmloss.NMTupleClustersLoss(mine_positives=False), chain())
    outcome = alone.outcome(alone(images(), LABELS))
    assert_scaled(results, "chained", outcome, encoder=1)


@all_losses
def test_a_memory_across_processes_is_a_memory_in_one(name: str, results: list[Results]) -> None:
    alone = Model(memory(name))
    for step in range(3):
        outcome = alone.outcome(alone(images(step), LABELS))
    assert_scaled(results, f"{name}, memory", outcome, encoder=1)


@all_losses
@pytest.mark.parametrize("kind", POOR_BATCHES)
def test_nobody_waits_for_a_process_whose_batch_is_poor(
    name: str, kind: str, results: list[Results]
) -> None:
    """Plain DDP averages its gradients like any others; where nothing counts they are zero."""
    labels, indices = POOR_BATCHES[kind]
    alone = Model(LOSSES[name]())
    first = alone.outcome(alone(images()[:HALF], LABELS[:HALF]))
    batch = (images()[HALF : HALF + len(labels)], torch.tensor(labels).long(), indices)
    second = alone.outcome(alone(*batch))
    if kind in ("one image", "no pairs", "no tuples"):
        assert not any(gradient.any() for gradient in second.values())
    for result in results:
        found = result[f"{name}, {kind}"]
        assert found.keys() == first.keys() == second.keys()
        for key in found.keys() - {"value"}:
            torch.testing.assert_close(found[key], (first[key] + second[key]) / 2)
