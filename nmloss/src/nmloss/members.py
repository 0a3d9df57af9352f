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

    def ones(self, chosen: Tensor) -> Tensor:
        """1 at the chosen, 0 elsewhere."""
        return chosen.to(self.dtype)

    def average(self, chosen: Tensor) -> Tensor:
        """The weights of the chosen in the mean of their tuple; all 0 where there are none."""
        ones = self.ones(chosen)
        return ones / self.spread(self.sum(ones).clamp(min=1))

    @abstractmethod
    def sum(self, table: Tensor) -> Tensor:
        """(Q,) sums over all entries of a tuple."""

    @abstractmethod
    def least(self, table: Tensor) -> Tensor:
        """(Q,) least value of the members; infinite where there are none."""

    @abstractmethod
    def soft_least(self, table: Tensor) -> Tensor:
        """(Q,) -log(sum(exp(-value))) over the members; `FAR` where there are none."""

    @abstractmethod
    def spread(self, per_tuple: Tensor) -> Tensor:
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

    def average(self, chosen: Tensor) -> Tensor:
        if self.is_whole and chosen is self.mask:
            return torch.full_like(chosen, 1 / max(chosen.shape[1], 1), dtype=self.dtype)
        return super().average(chosen)

    def sum(self, table: Tensor) -> Tensor:
        return table.sum(dim=1)

    def least(self, table: Tensor) -> Tensor:
        if table.shape[1] == 0:
            return table.new_full(table.shape[:1], torch.inf)
        return self._only(table, torch.inf).amin(dim=1)

    def soft_least(self, table: Tensor) -> Tensor:
        if table.shape[1] == 0:
            return table.new_full(table.shape[:1], FAR)
        return -(-self._only(table, FAR)).logsumexp(dim=1)

    def spread(self, per_tuple: Tensor) -> Tensor:
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

    def least(self, table: Tensor) -> Tensor:
        start = table.new_full((self.num_tuples,), torch.inf)
        table = torch.where(self.mask, table, torch.inf)
        return start.scatter_reduce(0, self.rows, table, "amin")

    def soft_least(self, table: Tensor) -> Tensor:
        table = torch.where(self.mask, table, FAR)
        with torch.no_grad():
            least = table.new_full((self.num_tuples,), FAR)
            least = least.scatter_reduce(0, self.rows, table, "amin")
        total = self.sum(self.ones(self.mask) * (self.spread(least) - table).exp())
        return least - total.clamp(min=torch.finfo(self.dtype).tiny).log()

    def spread(self, per_tuple: Tensor) -> Tensor:
        return per_tuple[self.rows]
