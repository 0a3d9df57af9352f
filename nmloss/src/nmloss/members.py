"""The members of the tuples of a batch, and sums over them.

Values of the members stand in *tables*: (Q, K) with a row a tuple, or (P,) with an entry a pair.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

NOTHING = -1e30  # its logarithm; finite, since -inf would give NaN gradients


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
    def log_sum_exp(self, table: Tensor) -> Tensor:
        """(Q,) log(sum(exp)) over the members; `NOTHING` where there are none."""

    @abstractmethod
    def spread(self, per_tuple: Tensor) -> Tensor:
        """A value a tuple, (Q,), for each of its entries."""


class Rows(Members):
    """Members in a table (Q, K)."""

    def sum(self, table: Tensor) -> Tensor:
        return table.sum(dim=1)

    def least(self, table: Tensor) -> Tensor:
        if table.shape[1] == 0:
            return table.new_full(table.shape[:1], torch.inf)
        return torch.where(self.mask, table, torch.inf).amin(dim=1)

    def log_sum_exp(self, table: Tensor) -> Tensor:
        if table.shape[1] == 0:
            return table.new_full(table.shape[:1], NOTHING)
        return torch.where(self.mask, table, NOTHING).logsumexp(dim=1)

    def spread(self, per_tuple: Tensor) -> Tensor:
        return per_tuple[:, None]


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

    def log_sum_exp(self, table: Tensor) -> Tensor:
        table = torch.where(self.mask, table, NOTHING)
        with torch.no_grad():
            most = table.new_full((self.num_tuples,), NOTHING)
            most = most.scatter_reduce(0, self.rows, table, "amax")
        total = self.sum(self.ones(self.mask) * (table - self.spread(most)).exp())
        return total.clamp(min=torch.finfo(self.dtype).tiny).log() + most

    def spread(self, per_tuple: Tensor) -> Tensor:
        return per_tuple[self.rows]
