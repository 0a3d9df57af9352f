"""Two gloo processes: plain DDP gives the gradients of one process, and nobody waits in vain."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nmloss import AdaptiveNMTupleClustersLoss, IdentityTupleSampler, tuple_indices
from tests.nmloss.gloo import gloo

Q, M, N, D = 4, 3, 2, 8


class EncoderAndLoss(nn.Module):
    """One module, so that DDP averages the gradients of the loss's parameters as well."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(D, D)
        self.loss = AdaptiveNMTupleClustersLoss(D)

    def forward(self, images: Tensor, num_tuples: int) -> Tensor:
        loss: Tensor = self.loss(
            self.encoder(images), indices_tuple=tuple_indices(num_tuples, M, N)
        )
        return loss


def images() -> Tensor:
    return torch.randn(Q * (M + N), D, generator=torch.Generator().manual_seed(1))


def work(rank: int, folder: str, is_empty_somewhere: bool) -> None:
    with gloo(rank, folder):
        model = DistributedDataParallel(EncoderAndLoss())
        half = len(images()) // 2
        own = images()[rank * half : (rank + 1) * half]
        if is_empty_somewhere and rank == 1:
            model(own[:0], 0).backward()
        else:
            model(own, Q // 2).backward()
        gradients = {name: weight.grad for name, weight in model.module.named_parameters()}
        plan = IdentityTupleSampler([0, 1] * 10, range(20), positives=2)  # type: ignore[arg-type]
        queries = [index for batch in plan for index in batch[::3]]
        torch.save((gradients, queries), f"{folder}/{rank}")


@pytest.mark.parametrize("is_empty_somewhere", [False, True])
def test_two_processes_give_the_gradients_of_one(tmp_path: Path, is_empty_somewhere: bool) -> None:
    mp.spawn(work, (str(tmp_path), is_empty_somewhere), nprocs=2)  # type: ignore[no-untyped-call]
    alone = EncoderAndLoss()
    if is_empty_somewhere:
        (alone(images()[: len(images()) // 2], Q // 2) / 2).backward()
    else:
        alone(images(), Q).backward()
    queries = []
    for rank in range(2):
        gradients, own_queries = torch.load(tmp_path / str(rank))
        queries += own_queries
        for name, weight in alone.named_parameters():
            torch.testing.assert_close(gradients[name], weight.grad)
    assert sorted(queries) == list(range(20))
