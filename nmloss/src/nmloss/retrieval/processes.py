"""What processes that hold a share each tell one another; or one process itself."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """Those of a group, or this one alone.

    Args:
        group: Of torch.distributed; None for this process alone.
    """

    group: dist.ProcessGroup | None

    @property
    def rank(self) -> int:
        """The number of this process."""
        return 0 if self.group is None else dist.get_rank(self.group)

    def gather(self, value: T) -> list[T]:
        """That of each process, anything that can be pickled."""
        if self.group is None:
            return [value]
        found: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(found, value, group=self.group)
        return found

    def together(self, make: Callable[[], T]) -> T:
        """What this process makes; where one process refuses, all do, and nobody waits for it.

        Raises:
            ValueError: one refused.
        """
        made, refusal = None, None
        try:
            made = make()
        except ValueError as error:
            if self.group is None:
                raise
            refusal = str(error)
        for rank, reason in enumerate(self.gather(refusal)):
            if reason is not None:
                raise ValueError(f"process {rank}: {reason}")
        return made  # type: ignore[return-value]

    def check_same(self, settings: Mapping[str, Any]) -> None:
        """Refuse settings in which the processes differ.

        Raises:
            ValueError: one differs.
        """
        found = self.gather(dict(settings))
        for name, value in found[0].items():
            for rank, other in enumerate(found):
                if other[name] != value:
                    raise ValueError(
                        f"{name}: {value!r} in process 0, {other[name]!r} in process {rank}; "
                        "needed is the same in all"
                    )

    def sum(self, values: Tensor) -> Tensor:
        """That of all processes, in place."""
        if self.group is not None:
            dist.all_reduce(values, group=self.group)
        return values

    def beside(self, values: Tensor) -> Tensor:
        """(Q, K) of each process, as one (Q, K times processes)."""
        if self.group is None:
            return values
        found = [torch.empty_like(values) for _ in range(dist.get_world_size(self.group))]
        dist.all_gather(found, values.contiguous(), group=self.group)
        return torch.cat(found, dim=1)
