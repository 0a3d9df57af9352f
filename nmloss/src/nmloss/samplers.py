"""Batches of tuples for datasets whose images have a second label, the identity."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler


class NegativeSources(NamedTuple):
    """How many negatives came from where.

    Args:
        own: Shown by the query's own identity.
        positives: Shown by the identity of another positive.
        anyone: Shown by somebody else.
    """

    own: int = 0
    positives: int = 0
    anyone: int = 0


class IdentityTupleSampler(Sampler[list[int]]):
    """Plans batches of (N+M)-tuples (Liu et al. 2017, Sec. 3).

    Every image is the query of one tuple an epoch. A tuple is [query, M-1 positives, N negatives]:
    the positives show the query's label by other identities; the negatives show one other label
    each, by the query's own identity, or else by that of the first positive who has it, or else by
    anyone. A batch is the flat list of its tuples' indices, the layout of `tuple_indices`.

    Positives are distinct images where there are enough. Where no other identity shows the label
    they are other images of the query's identity, or else the query itself.

    The plan depends on (seed, epoch, rank) alone. The ranks share the queries; where these do not
    divide, the first of the epoch's order serve twice, or with ``drop_last`` the last are left out,
    so that all ranks have equally many batches.

    Args:
        labels: (n,) what the embedding should tell apart; integers, strings or a tensor.
        identities: (n,) what it should ignore.
        positives: M, the query included.
        negatives: N; None for one per other label. Fewer are labels chosen at random; more go
            round the labels again.
        tuples_per_batch: Tuples in a batch.
        shuffle: A new order of the queries each epoch.
        drop_last: Leave out a last batch that is not full.
        num_replicas: Number of processes; None asks torch.distributed.
        rank: This process; None asks torch.distributed.
        seed: Fixes order and draws, together with the epoch.

    Raises:
        ValueError: an argument is out of range, the lengths differ, or there are fewer than two
            labels or identities.

    >>> labels, people = ["joy", "fear", "anger"] * 4, [i // 3 for i in range(12)]
    >>> sampler = IdentityTupleSampler(labels, people, positives=3, tuples_per_batch=2)
    >>> batches = list(sampler)
    >>> len(batches), len(batches[0])  # 2 x (3 + 2)
    (6, 10)
    >>> sampler.sources
    NegativeSources(own=24, positives=0, anyone=0)
    """

    def __init__(
        self,
        labels: Sequence[Hashable] | NDArray[Any] | Tensor,
        identities: Sequence[Hashable] | NDArray[Any] | Tensor,
        *,
        positives: int = 6,
        negatives: int | None = None,
        tuples_per_batch: int = 12,
        shuffle: bool = True,
        drop_last: bool = False,
        num_replicas: int | None = None,
        rank: int | None = None,
        seed: int = 0,
    ) -> None:
        label_names, self._labels = _codes("labels", labels)
        identity_names, self._identities = _codes("identities", identities)
        if len(self._labels) != len(self._identities):
            raise ValueError(
                f"{len(self._labels)} labels and {len(self._identities)} identities: "
                "each image needs both"
            )
        for name, names in (("labels", label_names), ("identities", identity_names)):
            if len(names) < 2:
                found = f"only {names[0]!r}" if names else "nothing"
                raise ValueError(f"{name}: at least two different ones are needed, found {found}")
        for name, value, least in (
            ("positives", positives, 1),
            ("negatives", negatives, 0),
            ("tuples_per_batch", tuples_per_batch, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: at least {least}")
        self.positives = positives
        self.negatives = len(label_names) - 1 if negatives is None else negatives
        self.tuples_per_batch = tuples_per_batch
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0
        self.sources = NegativeSources()
        self._num_replicas = num_replicas
        self._rank = rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"rank={rank}: from 0 to num_replicas - 1 = {self.num_replicas - 1}")
        self._of_label = [np.flatnonzero(self._labels == k) for k in range(len(label_names))]
        self._of_both: dict[tuple[int, int], NDArray[np.int64]] = {}
        order = np.lexsort((self._labels, self._identities))
        pairs = np.stack([self._identities[order], self._labels[order]], axis=1)
        starts = np.flatnonzero(np.any(np.diff(pairs, axis=0, prepend=-1), axis=1))
        for group in np.split(order, starts[1:]):
            first = group[0]
            self._of_both[int(self._identities[first]), int(self._labels[first])] = group

    @property
    def num_replicas(self) -> int:
        """Number of processes that share the queries."""
        if self._num_replicas is not None:
            return self._num_replicas
        return dist.get_world_size() if _is_distributed() else 1

    @property
    def rank(self) -> int:
        """This process."""
        if self._rank is not None:
            return self._rank
        return dist.get_rank() if _is_distributed() else 0

    @property
    def sampler(self) -> Self:
        """Itself: Lightning calls ``set_epoch`` on ``batch_sampler.sampler`` only."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose plan the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        queries = self._queries_per_rank()
        full, rest = divmod(queries, self.tuples_per_batch)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        own_queries = self._own_queries()
        rng = np.random.default_rng((self.seed, self.epoch, self.rank))
        counts = [0, 0, 0]
        for number in range(len(self)):
            start = number * self.tuples_per_batch
            batch: list[int] = []
            for query in own_queries[start : start + self.tuples_per_batch]:
                batch += self._tuple(int(query), rng, counts)
            self.sources = NegativeSources(*counts)
            yield batch

    def _queries_per_rank(self) -> int:
        queries, replicas = len(self._labels), self.num_replicas
        return queries // replicas if self.drop_last else -(-queries // replicas)

    def _own_queries(self) -> NDArray[np.int64]:
        """The queries of this rank; all ranks draw the same order and take every n-th."""
        order = np.arange(len(self._labels))
        if self.shuffle:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(order)
        share, replicas = self._queries_per_rank(), self.num_replicas
        return np.resize(order, share * replicas)[self.rank :: replicas]

    def _tuple(self, query: int, rng: np.random.Generator, counts: list[int]) -> list[int]:
        positives = [query, *self._draw_positives(query, rng)]
        return positives + self._draw_negatives(positives, rng, counts)

    def _draw_positives(self, query: int, rng: np.random.Generator) -> list[int]:
        alike = self._of_label[self._labels[query]]
        others = alike[self._identities[alike] != self._identities[query]]
        if len(others) == 0:
            others = alike[alike != query]
        if len(others) == 0:
            others = np.array([query])
        wanted = self.positives - 1
        drawn: list[int] = rng.choice(others, wanted, replace=wanted > len(others)).tolist()
        return drawn

    def _draw_negatives(
        self, positives: list[int], rng: np.random.Generator, counts: list[int]
    ) -> list[int]:
        label = int(self._labels[positives[0]])
        people = list(dict.fromkeys(self._identities[positives].tolist()))  # the query's first
        negatives = []
        for other in self._other_labels(label, rng):
            shown = (self._of_both.get((person, other)) for person in people)
            place, images = next(
                ((k, images) for k, images in enumerate(shown) if images is not None),
                (len(people), self._of_label[other]),
            )
            counts[0 if place == 0 else 1 if place < len(people) else 2] += 1
            negatives.append(int(images[rng.integers(len(images))]))
        return negatives

    def _other_labels(self, label: int, rng: np.random.Generator) -> Iterable[int]:
        others = [other for other in range(len(self._of_label)) if other != label]
        if self.negatives < len(others):
            chosen: list[int] = rng.choice(others, self.negatives, replace=False).tolist()
            return chosen
        return (others[k % len(others)] for k in range(self.negatives))


def _codes(
    name: str, values: Sequence[Hashable] | NDArray[Any] | Tensor
) -> tuple[list[Hashable], NDArray[np.int64]]:
    """The different values, sorted, and the number of each entry's."""
    entries = values.tolist() if isinstance(values, (np.ndarray, Tensor)) else list(values)
    missing = [place for place, value in enumerate(entries) if value is None or value == ""]
    if missing:
        raise ValueError(f"{name}: {len(missing)} are missing, the first at {missing[0]}")
    names = sorted(set(entries))
    numbers = {value: number for number, value in enumerate(names)}
    return names, np.array([numbers[value] for value in entries], dtype=np.int64)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
