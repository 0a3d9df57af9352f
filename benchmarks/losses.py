"""Speed of the losses beside pytorch-metric-learning's: ``python -m benchmarks.losses``.

One process; forward and backward of one batch of random embeddings, laid out as tuples of 6 + 6.
The floor reads the embeddings once and writes one gradient: the summed squared distance to each
tuple's mean. Times are medians; ratios are to the floor of the same batch.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from pytorch_metric_learning import losses as pml
from torch import Tensor

from nmloss import (
    AdaptiveNMTupleClustersLoss,
    NMTupleClustersLoss,
    NPlusOneTupletLoss,
    TupleIndices,
    tuple_indices,
)

POSITIVES = NEGATIVES = 6


def seconds(run: Callable[[], None], repeats: int) -> float:
    for _ in range(3):
        run()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def floor(embeddings: Tensor, _: Tensor, tuples: TupleIndices) -> Tensor:
    members = embeddings.reshape(tuples.num_tuples, POSITIVES + NEGATIVES, -1)
    return (members - members.mean(dim=1, keepdim=True)).square().sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[144, 576, 2304])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=11)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(f"dimension {given.dim}, {given.threads} thread(s), milliseconds (ratio to the floor)")
    candidates: dict[str, Callable[[Tensor, Tensor, TupleIndices], Tensor]] = {
        "floor": floor,
        "nmloss fixed": NMTupleClustersLoss(),
        "nmloss adaptive": AdaptiveNMTupleClustersLoss(given.dim),
        "nmloss (N+1)": NPlusOneTupletLoss(),
        "PML Contrastive": pml.ContrastiveLoss(),
        "PML SupCon": pml.SupConLoss(),
        "PML TripletMargin": pml.TripletMarginLoss(),
    }
    header = "".join(f"{batch:>20}" for batch in given.batches)
    print(f"{'batch':18}{header}")
    floors: dict[int, float] = {}
    for name, loss_fn in candidates.items():
        cells = []
        for batch in given.batches:
            num_tuples = batch // (POSITIVES + NEGATIVES)
            embeddings = torch.randn(batch, given.dim, requires_grad=True)
            tuples = tuple_indices(num_tuples, POSITIVES, NEGATIVES)
            labels = torch.arange(batch)

            def run(
                loss_fn: Callable[..., Tensor] = loss_fn,
                arguments: tuple[Tensor, Tensor, TupleIndices] = (embeddings, labels, tuples),
            ) -> None:
                arguments[0].grad = None
                loss_fn(*arguments).backward()

            taken = seconds(run, given.repeats)
            floors.setdefault(batch, taken)
            cells.append(f"{1e3 * taken:.2f} ({taken / floors[batch]:.1f})")
        print(f"{name:18}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
