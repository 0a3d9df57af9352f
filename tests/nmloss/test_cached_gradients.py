"""Cached gradients are those of one backward through everything, in one process and in two."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import nmloss
from nmloss import cached_backward
from tests.nmloss.gloo import gloo

B, D = 36, 8
LABELS, PEOPLE = torch.arange(B) % 4, torch.arange(B) // 4
LOSSES: dict[str, Callable[[], nn.Module]] = {
    "fixed": nmloss.NMTupleClustersLoss,
    "adaptive": lambda: nmloss.AdaptiveNMTupleClustersLoss(D),
    "n_plus_one": nmloss.NPlusOneTupletLoss,
    "coupled": nmloss.CoupledClustersLoss,
    "learned distance": lambda: nmloss.NMTupleClustersLoss(distance=nmloss.MahalanobisDistance(D)),
    "proxies": lambda: pml.ProxyAnchorLoss(num_classes=4, embedding_size=D),
}
Gradients = dict[str, Tensor]


def network(dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(dropout), nn.Flatten()]
    layers[1:1] = [nn.BatchNorm2d(4)] if norm else []
    return nn.Sequential(*layers, nn.Linear(64, D))


def images(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(B, 1, 6, 6, generator=torch.Generator().manual_seed(1)).to(dtype)


def gradients(*modules: nn.Module) -> Gradients:
    named = {
        f"{place} {name}": weight.grad
        for place, module in enumerate(modules)
        for name, weight in module.named_parameters()
    }
    return {name: weight.clone() for name, weight in named.items() if weight is not None}


def in_chunks(encoder: nn.Module, batch: Tensor, size: int) -> Tensor:
    """All graphs at once: what memory does not hold."""
    return torch.cat([encoder(chunk) for chunk in batch.split(size)])


def assert_close(found: Gradients, wanted: Gradients, within: float) -> None:
    assert found.keys() == wanted.keys() != set()
    for name in wanted:
        error = (found[name] - wanted[name]).norm() / wanted[name].norm().clamp(min=1e-30)
        assert error <= within, (name, error)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("size", [1, 7, 12, 100])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_gradients_are_those_of_one_backward(
    name: str, size: int, dtype: torch.dtype, within: float
) -> None:
    encoder, batch = network().to(dtype), images(dtype)
    torch.manual_seed(2)
    loss_fn = LOSSES[name]().to(dtype)
    direct = loss_fn(encoder(batch), LABELS)
    direct.backward()
    wanted = gradients(encoder, loss_fn)
    encoder.zero_grad(), loss_fn.zero_grad()
    loss = cached_backward(encoder, lambda f: loss_fn(f, LABELS), batch, chunk_size=size)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, direct.detach())
    # The proxies' exponentials of 32 times a cosine enlarge what the encoder rounds.
    assert_close(gradients(encoder, loss_fn), wanted, within * (3 if name == "proxies" else 1))


@pytest.mark.parametrize("form", ["layout", "miner", "miner of the loss's batch", "memory"])
def test_indices_miners_and_memories_are_used_in_the_closure(form: str) -> None:
    tuples, miner = nmloss.tuple_indices(3, 6, 6), nmloss.IdentityAwareMiner()
    online, batch = nmloss.OnlinePositiveMiner(), images()
    unmined = nmloss.NMTupleClustersLoss(mine_positives=False)

    def loss_of() -> Callable[[Tensor], Tensor]:
        memory = nmloss.CrossBatchMemory(nmloss.NMTupleClustersLoss(), D, memory_size=50)
        return {
            "layout": lambda f: unmined(f, indices_tuple=tuples),
            "miner": lambda f: unmined(f, LABELS, miner(f, LABELS, identities=PEOPLE)),
            "miner of the loss's batch": lambda f: unmined(f, LABELS, online(f, LABELS)),
            "memory": lambda f: memory(f, LABELS),
        }[form]

    encoder = network().double()
    loss_of()(encoder(batch)).backward()
    wanted = gradients(encoder)
    encoder.zero_grad()
    cached_backward(encoder, loss_of(), list(batch.split(10)))
    assert_close(gradients(encoder), wanted, 1e-13)


def test_dropout_is_the_same_in_both_passes_and_the_generator_goes_on() -> None:
    encoder, loss_fn = network(dropout=0.5).double(), nmloss.NPlusOneTupletLoss()

    def noisy(embeddings: Tensor) -> Tensor:  # the loss draws too, between the passes
        return loss_fn(embeddings + 0.01 * torch.randn(embeddings.shape).double(), LABELS)

    torch.manual_seed(3)
    noisy(in_chunks(encoder, images(), 7)).backward()
    wanted, then = gradients(encoder), torch.rand(3)
    encoder.zero_grad()
    torch.manual_seed(3)
    cached_backward(encoder, noisy, images(), chunk_size=7)
    assert_close(gradients(encoder), wanted, 1e-13)
    assert torch.equal(torch.rand(3), then)


@pytest.mark.parametrize("kind", ["batch", "cumulative", "spectral"])
def test_buffers_change_once_a_chunk(kind: str) -> None:
    def make() -> nn.Module:
        encoder = network(norm=kind != "spectral").double()
        if kind == "cumulative":
            encoder[1].momentum = None  # type: ignore[assignment]
        if kind == "spectral":
            torch.manual_seed(4)
            nn.utils.parametrizations.spectral_norm(encoder[-1])
        return encoder

    loss_fn = nmloss.NPlusOneTupletLoss()
    direct, cached = make(), make()
    before = {name: buffer.clone() for name, buffer in direct.named_buffers()}
    if kind == "spectral":  # only the last state of its vectors is in the graph
        with torch.no_grad():
            in_chunks(direct, images(), 12)
    else:
        loss_fn(in_chunks(direct, images(), 12), LABELS).backward()
    cached_backward(cached, lambda f: loss_fn(f, LABELS), images(), chunk_size=12)
    assert before
    for name, buffer in cached.named_buffers():
        torch.testing.assert_close(buffer, dict(direct.named_buffers())[name])
        assert not torch.equal(buffer, before[name])
    if kind != "spectral":
        assert_close(gradients(cached), gradients(direct), 1e-13)


def test_autocast_around_the_call_reaches_the_weights() -> None:
    """It remembers weights that it cast, in the first pass without a graph."""
    encoder, loss_fn = network(), nmloss.AdaptiveNMTupleClustersLoss(D)
    batch = images(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        direct = loss_fn(in_chunks(encoder, batch, 12), LABELS)
    direct.backward()
    wanted = gradients(encoder, loss_fn)
    encoder.zero_grad(), loss_fn.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = cached_backward(encoder, lambda f: loss_fn(f, LABELS), batch, chunk_size=12)
    torch.testing.assert_close(loss, direct.detach())
    assert_close(gradients(encoder, loss_fn), wanted, 0.02)  # bfloat16 sums in another order


def test_gradients_are_added_and_reach_images_that_need_them() -> None:
    encoder, loss_fn = network().double(), nmloss.NPlusOneTupletLoss()
    batch = images().requires_grad_()
    loss_fn(encoder(batch), LABELS).backward()
    assert batch.grad is not None
    wanted, of_images = gradients(encoder), batch.grad.clone()
    cached_backward(encoder, lambda f: loss_fn(f, LABELS), batch, chunk_size=10)
    assert_close(gradients(encoder), {name: 2 * each for name, each in wanted.items()}, 1e-13)
    torch.testing.assert_close(batch.grad, 2 * of_images)


def test_the_graph_of_one_chunk_is_alive_at_a_time() -> None:
    alive, most = [0], [0]

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, values: Tensor) -> Tensor:
            alive[0] += len(values)
            most[0] = max(most[0], alive[0])
            return values.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            alive[0] -= len(gradient)
            return gradient

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(D, D)

        def forward(self, batch: Tensor) -> Tensor:
            found = self.layer(batch)
            return Counted.apply(found) if torch.is_grad_enabled() else found  # type: ignore[no-any-return, no-untyped-call]

    loss_fn = nmloss.NPlusOneTupletLoss()
    cached_backward(Encoder(), lambda f: loss_fn(f, LABELS), torch.randn(B, D), chunk_size=5)
    assert (alive[0], most[0]) == (0, 5)


class Unsteady(nn.Module):
    """Draws from NumPy, which PyTorch does not set back."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.rng = nn.Linear(D, D), np.random.default_rng(0)

    def forward(self, batch: Tensor) -> Tensor:
        found: Tensor = self.layer(batch * float(self.rng.random()))
        return found


ROWS = torch.randn(B, D)
MISTAKES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "unsteady": (
        lambda: cached_backward(Unsteady(), torch.sum, ROWS, chunk_size=5),
        RuntimeError,
        "other embeddings for chunk 0 the second time",
    ),
    "no chunk size": (
        lambda: cached_backward(nn.Linear(D, D), torch.sum, ROWS),
        ValueError,
        r"images of shape \(36, 8\) and chunk_size=None",
    ),
    "chunk size of chunks": (
        lambda: cached_backward(nn.Linear(D, D), torch.sum, [ROWS], chunk_size=5),
        ValueError,
        "chunk_size=5: images are chunks already",
    ),
    "read once": (
        lambda: cached_backward(nn.Linear(D, D), torch.sum, iter([ROWS])),  # type: ignore[arg-type]
        ValueError,
        "images: needed is a tensor or a list of chunks",
    ),
    "nothing": (
        lambda: cached_backward(nn.Linear(D, D), torch.sum, []),
        ValueError,
        "got list of 0",
    ),
    "no scalar": (
        lambda: cached_backward(nn.Linear(D, D), lambda f: f, ROWS, chunk_size=5),
        ValueError,
        r"loss_of: needed is a scalar with a gradient, got Tensor of shape \(36, 8\)",
    ),
    "detached": (
        lambda: cached_backward(nn.Linear(D, D), lambda f: f.detach().sum(), ROWS, chunk_size=5),
        ValueError,
        "loss_of: .* without a gradient",
    ),
    "frozen": (
        lambda: cached_backward(nn.Linear(D, D).requires_grad_(False), torch.sum, [ROWS]),
        ValueError,
        "encoder: its embeddings have no gradient",
    ),
    "pooled": (
        lambda: cached_backward(nn.Flatten(0), torch.sum, [ROWS]),
        ValueError,
        "encoder: 288 embeddings for a chunk of 36 images",
    ),
    "other embeddings": (
        lambda: cached_backward(nn.PReLU(), torch.sum, [ROWS, ROWS[:, :3]]),
        ValueError,
        r"embeddings of shape \(36, 3\) and torch.float32 after those of shape \(36, 8\)",
    ),
    "no gradients": (
        lambda: torch.no_grad()(cached_backward)(nn.Linear(D, D), torch.sum, [ROWS]),
        ValueError,
        "gradients are switched off",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_refused_by_name(name: str) -> None:
    call, kind, message = MISTAKES[name]
    with pytest.raises(kind, match=message):
        call()


def steps(rank: int, cached: bool, norm: bool, wrap_loss: bool) -> tuple[Gradients, Gradients]:
    """Gradients and buffers after two steps of unequally many chunks, 2 and 5 of 18 images."""
    encoder = DistributedDataParallel(network(norm=norm).double())
    loss_fn: nn.Module = nmloss.AdaptiveNMTupleClustersLoss(D).double()
    loss_fn = DistributedLossWrapper(loss_fn) if wrap_loss else DistributedDataParallel(loss_fn)
    half = B // 2
    own, labels = images()[rank * half :][:half], LABELS[rank * half :][:half]
    size = (9, 4)[rank]
    for _ in range(2):
        encoder.zero_grad(), loss_fn.zero_grad()
        if cached:
            cached_backward(encoder, lambda f: loss_fn(f, labels), own, chunk_size=size)
        else:
            # As accumulated gradients: the encoder runs once a chunk, and averages at the end.
            inner = encoder.module
            loss_fn(in_chunks(inner, own, size), labels).backward()
            for weight in encoder.parameters():
                dist.all_reduce(weight.grad, op=dist.ReduceOp.SUM)
                weight.grad /= 2  # type: ignore[operator]
    buffers = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    return gradients(encoder, loss_fn), buffers


def work(rank: int, folder: str) -> None:
    with gloo(rank, folder):
        for norm in (False, True):
            for wrap_loss in (False, True):
                wanted, _ = steps(rank, False, norm, wrap_loss)
                found, buffers = steps(rank, True, norm, wrap_loss)
                assert_close(found, wanted, 1e-12)
                assert bool(buffers) is norm
                if norm:
                    # That of process 0, once a step.
                    count = buffers["module.1.num_batches_tracked"]
                    assert int(count) == 2 + (2, 5)[rank], count
        torch.save(True, f"{folder}/{rank}")


def test_two_processes_average_once_after_unequally_many_chunks(tmp_path: Path) -> None:
    mp.spawn(work, (str(tmp_path),), nprocs=2)  # type: ignore[no-untyped-call]
    assert all((tmp_path / str(rank)).exists() for rank in range(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("is_cast", [False, True])
def test_dropout_on_a_gpu_is_the_same_in_both_passes(is_cast: bool) -> None:
    encoder, loss_fn = network(dropout=0.5).cuda(), nmloss.NPlusOneTupletLoss()
    batch, labels = images(torch.float32).cuda(), LABELS.cuda()
    found = []
    for cached in (False, True):
        encoder.zero_grad()
        torch.manual_seed(3)
        with torch.autocast("cuda", torch.bfloat16) if is_cast else nullcontext():
            if cached:
                cached_backward(encoder, lambda f: loss_fn(f, labels), batch, chunk_size=7)
            else:
                loss_fn(in_chunks(encoder, batch, 7), labels).backward()
        found.append((gradients(encoder), torch.rand(3, device="cuda")))
    assert_close(found[1][0], found[0][0], 0.03 if is_cast else 1e-4)
    assert torch.equal(found[0][1], found[1][1])
