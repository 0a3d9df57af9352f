"""The members of the tuples of a batch, and sums over them.

Values of the members stand in *tables*: (Q, K) with a row a tuple, or (P,) with an entry a pair.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

FAR = 1e30  # farther than any member; finite, since infinity would give NaN gradients


@dataclass(frozen=True)
class Members(ABC):
    """Which entries of a table are members.

    Args:
        mask: True at a member.
        dtype: That of the tables.
    """

    mask: Tensor
    dtype: torch.dtype

    def weights(self, mask: Tensor) -> Tensor:
        """1 where the mask is True, 0 elsewhere."""
        return mask.to(self.dtype)

    def mean_weights(self, mask: Tensor) -> Tensor:
        """The weights that give the mean under the mask, a tuple; all 0 where it is empty."""
        weights = self.weights(mask)
        return weights / self.expand(self.sum(weights).clamp(min=1))

    def mean(self, table: Tensor) -> Tensor:
        """(Q,) means over the members of a tuple; 0 where there are none."""
        return self.sum(self.mean_weights(self.mask) * table)

    @abstractmethod
    def sum(self, table: Tensor) -> Tensor:
        """(Q,) sums over all entries of a tuple."""

    @abstractmethod
    def amin(self, table: Tensor) -> Tensor:
        """(Q,) smallest value of the members; infinite where there are none."""

    @abstractmethod
    def softmin(self, table: Tensor) -> Tensor:
        """(Q,) -log(sum(exp(-value))) over the members; `FAR` where there are none."""

    @abstractmethod
    def expand(self, per_tuple: Tensor) -> Tensor:
        """A value a tuple, (Q,), for each of its entries."""


@dataclass(frozen=True)
class Rows(Members):
    """Members in a table (Q, K).

    Args:
        mask: (Q, K) True at a member.
        dtype: That of the tables.
        is_whole: Whether the mask is known to be all True.
    """

    is_whole: bool = False

    def mean_weights(self, mask: Tensor) -> Tensor:
        if self.is_whole and mask is self.mask:
            return torch.full_like(mask, 1 / max(mask.shape[1], 1), dtype=self.dtype)
        return super().mean_weights(mask)

    def mean(self, table: Tensor) -> Tensor:
        return table.mean(dim=1) if self.is_whole and table.shape[1] else super().mean(table)

    def sum(self, table: Tensor) -> Tensor:
        return table.sum(dim=1)

    def amin(self, table: Tensor) -> Tensor:
        if table.shape[1] == 0:
            return table.new_full(table.shape[:1], torch.inf)
        return self._only(table, torch.inf).amin(dim=1)

    def softmin(self, table: Tensor) -> Tensor:
        if table.shape[1] == 0:
            return table.new_full(table.shape[:1], FAR)
        return -(-self._only(table, FAR)).logsumexp(dim=1)

    def expand(self, per_tuple: Tensor) -> Tensor:
        return per_tuple[:, None]

    def _only(self, table: Tensor, other: float) -> Tensor:
        return table if self.is_whole else torch.where(self.mask, table, other)


@dataclass(frozen=True)
class Segments(Members):
    """Members in a list of pairs, tables (P,).

    Args:
        mask: True at a pair that counts.
        dtype: That of the tables.
        rows: (P,) the tuple of each pair.
        num_tuples: Q.
    """

    rows: Tensor
    num_tuples: int

    def sum(self, table: Tensor) -> Tensor:
        """(Q,) sums, or (Q, D) of a table (P, D)."""
        zeros = table.new_zeros(self.num_tuples, *table.shape[1:])
        return zeros.index_add(0, self.rows, table)

    def amin(self, table: Tensor) -> Tensor:
        start = table.new_full((self.num_tuples,), torch.inf)
        table = torch.where(self.mask, table, torch.inf)
        return start.scatter_reduce(0, self.rows, table, "amin")

    def softmin(self, table: Tensor) -> Tensor:
        table = torch.where(self.mask, table, FAR)
        with torch.no_grad():
            lowest = table.new_full((self.num_tuples,), FAR)
            lowest = lowest.scatter_reduce(0, self.rows, table, "amin")
        total = self.sum(self.weights(self.mask) * (self.expand(lowest) - table).exp())
        return lowest - total.clamp(min=torch.finfo(self.dtype).tiny).log()

    def expand(self, per_tuple: Tensor) -> Tensor:
        return per_tuple[self.rows]
