"""One network from one loss."""

from collections.abc import Iterator

import numpy as np
import torch
from pytorch_metric_learning.samplers import MPerClassSampler
from pytorch_metric_learning.utils import common_functions
from torch import nn

from benchmarks.embeddings.images import DataSet, Images
from benchmarks.embeddings.losses import EMBEDDING_SIZE, TUPLES, Choice
from nmloss import IdentityTupleSampler, tuple_indices


def tuple_sampler(data: DataSet, train: Images, seed: int) -> IdentityTupleSampler:
    return IdentityTupleSampler(
        train.labels,
        train.persons,
        positives=data.positives,
        tuples_per_batch=data.tuples,
        drop_last=True,
        seed=seed,
    )


def batches_of(
    data: DataSet, train: Images, kind: str, seed: int, epochs: int
) -> Iterator[list[int]]:
    """Equally many of either kind; in an epoch of tuples every training image is a query once."""
    tuples = tuple_sampler(data, train, seed)
    if kind == TUPLES:
        for epoch in range(epochs):
            tuples.set_epoch(epoch)
            yield from tuples
    else:
        size, steps = data.batch_size, epochs * len(tuples)
        common_functions.NUMPY_RANDOM = np.random.default_rng(seed)  # the sampler has no seed
        sampler = MPerClassSampler(train.labels, size // len(data.labels), size, steps * size)
        order = [int(index) for index in sampler]
        yield from (order[step * size : (step + 1) * size] for step in range(steps))


def trained(
    data: DataSet,
    train: Images,
    chosen: Choice,
    kind: str,
    seed: int,
    epochs: int,
    rate: float,
    compiled: bool = False,
) -> nn.Module:
    torch.manual_seed(seed)
    last = (nn.Flatten(), nn.Linear(data.features, EMBEDDING_SIZE))
    network = nn.Sequential(*data.layers(), *last)
    loss_fn = chosen.make()
    groups = [{"params": [*network.parameters()], "lr": rate}]
    if own := [*loss_fn.parameters()]:
        groups.append({"params": own, "lr": rate * chosen.rate})
    optimizer = torch.optim.Adam(groups, fused=True)
    tuples = tuple_indices(data.tuples, data.positives, data.negatives) if kind == TUPLES else None
    forward = torch.compile(network) if compiled else network
    for batch in batches_of(data, train, kind, seed, epochs):
        optimizer.zero_grad()
        loss_fn(forward(train.inputs[batch]), train.labels[batch], tuples).backward()
        optimizer.step()
    return network.eval()
