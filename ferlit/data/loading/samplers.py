"""Samplers of images: for training with a seed for each image, for evaluation without padding."""

from collections.abc import Callable, Iterator
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler, SequentialSampler

from ferlit.errors import UsageError
from nmloss.random_indices import balanced_order, weighted_order, weighted_total


class BatchSampler(Protocol):
    """What `SeededBatches` wraps: lists of indices, a new plan for each epoch."""

    def __iter__(self) -> Iterator[list[int]]: ...
    def __len__(self) -> int: ...
    def set_epoch(self, epoch: int) -> None: ...


class ShuffledBatches:
    """Batches of all images in random order; the ranks share them out evenly.

    Where the images do not divide by the ranks, the last ones are left out of this epoch, so that
    every rank makes equally many steps. A last image alone joins the batch before it: batch
    normalisation cannot train on one. But for these two, the k-th batches of all ranks together are
    the k-th batch of one process with ``num_replicas * batch_size`` images, whose image
    ``p * num_replicas + rank`` is image p of the rank.

    Args:
        count: Number of images.
        batch_size: Images a batch and rank.
        seed: With the epoch it fixes the order.
        rank: This process.
        num_replicas: Number of processes.
        balance: (count,) class numbers; every class then comes as often as any other, the images of
            a rare one several times an epoch. None takes every image once.
        weights: (count,) how often each image comes in an epoch, see
            `nmloss.random_indices.weighted_order`; with ``balance`` beside others of its class.

    Raises:
        DataError: there are fewer images than processes.

    >>> batches = ShuffledBatches(5, batch_size=2, seed=0)
    >>> sorted(index for batch in batches for index in batch), len(batches)
    ([0, 1, 2, 3, 4], 2)
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        num_replicas: int = 1,
        balance: NDArray[np.int64] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self.count = count if weights is None else weighted_total(weights)
        _check_shares(self.count, num_replicas)
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_replicas = num_replicas
        self.balance = balance
        self.weights = weights
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.count // self.num_replicas, self.batch_size)
        return max(full, 1) if rest == 1 else full + (rest > 0)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        if self.weights is not None:
            order = weighted_order(self.weights, rng, self.balance)
        elif self.balance is None:
            order = rng.permutation(self.count)
        else:
            order = balanced_order(self.balance, rng)
        share = self.count // self.num_replicas
        own = order[self.rank : share * self.num_replicas : self.num_replicas].tolist()
        for number in range(len(self)):
            end = (number + 1) * self.batch_size if number + 1 < len(self) else share
            yield own[number * self.batch_size : end]


class SeededBatches(Sampler[list[tuple[int, int]]]):
    """Gives every index of a batch sampler a seed of its own, fixed by (seed, epoch, place).

    albumentations repeats the same random numbers in every worker and every epoch. With the seed
    beside the index the augmentation depends neither on the worker nor on their number. The place
    is that in the batch of all ranks together, so that they see the pixels that one process with
    that batch would see.

    Args:
        batches: The batch sampler; its ranks share a batch image by image or tuple by tuple.
        seed: With the epoch it fixes all seeds.
        rank: This process.
        num_replicas: Number of processes.
        tuple_size: Images of a tuple; 1 for single images.
        current_epoch: Asked for the epoch whenever a loader starts. Lightning calls ``set_epoch``
            too late where a fit is resumed: its workers have begun with the plan of epoch 0.

    ``generator`` is for the `DataLoader`, which draws the seeds of its workers from it.

    >>> batches = SeededBatches(ShuffledBatches(4, batch_size=2, seed=0), seed=0)
    >>> [len(batch) for batch in batches], batches.sampler is batches
    ([2, 2], True)
    """

    def __init__(
        self,
        batches: BatchSampler,
        *,
        seed: int,
        rank: int = 0,
        num_replicas: int = 1,
        tuple_size: int = 1,
        current_epoch: Callable[[], int] | None = None,
    ) -> None:
        self.batches = batches
        self.seed = seed
        self.rank = rank
        self.num_replicas = num_replicas
        self.tuple_size = tuple_size
        self.current_epoch = current_epoch
        self.generator = torch.Generator()
        self.epoch = 0

    @property
    def sampler(self) -> Self:
        """Itself: Lightning calls ``set_epoch`` on ``batch_sampler.sampler`` only."""
        return self

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        if self.current_epoch is not None:
            self.set_epoch(self.current_epoch())
        rng = np.random.default_rng((self.seed, self.epoch, self.rank))
        self.generator.manual_seed(int(rng.integers(2**63)))
        return self._plan()

    def _plan(self) -> Iterator[list[tuple[int, int]]]:
        for number, batch in enumerate(self.batches):
            rng = np.random.default_rng((self.seed, self.epoch, number))
            shape = (-1, self.num_replicas, self.tuple_size)
            seeds = rng.integers(2**31, size=len(batch) * self.num_replicas).reshape(shape)
            yield list(zip(batch, seeds[:, self.rank].ravel().tolist(), strict=True))


class ShardSampler(SequentialSampler):
    """Every ``num_replicas``-th image, in order, without padding: each is evaluated once.

    Of a kind that Lightning knows not to shuffle: with ``overfit_batches`` it replaces all others.

    Args:
        count: Number of images.
        rank: This process.
        num_replicas: Number of processes.

    Raises:
        DataError: there are fewer images than processes.

    >>> list(ShardSampler(5, rank=1, num_replicas=2))
    [1, 3]
    """

    def __init__(self, count: int, *, rank: int = 0, num_replicas: int = 1) -> None:
        _check_shares(count, num_replicas)
        self.shard = range(rank, count, num_replicas)

    def __len__(self) -> int:
        return len(self.shard)

    def __iter__(self) -> Iterator[int]:
        return iter(self.shard)


def _check_shares(count: int, num_replicas: int) -> None:
    """Refuse a share without an image: the others would wait for that process for ever."""
    if 0 < count < num_replicas:
        raise UsageError(
            f"{count} images cannot be shared by {num_replicas} processes; use fewer, "
            f"for instance --trainer.devices={count} --trainer.num_nodes=1"
        )
