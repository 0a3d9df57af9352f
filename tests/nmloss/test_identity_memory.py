"""A memory that knows identities: one process, two of gloo, and its state dict."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning import miners
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import nmloss
from nmloss import IdentityMemory, functional
from tests.nmloss.gloo import WORLD, gloo

D, B, ROOM, KINDS, PERSONS = 8, 12, 30, 4, 5
LOSSES: dict[str, Callable[[], Any]] = {
    "fixed": lambda: nmloss.NMTupleClustersLoss(sharpness=4),
    "adaptive": lambda: nmloss.AdaptiveNMTupleClustersLoss(D),
    "n_plus_one": nmloss.NPlusOneTupletLoss,
    "coupled": nmloss.CoupledClustersLoss,
}
Batch = tuple[Tensor, Tensor, Tensor]


def batch(step: int, size: int = B) -> Batch:
    generator = torch.Generator().manual_seed(step)
    embeddings = torch.randn(size, D, generator=generator, dtype=torch.float64)
    labels = torch.randint(KINDS, (size,), generator=generator)
    return embeddings, labels, torch.randint(PERSONS, (size,), generator=generator)


def remembered(batches: list[Batch]) -> Batch:
    """What is held, where it is held: the last of each place."""
    places: dict[int, tuple[Tensor, ...]] = {}
    count = 0
    for each in batches:
        for entry in zip(*each, strict=True):
            places[count % ROOM] = entry
            count += 1
    held = [places[place] for place in sorted(places)]
    return tuple(torch.stack(column) for column in zip(*held, strict=True))  # type: ignore[return-value]


def masks(own: Batch, held: Batch) -> tuple[Tensor, Tensor]:
    """Liu et al. 2017, Sec. 3, by loops: the pairs of each query."""
    shape = len(own[0]), len(held[0])
    positive, negative = torch.zeros(2, *shape, dtype=torch.bool)
    entries = list(zip(held[1].tolist(), held[2].tolist(), strict=True))
    for q, (label, person) in enumerate(zip(own[1].tolist(), own[2].tolist(), strict=True)):
        shown = {y for y, who in entries if who == person}
        lenders = {who for y, who in entries if y == label and who != person}
        for r, (y, who) in enumerate(entries):
            positive[q, r] = y == label and who != person
            negative[q, r] = y != label and (who == person or (y not in shown and who in lenders))
    return positive, negative


def expected(name: str, loss_fn: Any, own: Batch, held: Batch) -> Tensor:
    """The pure function on the concatenation of batch and memory, with masks."""
    positive, negative = masks(own, held)
    queries = nn.functional.normalize(own[0])
    members = torch.cat([queries, nn.functional.normalize(held[0].detach())])
    none = torch.zeros(len(queries), len(queries), dtype=torch.bool)
    if name != "n_plus_one":
        none = none | torch.eye(len(queries), dtype=torch.bool)  # the query in its own cluster
    counts = (positive | negative).any(dim=1)
    options: dict[str, Any] = {
        "positive_mask": torch.cat([none, positive], dim=1),
        "negative_mask": torch.cat([torch.zeros_like(none), negative], dim=1),
    }
    function: Callable[..., Tensor]
    if name == "adaptive":
        function, weights = functional.adaptive_nm_tuple_clusters_loss, loss_fn.named_parameters()
        options |= dict(weights)
    elif name == "fixed":
        function = functional.nm_tuple_clusters_loss
        options["sharpness"] = 4
    elif name == "coupled":
        function = functional.coupled_clusters_loss
    else:
        function = functional.n_plus_one_tuplet_loss
        options["queries"] = queries
    losses = function(members, members, **options)
    return losses[counts].mean()


def gradients(loss: Tensor, *leaves: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("name", LOSSES)
def test_a_memory_gives_the_loss_on_memory_and_batch_with_masks(name: str) -> None:
    """It wraps round in the third step."""
    loss_fn = LOSSES[name]().double()
    memory, batches = IdentityMemory(loss_fn, D, ROOM), list[Batch]()
    for step in range(6):
        embeddings, labels, people = batch(step)
        batches.append((embeddings, labels, people))
        leaf = embeddings.clone().requires_grad_()
        loss = memory(leaf, labels, identities=people)
        want = expected(name, loss_fn, (leaf, labels, people), remembered(batches))
        torch.testing.assert_close(loss, want)
        leaves = (leaf, *loss_fn.parameters())
        torch.testing.assert_close(gradients(loss, *leaves), gradients(want, *leaves))


def test_people_change_the_loss() -> None:
    """Else identities would be of no use."""
    embeddings, labels, people = batch(0)
    values = {
        IdentityMemory(LOSSES["fixed"](), D, ROOM)(embeddings, labels, identities=who).item()
        for who in (people, torch.arange(B), (people + labels) % 2)
    }
    assert len(values) == 3


def test_an_enqueue_mask_parts_the_queries_from_the_memory() -> None:
    loss_fn, (embeddings, labels, people) = LOSSES["fixed"](), batch(0)
    mask = torch.arange(B) % 3 > 0
    memory = IdentityMemory(loss_fn, D, ROOM)
    loss = memory(embeddings, labels, enqueue_mask=mask, identities=people)
    own, held = ((embeddings[m], labels[m], people[m]) for m in (~mask, mask))
    torch.testing.assert_close(loss, expected("fixed", loss_fn, own, held))
    before = memory.state_dict()["embedding_memory"].clone()
    memory(embeddings, labels, enqueue_mask=mask & False, identities=people)
    assert not memory.has_been_filled
    assert torch.equal(memory.state_dict()["embedding_memory"], before)


def test_further_pairs_are_added() -> None:
    embeddings, labels, people = batch(0)
    loss_fn = nmloss.NPlusOneTupletLoss()
    miner = nmloss.IdentityAwareMiner()
    pairs = miner(embeddings, labels, identities=people)
    more = (torch.tensor([0]), torch.tensor([1]), torch.tensor([0, 0]), torch.tensor([2, 3]))
    both = tuple(torch.cat(each) for each in zip(pairs, more, strict=True))
    loss = IdentityMemory(loss_fn, D, ROOM)(embeddings, labels, more, identities=people)
    torch.testing.assert_close(loss, loss_fn(embeddings, None, both, embeddings.clone()))


@pytest.mark.parametrize("loss", [pml.TripletMarginLoss(), pml.ContrastiveLoss()])
def test_losses_of_pml_serve(loss: Any) -> None:
    embeddings, labels, people = batch(0)
    pairs = nmloss.IdentityAwareMiner()(embeddings, labels, identities=people)
    got = IdentityMemory(loss, D, ROOM)(embeddings, labels, identities=people)
    torch.testing.assert_close(got, loss(embeddings, labels, pairs, embeddings.clone(), labels))


def test_a_chain_gets_the_identities() -> None:
    miner = nmloss.ChainedMiner([nmloss.IdentityAwareMiner(), miners.MultiSimilarityMiner()])
    embeddings, labels, people = batch(0)
    loss_fn = pml.ContrastiveLoss()
    got = IdentityMemory(loss_fn, D, ROOM, miner)(embeddings, labels, identities=people)
    pairs = miner(embeddings, labels, embeddings.clone(), labels.clone(), identities=people,
                  ref_identities=people.clone())  # fmt: skip
    torch.testing.assert_close(got, loss_fn(embeddings, labels, pairs, embeddings.clone(), labels))


def test_a_miner_that_mines_positives_online_gets_the_identities() -> None:
    """Of the copies of queries in the memory none is a positive."""
    base = nmloss.OnlinePositiveMiner(nmloss.IdentityAwareMiner())
    embeddings, labels, people = batch(0)
    loss_fn = pml.ContrastiveLoss()
    got = IdentityMemory(loss_fn, D, ROOM, base)(embeddings, labels, identities=people)
    pairs = base(embeddings, labels, embeddings.clone(), labels.clone(), identities=people,
                 ref_identities=people.clone())  # fmt: skip
    torch.testing.assert_close(got, loss_fn(embeddings, labels, pairs, embeddings.clone(), labels))


@pytest.mark.parametrize("steps", [1, 2, 3, 5])  # partly filled, and after it wraps round
def test_a_memory_goes_on_from_its_state_dict(steps: int) -> None:
    first, second = (IdentityMemory(LOSSES["fixed"](), D, ROOM) for _ in range(2))
    for step in range(steps):
        first(*batch(step)[:2], identities=batch(step)[2])
    assert first.has_been_filled == (steps >= 3)
    state = first.state_dict()
    assert {"embedding_memory", "label_memory", "identity_memory", "queue"} <= state.keys()
    second.load_state_dict(copy.deepcopy(state))
    assert second.has_been_filled == first.has_been_filled
    for step in range(steps, steps + 4):
        values = [m(*batch(step)[:2], identities=batch(step)[2]) for m in (first, second)]
        assert torch.equal(*values)


def test_a_state_without_identities_starts_anew_and_says_so() -> None:
    old = nmloss.CrossBatchMemory(LOSSES["fixed"](), D, ROOM)
    for step in range(4):
        old(*batch(step)[:2])
    memory, fresh = (IdentityMemory(LOSSES["fixed"](), D, ROOM) for _ in range(2))
    with pytest.warns(UserWarning, match="without identities: what it remembers is left out"):
        memory.load_state_dict(old.state_dict())
    for step in range(4):
        values = [m(*batch(step)[:2], identities=batch(step)[2]) for m in (memory, fresh)]
        assert torch.equal(*values)


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_a_state_of_pml_goes_on_with_what_it_remembers(steps: int) -> None:
    """PML's does not say how far the memory is filled; its order is lost once it has wrapped."""
    theirs = pml.CrossBatchMemory(pml.NTXentLoss(), D, ROOM)
    ours = nmloss.CrossBatchMemory(pml.NTXentLoss(), D, ROOM)
    for step in range(steps):
        theirs(*batch(step)[:2])
    ours.load_state_dict(theirs.state_dict())
    assert ours.has_been_filled == theirs.has_been_filled == (steps >= 3)
    if steps == 1:
        assert ours.queue_idx == B
        assert torch.equal(ours(*batch(9)[:2]), theirs(*batch(9)[:2]))


def test_labels_that_are_no_whole_numbers_survive_the_state_dict() -> None:
    embeddings, labels, people = batch(0)
    first, second = (IdentityMemory(LOSSES["fixed"](), D, ROOM) for _ in range(2))
    first(embeddings, labels + 0.5, identities=people)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.label_memory.is_floating_point()
    values = [m(*batch(1)[:1], labels + 0.5, identities=people) for m in (first, second)]
    assert torch.equal(*values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(*batch(0)[:2]), "identities: this memory needs"),
        (lambda m: m(*batch(0)[:2], identities=torch.arange(3)), "identities of shape"),
        (lambda m: m(*batch(0)[:2], identities=["ann"] * B), "identities: they are remembered"),
        (lambda m: m(*batch(0, 40)[:2], identities=torch.arange(40)), "memory_size=30"),
        (lambda m: m(torch.eye(3), [0, 1, 2], identities=[0, 1, 2]), "embeddings of size 3"),
        (
            lambda m: m(*batch(0)[:2], nmloss.tuple_indices(1), torch.ones(B).bool(),
                        identities=torch.arange(B)),
            "only one of them",
        ),
        (
            lambda m: [m(*batch(0)[:2], identities=torch.arange(B) + k) for k in (0, 0.5)],
            "identities of torch.float32: those remembered are of torch.int64",
        ),
        (
            lambda _: IdentityMemory(pml.NTXentLoss(), D, miner=miners.MultiSimilarityMiner()),
            "miner=MultiSimilarityMiner: it takes no identities; chain it",
        ),
        (
            lambda _: IdentityMemory(pml.NTXentLoss(), D, miner=nmloss.OnlinePositiveMiner()),
            "miner=OnlinePositiveMiner: it takes no identities; chain it",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named(call: Callable[[IdentityMemory], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(IdentityMemory(pml.NTXentLoss(), D, ROOM))


class Model(nn.Module):
    def __init__(self, name: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(D, D).double()
        self.memory = IdentityMemory(LOSSES[name]().double(), D, ROOM)

    def forward(self, images: Tensor, labels: Tensor, people: Tensor, mask: Any = None) -> Tensor:
        loss: Tensor = self.memory(
            self.encoder(images), labels, enqueue_mask=mask, identities=people
        )
        return loss


def outcome(model: Model, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    found = {name: weight.grad.clone() for name, weight in model.named_parameters()
             if weight.grad is not None}  # fmt: skip
    held = {name: value.clone() for name, value in model.memory.state_dict().items()}
    return {"value": loss.detach()} | found | held


def full(step: int) -> Batch:
    """All have positives and negatives, so that each process counts as many tuples."""
    embeddings, _, _ = batch(step)
    return embeddings, torch.arange(B) % 2, torch.arange(B) // 2 % 3


def work(rank: int, folder: str) -> None:
    with gloo(rank, folder, seconds=30):
        results = {}
        for name in LOSSES:
            model = Model(name)
            parallel = DistributedDataParallel(model)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            own = slice(rank * B // WORLD, (rank + 1) * B // WORLD)
            for step in range(4):
                loss = parallel(*(values[own] for values in full(step)))
                results[f"{name}, {step}"] = outcome(model, loss)
                optimizer.step()
        model = Model("fixed")
        size = (0, 7)[rank]  # one has nothing, and more than half of the other's is for the memory
        mask = torch.arange(size) > 2
        parallel = DistributedDataParallel(model)
        results["uneven"] = outcome(model, parallel(*batch(0, size), mask))
        torch.save(results, f"{folder}/{rank}")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    folder = tmp_path_factory.mktemp("processes")
    mp.spawn(work, (str(folder),), nprocs=WORLD)  # type: ignore[no-untyped-call]
    return [torch.load(Path(folder) / str(rank)) for rank in range(WORLD)]


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_are_one(name: str, results: list[dict[str, dict[str, Tensor]]]) -> None:
    """Both hold the same, and have the gradients of one, those of the loss's own weights too."""
    alone = Model(name)
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.1)
    for step in range(4):
        want = outcome(alone, alone(*full(step)))
        optimizer.step()
        found = [result[f"{name}, {step}"] for result in results]
        value = sum(each["value"] for each in found) / WORLD
        torch.testing.assert_close(value, want["value"])
        for each in found:
            assert each.keys() == want.keys()
            for key in want.keys() - {"value"}:
                torch.testing.assert_close(each[key], want[key])


def test_a_process_may_have_fewer_or_nothing(results: list[dict[str, dict[str, Tensor]]]) -> None:
    alone, size = Model("fixed"), 7
    want = outcome(alone, alone(*batch(0, size), torch.arange(size) > 2))
    assert want["queue"].tolist() == [4, 0]
    for rank, result in enumerate(results):
        found = result["uneven"]
        for key in ("embedding_memory", "label_memory", "identity_memory", "queue"):
            assert torch.equal(found[key], want[key])
        torch.testing.assert_close(found["encoder.weight"], want["encoder.weight"] / WORLD)
        assert (found["value"] == 0) == (rank == 0)
