from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from ferlit.data.loading.samplers import SeededBatches, ShardSampler, ShuffledBatches
from ferlit.errors import DataError
from nmloss import IdentityTupleSampler


def test_an_epoch_has_every_image_once_in_a_new_order_each_time() -> None:
    batches = ShuffledBatches(100, batch_size=8, seed=0)
    orders = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        orders.append([index for batch in batches for index in batch])
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] != orders[1]


@pytest.mark.parametrize("count", [100, 101, 103])
def test_ranks_make_equally_many_steps_on_different_images(count: int) -> None:
    ranks = [
        ShuffledBatches(count, batch_size=8, seed=0, rank=rank, num_replicas=4) for rank in range(4)
    ]
    shares = [list(rank) for rank in ranks]
    assert len({len(share) for share in shares}) == 1
    assert all(len(share) == len(rank) for share, rank in zip(shares, ranks, strict=True))
    images = Counter(index for share in shares for batch in share for index in batch)
    assert max(images.values()) == 1
    assert len(images) == count - count % 4


@pytest.mark.parametrize(
    ("count", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1]), (3, [3]), (0, [])]
)
def test_no_last_batch_is_a_single_image(count: int, sizes: list[int]) -> None:
    batches = ShuffledBatches(count, batch_size=4, seed=0)
    assert [len(batch) for batch in batches] == sizes
    assert len(batches) == len(sizes)


Batches = list[list[tuple[int, int]]]


def of_images(
    batch_size: int, rank: int = 0, replicas: int = 1, count: int = 96, epoch: int = 0
) -> Batches:
    plan = ShuffledBatches(count, batch_size, seed=0, rank=rank, num_replicas=replicas)
    batches = SeededBatches(plan, seed=0, rank=rank, num_replicas=replicas)
    batches.sampler.set_epoch(epoch)
    return list(batches)


def of_tuples(tuples_per_batch: int, rank: int = 0, replicas: int = 1) -> Batches:
    """Tuples of 3 + 2 images."""
    plan = IdentityTupleSampler(
        [k % 3 for k in range(96)],
        [k // 6 for k in range(96)],
        positives=3,
        tuples_per_batch=tuples_per_batch,
        rank=rank,
        num_replicas=replicas,
    )
    batches = SeededBatches(plan, seed=0, rank=rank, num_replicas=replicas, tuple_size=5)
    batches.sampler.set_epoch(1)
    return list(batches)


@pytest.mark.parametrize("replicas", [2, 3, 4])
@pytest.mark.parametrize(("plan", "size"), [(of_images, 1), (of_tuples, 5)])
def test_the_ranks_together_get_the_images_and_seeds_of_one_process(
    plan: Callable[..., Batches], size: int, replicas: int
) -> None:
    alone = plan(5 * replicas)
    ranks = [plan(5, rank, replicas) for rank in range(replicas)]
    for whole, *shares in zip(alone, *ranks, strict=True):
        parts = np.reshape(shares, (replicas, -1, size, 2)).swapaxes(0, 1)
        assert parts.reshape(-1, 2).tolist() == np.array(whole).tolist()


def test_seeds_differ_between_epochs_and_never_repeat_within_one() -> None:
    assert of_images(16) == of_images(16)
    drawn = [
        seed
        for epoch in (0, 1)
        for rank in (0, 1)
        for batch in of_images(16, rank, 2, count=400, epoch=epoch)
        for _, seed in batch
    ]
    assert len(drawn) == 800
    assert len(set(drawn)) == 800


class Drawn(Dataset[tuple[tuple[int, int], float]]):
    """Gives its key back, with a number of torch's global generator."""

    def __getitem__(self, key: tuple[int, int]) -> tuple[tuple[int, int], float]:
        return key, torch.rand(()).item()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_begins_with_the_epoch_of_its_trainer(workers: int) -> None:
    def batches(epoch: int) -> SeededBatches:
        plan = ShuffledBatches(40, 4, seed=0)
        return SeededBatches(plan, seed=0, current_epoch=lambda: epoch)

    def load(epoch: int) -> list[tuple[tuple[int, int], float]]:
        sampler = batches(epoch)
        loader = DataLoader(
            Drawn(),
            batch_sampler=sampler,
            generator=sampler.generator,
            num_workers=workers,
            collate_fn=lambda batch: batch,
        )
        torch.rand(epoch + 1)  # what was drawn before changes nothing in the workers
        return [item for batch in loader for item in batch]

    plan = SeededBatches(ShuffledBatches(40, 4, seed=0), seed=0)
    plan.set_epoch(3)
    first, second, other = load(3), load(3), load(4)
    assert [key for key, _ in first] == [key for batch in plan for key in batch]
    assert {key for key, _ in first}.isdisjoint(key for key, _ in other)
    if workers:
        assert first == second
        assert {drawn for _, drawn in first}.isdisjoint(drawn for _, drawn in other)


@pytest.mark.parametrize(
    "sampler", [ShardSampler, lambda count, **ranks: ShuffledBatches(count, 4, seed=0, **ranks)]
)
def test_fewer_images_than_processes_are_refused(sampler: Callable[..., object]) -> None:
    sampler(3, rank=2, num_replicas=3)
    with pytest.raises(DataError, match=r"3 images cannot be shared by 4 .*--trainer\.devices=3"):
        sampler(3, rank=0, num_replicas=4)


def test_shards_hold_every_image_once() -> None:
    shards = [list(ShardSampler(7, rank=rank, num_replicas=3)) for rank in range(3)]
    assert sorted(index for shard in shards for index in shard) == list(range(7))
    assert [len(ShardSampler(7, rank=rank, num_replicas=3)) for rank in range(3)] == [3, 2, 2]


def test_balanced_batches_show_every_class_equally_often() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 6])
    whole = ShuffledBatches(96, 16, seed=0, balance=labels)
    parts = [ShuffledBatches(96, 8, seed=0, rank=rank, num_replicas=2, balance=labels)
             for rank in range(2)]  # fmt: skip
    seen: set[int] = set()
    for epoch in range(8):
        for batches in (whole, *parts):
            batches.set_epoch(epoch)
        shown = [index for batch in whole for index in batch]
        assert np.bincount(labels[shown]).tolist() == [32, 32, 32]
        seen |= set(shown)
        both = [sorted(first + second) for first, second in zip(*parts, strict=True)]
        assert both == [sorted(batch) for batch in whole]
    assert seen == set(range(96))
