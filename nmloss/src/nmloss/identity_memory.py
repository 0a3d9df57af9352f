"""A memory of embeddings from batch to batch that keeps a second label: a person, a camera."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nmloss.indices import index_pairs
from nmloss.miners import IdentityAwareMiner, takes
from nmloss.wrappers import CrossBatchMemory


class IdentityMemory(CrossBatchMemory):
    """A `CrossBatchMemory` that remembers identities too, for miners that know them.

    Called ``memory(embeddings, labels, identities=people)``. Every query is compared with all that
    is remembered, its own batch included; the remembered have no gradient. Labels and identities
    are whole numbers, or tensors of numbers: the same one for the same person in every batch.

    Over the processes of torch.distributed each remembers the batches of all, so that the memory is
    that of one process, and plain `DistributedDataParallel` gives its gradients. All must then call
    it equally often; PML's ``DistributedLossWrapper`` cannot hand identities on.

    The state dict holds the memory and how far it is filled. One of a memory without identities
    loads with a warning: what it remembers is left out.

    Args:
        loss: A loss of this package, or of those that PML's ``CrossBatchMemory`` takes.
        embedding_size: D.
        memory_size: How many are remembered.
        miner: Called ``miner(embeddings, labels, ref_emb, ref_labels, identities=...,
            ref_identities=...)``; None for `IdentityAwareMiner`.
        **pml: Of PML's ``CrossBatchMemory``.

    Raises:
        ValueError: a size is out of range, or the miner takes no identities.

    >>> from nmloss import NMTupleClustersLoss
    >>> memory = IdentityMemory(NMTupleClustersLoss(), embedding_size=8, memory_size=64)
    >>> labels, people = torch.arange(16) % 4, torch.arange(16) // 4
    >>> memory(torch.randn(16, 8, requires_grad=True), labels, identities=people).backward()
    """

    embedding_memory: Tensor
    label_memory: Tensor
    identity_memory: Tensor

    def __init__(
        self,
        loss: Any,
        embedding_size: int,
        memory_size: int = 1024,
        miner: Callable[..., Any] | None = None,
        **pml: Any,
    ) -> None:
        miner = IdentityAwareMiner() if miner is None else miner
        if not takes(miner, "identities"):
            name = type(miner).__name__
            raise ValueError(
                f"miner={name}: it takes no identities; chain it to one that does: "
                f"ChainedMiner([IdentityAwareMiner(), {name}(...)])"
            )
        super().__init__(loss, embedding_size, memory_size, miner, **pml)

    def reset_queue(self) -> None:
        """Forget all."""
        super().reset_queue()
        self.register_buffer("identity_memory", torch.zeros(self.memory_size).long())

    def forward(
        self,
        embeddings: Tensor,
        labels: Any,
        indices_tuple: Any = None,
        enqueue_mask: Any = None,
        *,
        identities: Any = None,
    ) -> Any:
        """As PML's.

        Args:
            embeddings: (B, D).
            labels: (B,) numbers.
            indices_tuple: Pairs or triplets into the memory, beside those of the miner.
            enqueue_mask: (B,) bool, what is remembered and not trained on; None for all.
            identities: (B,) numbers.

        Returns:
            What the loss returns.

        Raises:
            ValueError: identities are missing, an argument has another form, or more are to be
                remembered than there is room for.
        """
        if identities is None:
            raise ValueError("identities: this memory needs those of the embeddings, (B,)")
        if indices_tuple is not None and enqueue_mask is not None:
            raise ValueError("indices_tuple and enqueue_mask: only one of them can be given")
        mask = self._checked_mask(embeddings, enqueue_mask)
        labels = self._comparable("labels", labels, embeddings, self.label_memory.dtype)
        people = self._comparable("identities", identities, embeddings, self.identity_memory.dtype)
        self.reset_stats()
        own = self._remember(
            *(x if mask is None else x[mask] for x in (embeddings, labels, people))
        )
        if mask is not None:
            embeddings, labels, people = (x[~mask] for x in (embeddings, labels, people))
        count = self.memory_size if self.has_been_filled else self.queue_idx
        held, held_labels = self.embedding_memory[:count], self.label_memory[:count]
        pairs = self.miner(
            embeddings,
            labels,
            held,
            held_labels,
            identities=people,
            ref_identities=self.identity_memory[:count],
        )
        if mask is None:
            pairs = _without_own(pairs, own)
        if indices_tuple is not None:
            pairs = _both(pairs, indices_tuple, embeddings.device)
        return self.loss(embeddings, labels, pairs, held, held_labels)

    def _remember(self, embeddings: Tensor, labels: Tensor, people: Tensor) -> Tensor:
        """Add what all processes have to the memory; the places of this one's."""
        shares = [_of_all(x.detach()) for x in (embeddings, labels, people)]
        counts = [len(share) for share in shares[0]]
        embeddings, labels, people = (torch.cat(share) for share in shares)
        self._check_room(len(embeddings))
        self.embedding_memory = self.embedding_memory.to(embeddings)
        self.label_memory = self.label_memory.to(labels)
        self.identity_memory = self.identity_memory.to(people)
        self.add_to_memory(embeddings, labels, len(embeddings))
        self.identity_memory[self.curr_batch_idx] = people
        rank = dist.get_rank() if len(counts) > 1 else 0
        return torch.split(self.curr_batch_idx, counts)[rank]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        is_old = f"{prefix}embedding_memory" in state_dict and (
            f"{prefix}identity_memory" not in state_dict
        )
        if is_old:
            state_dict[f"{prefix}identity_memory"] = self.identity_memory
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if is_old:
            warnings.warn(
                "the state dict is of a memory without identities: what it remembers is left out",
                stacklevel=2,
            )
            self.reset_queue()


def _without_own(pairs: Any, own: Tensor) -> tuple[Tensor, ...]:
    """Without the positives that are the query's own copy in the memory."""
    anchors, positives, *others = pairs
    is_other = own[anchors] != positives
    if len(others) == 1:
        others = [others[0][is_other]]
    return (anchors[is_other], positives[is_other], *others)


def _both(pairs: Any, others: Any, device: torch.device) -> tuple[Tensor, ...]:
    """Pairs or triplets and others, as pairs."""
    sides = zip(index_pairs(pairs, device), index_pairs(others, device), strict=True)
    return tuple(torch.cat(both) for side in sides for both in zip(*side, strict=True))


def _of_all(values: Tensor) -> list[Tensor]:
    """Those of each process, (B, ...) with a B of its own; of this one where it is alone."""
    world = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    if world == 1:
        return [values]
    counts = [torch.zeros(1, dtype=torch.long, device=values.device) for _ in range(world)]
    dist.all_gather(counts, torch.tensor([len(values)], device=values.device))
    longest = max(int(count) for count in counts)
    padded = values.new_zeros(longest, *values.shape[1:])
    padded[: len(values)] = values
    found = [torch.empty_like(padded) for _ in range(world)]
    dist.all_gather(found, padded)
    return [share[: int(count)] for share, count in zip(found, counts, strict=True)]
