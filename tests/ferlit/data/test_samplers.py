from collections import Counter

import pytest

from ferlit.data.samplers import SeededBatches, ShardSampler, ShuffledBatches


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


def test_seeds_depend_on_epoch_and_rank_and_never_repeat_within_an_epoch() -> None:
    def seeds(epoch: int, rank: int) -> list[int]:
        batches = SeededBatches(ShuffledBatches(200, batch_size=16, seed=0), seed=0, rank=rank)
        batches.sampler.set_epoch(epoch)
        return [seed for batch in batches for _, seed in batch]

    assert seeds(0, 0) == seeds(0, 0)
    drawn = [set(seeds(epoch, rank)) for epoch in (0, 1) for rank in (0, 1)]
    assert len(set.union(*drawn)) == 4 * 200


def test_shards_hold_every_image_once() -> None:
    shards = [list(ShardSampler(7, rank=rank, num_replicas=3)) for rank in range(3)]
    assert sorted(index for shard in shards for index in shard) == list(range(7))
    assert [len(ShardSampler(7, rank=rank, num_replicas=3)) for rank in range(3)] == [3, 2, 2]
