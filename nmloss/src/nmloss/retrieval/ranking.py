"""The nearest references of queries, found part by part in bounded memory."""

from typing import NamedTuple

import torch
from torch import Tensor

_POSITIVE = torch.iinfo(torch.int64).max
_INVALID = torch.iinfo(torch.int64).min
FAR = 0x7FF0 << 48  # the key of what is infinitely far, and wrong


class Marks(NamedTuple):
    """Of queries or of references; what has the owner of a query is not shown to it."""

    labels: Tensor  # (n,)
    owners: Tensor  # (n,)

    def at(self, index: Tensor | slice) -> "Marks":
        return Marks(self.labels[index], self.owners[index])


class Ranking:
    """The keys of the nearest references of each query, see `keys_of`.

    Args:
        marks: Of the queries, (Q,).
        depth: K, how many are kept of each query.
    """

    def __init__(self, marks: Marks, depth: int) -> None:
        self._marks, self.depth = marks, depth
        device = marks.labels.device
        self._keys = torch.full((len(marks.labels), depth), FAR, device=device)
        self._bound: Tensor | None = None  # (Q, 1), how near those to come must be
        self._waiting: list[Tensor] = []

    def add(self, nearness: Tensor, references: Marks) -> None:
        """Take the references in that may be among the nearest.

        Args:
            nearness: (Q, R).
            references: (R,).
        """
        if self._bound is None:
            table = _keys(nearness, Marks(*(mark[:, None] for mark in self._marks)), references)
        else:
            rows, columns = (~(nearness < self._bound)).nonzero(as_tuple=True)  # NaN among them
            if len(rows) == 0:
                return
            found = nearness[rows, columns]
            keys = _keys(found, self._marks.at(rows), references.at(columns))
            counts = torch.bincount(rows, minlength=len(nearness))
            place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
            table = self._keys.new_full((len(nearness), int(counts.max())), FAR)
            table[rows, place] = keys
        self._waiting.append(table)
        if sum(part.shape[1] for part in self._waiting) >= self.depth:
            self._merge()

    def keys(self) -> Tensor:
        """(Q, K), in no order."""
        if self._waiting:
            self._merge()
        return self._keys

    def _merge(self) -> None:
        self._keys = nearest(torch.cat([self._keys, *self._waiting], dim=1), self.depth)
        self._waiting = []
        self._bound = _least_nearness(self._keys.amax(dim=1, keepdim=True))


def _keys(nearness: Tensor, queries: Marks, references: Marks) -> Tensor:
    keys = keys_of(nearness, queries.labels == references.labels)
    return keys.masked_fill_(queries.owners == references.owners, FAR)


def keys_of(nearness: Tensor, is_right: Tensor) -> Tensor:
    """Whole numbers that are smaller for what is nearer, and say whether it is right.

    The last bit says so, in place of that of the nearness. Of two that are equally near the wrong
    one comes first: no order of the references can flatter the embeddings.

    Args:
        nearness: float64, larger is nearer.
        is_right: bool, of the same shape.

    >>> keys = keys_of(torch.tensor([2.0, 1.0, 1.0]).double(), torch.tensor([True, True, False]))
    >>> keys.argsort().tolist(), (keys & 1).tolist()
    ([0, 2, 1], [1, 1, 0])
    """
    keys = _mirrored((0.0 - nearness).view(torch.int64))  # without -0.0
    keys = keys.bitwise_and_(~1).bitwise_or_(is_right)
    return keys.masked_fill_(nearness.isnan(), _INVALID)


def nearest(keys: Tensor, depth: int) -> Tensor:
    """The smallest K keys of each row."""
    return keys.topk(depth, dim=1, largest=False, sorted=False).values


def are_valid(keys: Tensor) -> bool:
    """Whether no nearness was NaN."""
    return not bool((keys == _INVALID).any())


def _least_nearness(keys: Tensor) -> Tensor:
    """The smallest nearness whose key is not larger."""
    farthest = _mirrored(keys & ~1).view(torch.float64)
    return torch.nextafter(-farthest, torch.full_like(farthest, -torch.inf))


def _mirrored(bits: Tensor) -> Tensor:
    """From the bits of floats to whole numbers in the same order, and back."""
    return bits ^ ((bits >> 63) & _POSITIVE)
