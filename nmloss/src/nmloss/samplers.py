"""Batches of tuples for datasets whose images have a second label, the identity."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch.distributed as dist
from torch.utils.data import Sampler

from nmloss.arguments import flag, whole
from nmloss.labels.values import Values, codes
from nmloss.random_indices import (
    Integers,
    Numbers,
    as_weights,
    balanced_order,
    below,
    draw,
    weighted_order,
    weighted_total,
)

_CELLS_PER_BLOCK = 1 << 18  # 2 MB the array, so that memory stays flat over an epoch


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

    Every image is the query of one tuple an epoch (but see ``balanced``). A tuple is [query, M-1
    positives, N negatives]: the positives show the query's label by other identities; the negatives
    show one other label each, by the query's own identity, or else by that of the first positive
    who has it, or else by anyone. A batch is the flat list of its tuples' indices, the layout of
    `tuple_indices`.

    Positives are distinct images where there are enough. Where no other identity shows the label
    they are other images of the query's identity, or else the query itself.

    The plan depends on (seed, epoch) alone, and the ranks share it: the k-th batches of all ranks
    together are the k-th batch of one process with ``num_replicas * tuples_per_batch`` tuples. Its
    tuple ``t * num_replicas + rank`` is tuple t of the rank. All ranks have equally many: where the
    queries do not divide by the ranks, the last batch has more, new tuples of the epoch's first
    queries, fewer than there are ranks; with ``drop_last`` the last queries are left out instead.
    ``sources`` counts the negatives of this rank's batches so far in the epoch. Memory is linear in
    the images, however many labels there are.

    Args:
        labels: (n,) what the embedding should tell apart: numbers or texts in a list, tensor,
            array or column of any library. They are compared by value, so that 1, 1.0 and a tensor
            that holds 1 are the same.
        identities: (n,) what it should ignore, likewise.
        positives: M, the query included.
        negatives: N; None for one per other label. Fewer are labels chosen at random; more go
            round the labels again.
        tuples_per_batch: Tuples in a batch.
        shuffle: A new order of the queries each epoch.
        drop_last: Leave out a last batch that is not full.
        num_replicas: Number of processes; None asks torch.distributed.
        rank: This process; None asks torch.distributed.
        seed: Fixes order and draws, together with the epoch.
        balanced: Make every label as often the query's as any other: the images of a rare label are
            queries several times an epoch, of those of a frequent one only some, others each epoch.
        weights: (n,) how often each image is the query in an epoch, above 0: 2 for twice, 0.5 for
            every other epoch, by chance; with ``balanced`` beside the others of its label. None
            for once each.

    Raises:
        ValueError: an argument is out of range, the lengths differ, there are fewer than two labels
            or identities, or one is missing or holds several values.

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
        labels: Values,
        identities: Values,
        *,
        positives: int = 6,
        negatives: int | None = None,
        tuples_per_batch: int = 12,
        shuffle: bool = True,
        drop_last: bool = False,
        num_replicas: int | None = None,
        rank: int | None = None,
        seed: int = 0,
        balanced: bool = False,
        weights: Sequence[float] | Numbers | None = None,
    ) -> None:
        label_names, label_codes = codes("labels", labels)
        identity_names, identity_codes = codes("identities", identities)
        if len(label_codes) != len(identity_codes):
            raise ValueError(
                f"{len(label_codes)} labels and {len(identity_codes)} identities: "
                "each image needs both"
            )
        for name, names in (("labels", label_names), ("identities", identity_names)):
            if len(names) < 2:
                found = f"only {names[0]!r}" if names else "nothing"
                raise ValueError(f"{name}: at least two different ones are needed, found {found}")
        others = len(label_names) - 1
        self.positives = whole("positives", positives, 1)
        self.negatives = others if negatives is None else whole("negatives", negatives, 0)
        self.tuples_per_batch = whole("tuples_per_batch", tuples_per_batch, 1)
        self.shuffle = flag("shuffle", shuffle)
        self.drop_last = flag("drop_last", drop_last)
        self.seed = whole("seed", seed, 0)
        self.balanced = flag("balanced", balanced)
        self._weights = None if weights is None else as_weights(weights, len(label_codes))
        self._count = len(label_codes) if self._weights is None else weighted_total(self._weights)
        self.epoch = 0
        self.sources = NegativeSources()
        self._num_replicas = (
            None if num_replicas is None else whole("num_replicas", num_replicas, 1)
        )
        self._rank = None if rank is None else whole("rank", rank, 0)
        if self._num_replicas not in (None, 1) and rank is None and not _is_distributed():
            raise ValueError(f"rank: needed beside num_replicas={num_replicas}")
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"rank={rank}: from 0 to num_replicas - 1 = {self.num_replicas - 1}")
        self._num_labels, self._num_identities = len(label_names), len(identity_names)
        keys = label_codes * self._num_identities + identity_codes
        # In this order the images of a label are a range, and in it those by an identity another.
        self._images = np.argsort(keys, kind="stable")  # ties alike on every machine
        self._keys = keys[self._images]
        self._places = np.argsort(self._images)  # of the images in this order

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
        """Choose the epoch whose plan the next iteration gives, 0 or more."""
        self.epoch = whole("epoch", epoch, 0)

    def __len__(self) -> int:
        return -(-self._queries_per_rank() // self.tuples_per_batch)

    def __iter__(self) -> Iterator[list[int]]:
        # Another stream than that of the order, which is drawn from (seed, epoch).
        rng = np.random.default_rng((self.seed, self.epoch, 1))
        queries, size = self._queries(), self.tuples_per_batch
        of_all = self.num_replicas * size
        cells = of_all * max(self.negatives, 1) * (self.positives + 1)
        block = of_all * max(1, _CELLS_PER_BLOCK // cells)
        own = slice(self.rank, None, self.num_replicas)
        widths = self._numbers_per_tuple()
        served = np.zeros(self.positives + 1, dtype=np.int64)  # by each positive, by anyone
        for start in range(0, len(queries), block):
            shared = queries[start : start + block]
            # A tuple's draws are its row of numbers: a rank skips those of the others unseen.
            numbers = rng.random((len(shared), sum(widths)))[own]
            of_positives, of_labels, of_images = np.split(numbers, np.cumsum(widths[:-1]), axis=1)
            positives = self._draw_positives(shared[own], of_positives)
            negatives, sources = self._draw_negatives(positives, of_labels, of_images)
            tuples = self._images[np.hstack([positives, negatives])]
            for first in range(0, len(tuples), size):
                batch = slice(first, first + size)
                served += np.bincount(sources[batch].ravel(), minlength=len(served))
                own_images, *others, anyone = served.tolist()
                self.sources = NegativeSources(own_images, sum(others), anyone)
                yield tuples[batch].ravel().tolist()

    def _queries_per_rank(self) -> int:
        if self.drop_last:
            batches = self._count // (self.num_replicas * self.tuples_per_batch)
            return batches * self.tuples_per_batch
        return -(-self._count // self.num_replicas)

    def _queries(self) -> Integers:
        """The places of the queries of all ranks; rank r serves every n-th from the r-th."""
        order, rng = self._places, np.random.default_rng((self.seed, self.epoch))
        labels = self._keys[order] // self._num_identities if self.balanced else None
        if self._weights is not None:
            chosen = weighted_order(self._weights, rng, labels)
            order = order[chosen if self.shuffle else np.sort(chosen)]
        elif labels is not None:
            chosen = balanced_order(labels, rng)
            order = order[chosen if self.shuffle else np.sort(chosen)]
        elif self.shuffle:
            order = rng.permutation(order)
        return np.resize(order, self._queries_per_rank() * self.num_replicas)

    def _numbers_per_tuple(self) -> tuple[int, int, int]:
        """How many random numbers choose a tuple's positives, its labels and its negatives."""
        is_label_drawn = self.negatives < self._num_labels - 1
        return 2 * (self.positives - 1), 2 * self.negatives * is_label_drawn, self.negatives

    def _range(self, low: Integers, high: Integers) -> tuple[Integers, Integers]:
        """Where the images with keys from ``low`` to ``high - 1`` start and stop."""
        return np.searchsorted(self._keys, low), np.searchsorted(self._keys, high)

    def _draw_positives(self, queries: Integers, numbers: Numbers) -> Integers:
        """(Q, M) places: the query, then of its label's range what is outside its identity's."""
        keys = self._keys[queries]
        label = keys - keys % self._num_identities
        start, stop = self._range(label, label + self._num_identities)
        own_start, own_stop = self._range(keys, keys + 1)
        # Where nobody else shows the label, only the query stays out, if it has company.
        is_alone = own_stop - own_start == stop - start
        hole = np.where(is_alone, queries, own_start)
        size = np.where(is_alone, stop - start > 1, own_stop - own_start)
        drawn = start[:, None] + draw(stop - start - size, numbers)
        drawn += np.where(drawn < hole[:, None], 0, size[:, None])
        return np.column_stack([queries, drawn])

    def _draw_negatives(
        self, positives: Integers, of_labels: Numbers, of_images: Numbers
    ) -> tuple[Integers, Integers]:
        """(Q, N) places, and the number of the positive whose identity served; M for anyone."""
        labels, people = np.divmod(self._keys[positives], self._num_identities)  # (Q, M)
        label = self._other_labels(labels[:, 0], of_labels)[:, :, None] * self._num_identities
        everybody = np.zeros_like(people[:, :1])
        low = np.hstack([people, everybody])[:, None]
        high = np.hstack([people + 1, everybody + self._num_identities])[:, None]
        start, stop = self._range(label + low, label + high)  # (Q, N, M+1)
        source = (start < stop).argmax(axis=2, keepdims=True)
        first, last = (np.take_along_axis(x, source, axis=2)[:, :, 0] for x in (start, stop))
        return first + below(last - first, of_images), source[:, :, 0]

    def _other_labels(self, labels: Integers, numbers: Numbers) -> Integers:
        """(Q, N) labels other than the query's."""
        others = self._num_labels - 1
        drawn = np.arange(self.negatives) % others
        if self.negatives < others:
            drawn = draw(np.full(len(labels), others), numbers)
        return drawn + (drawn >= labels[:, None])


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
