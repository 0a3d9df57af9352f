"""Two processes of a test, started by ``torch.multiprocessing.spawn``."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist

WORLD = 2


@contextmanager
def gloo(rank: int, folder: str, seconds: int = 60) -> Iterator[None]:
    """A group of two.

    Args:
        rank: Of this process.
        folder: One that both know, for this group alone.
        seconds: After which one that waits for the other in vain fails.
    """
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/store",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=seconds),
    )
    yield
    dist.barrier()  # gloo's threads may still hold tensors, and abort a process that ends
    dist.destroy_process_group()
