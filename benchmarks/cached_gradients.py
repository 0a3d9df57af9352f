"""Memory of cached gradients beside one backward: ``python -m benchmarks.cached_gradients``.

One step of a small convolutional network on random images of 28 x 28, in tuples of 8 + 8, with the
(N+M)-tuple clusters loss; on one thread, each case in a process of its own.
"""

import argparse
import multiprocessing
import resource
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn

from nmloss import NMTupleClustersLoss, cached_backward, tuple_indices

POSITIVES = NEGATIVES = 8


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(32 * 49, 64)),
    )


def peak() -> float:
    """The most memory that the process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def step(
    count: int, chunk_size: int, is_direct: bool, dtype: torch.dtype
) -> tuple[float, float, NDArray[Any]]:
    """Seconds, MB on top of the images, and the gradients."""
    torch.set_num_threads(1)
    encoder, loss_fn = network().to(dtype), NMTupleClustersLoss(mine_positives=False)
    images = torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(1)).to(dtype)
    tuples = tuple_indices(count // (POSITIVES + NEGATIVES), POSITIVES, NEGATIVES)
    before, start = peak(), time.perf_counter()
    if is_direct:
        loss_fn(encoder(images), indices_tuple=tuples).backward()
    else:
        cached_backward(
            encoder, lambda f: loss_fn(f, indices_tuple=tuples), images, chunk_size=chunk_size
        )
    seconds = time.perf_counter() - start
    gradients = [
        weight.grad.flatten() for weight in encoder.parameters() if weight.grad is not None
    ]
    # A tensor would be fetched from this process, which ends.
    return seconds, peak() - before, torch.cat(gradients).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=65_536)
    parser.add_argument("--direct", type=int, default=8_192, help="images where both ways run")
    parser.add_argument("--chunk-size", type=int, default=512)
    given = parser.parse_args()
    full, twice = torch.float32, torch.float64
    cases = [(given.direct, True, full), (given.direct, False, full), (given.images, False, full)]
    cases += [(given.direct, True, twice), (given.direct, False, twice)]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        found = [pool.apply(step, (count, given.chunk_size, *rest), {}) for count, *rest in cases]
    table = Table("images", "", "way", "s", "MB beside the images", box=box.MARKDOWN)
    for (count, is_direct, dtype), (seconds, memory, _) in zip(cases, found, strict=True):
        way = "one backward" if is_direct else f"cached, chunks of {given.chunk_size}"
        kind = str(dtype).removeprefix("torch.")
        table.add_row(str(count), kind, way, f"{seconds:.1f}", f"{memory:.0f}")
    Console(width=100).print(table)
    exact = found[3][2]
    length = np.linalg.norm(exact)
    errors = [np.linalg.norm(found[case][2] - exact) / length for case in (0, 1, 4)]
    print(
        f"From the gradients of one backward in float64, of their length: in float32 one backward\n"
        f"{errors[0]:.1e} and cached {errors[1]:.1e}, in float64 cached {errors[2]:.1e}."
    )


if __name__ == "__main__":
    main()
