"""The border with pytorch-metric-learning's index tuples."""

from typing import Any, Self, cast

import torch
from torch import Tensor


class TupleIndices(tuple[Tensor, Tensor, Tensor, Tensor]):
    """PML's 4-tuple (a1, p, a2, n) of a batch that is laid out tuple after tuple.

    Any loss of PML takes it; the losses of this package see the layout and need no gathers. Made by
    `tuple_indices`.

    Args:
        indices: The four index tensors.
        num_tuples: Q.
        positives: M, the query included.
        negatives: N.
    """

    num_tuples: int
    positives: int
    negatives: int

    def __new__(
        cls,
        indices: tuple[Tensor, Tensor, Tensor, Tensor],
        num_tuples: int,
        positives: int,
        negatives: int,
    ) -> Self:
        self = super().__new__(cls, indices)
        self.num_tuples = num_tuples
        self.positives = positives
        self.negatives = negatives
        return self

    @property
    def batch_size(self) -> int:
        """Number of embeddings in the batch."""
        return self.num_tuples * (self.positives + self.negatives)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (tuple(self), self.num_tuples, self.positives, self.negatives)


def tuple_indices(
    num_tuples: int,
    positives: int = 6,
    negatives: int = 6,
    device: torch.device | str | None = None,
) -> TupleIndices:
    """The index tuple of a batch laid out tuple after tuple, as `IdentityTupleSampler` makes it.

    Each tuple is [query, M-1 positives, N negatives].

    Args:
        num_tuples: Q, 0 or more.
        positives: M, the query included; at least 1.
        negatives: N, 0 or more.
        device: Where the indices are needed.

    Returns:
        (a1, p, a2, n) with the layout.

    Raises:
        ValueError: a number is too small.

    >>> a1, p, a2, n = tuple_indices(2, positives=2, negatives=1)
    >>> a1.tolist(), p.tolist(), a2.tolist(), n.tolist()
    ([0, 3], [1, 4], [0, 3], [2, 5])
    """
    for name, value, least in (
        ("num_tuples", num_tuples, 0),
        ("positives", positives, 1),
        ("negatives", negatives, 0),
    ):
        if value < least:
            raise ValueError(f"{name}={value}: at least {least}")
    size = positives + negatives
    batch = torch.arange(num_tuples * size, device=device).reshape(num_tuples, size)
    query = batch[:, :1]
    return TupleIndices(
        (
            query.expand(-1, positives - 1).reshape(-1),
            batch[:, 1:positives].reshape(-1),
            query.expand(-1, negatives).reshape(-1),
            batch[:, positives:].reshape(-1),
        ),
        num_tuples,
        positives,
        negatives,
    )


def pair_masks(
    indices: Any, labels: Tensor | None, ref_labels: Tensor | None, sizes: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Which references are positives and negatives of which embedding.

    Args:
        indices: None (all pairs by their labels), PML's 4-tuple or its triplets.
        labels: (B,) labels of the embeddings.
        ref_labels: (R,) labels of the references; the same object as ``labels`` where the
            references are the embeddings.
        sizes: (B, R).

    Returns:
        Two (B, R) bool masks; the embedding itself is in neither.

    Raises:
        ValueError: no labels where they are needed, or indices of another form.
    """
    if indices is None:
        if labels is None or ref_labels is None:
            raise ValueError("labels are needed where there is no indices_tuple")
        positive = labels[:, None] == ref_labels[None]
        negative = ~positive
        if ref_labels is labels:
            positive = positive & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        return positive, negative
    if not isinstance(indices, (tuple, list)) or len(indices) not in (3, 4):
        raise ValueError(
            "indices_tuple must be None, a 4-tuple (a1, p, a2, n), triplets (a, p, n) or "
            f"TupleIndices, got {type(indices).__name__}"
            + (f" of length {len(indices)}" if isinstance(indices, (tuple, list)) else "")
        )
    tensors = cast("list[Tensor]", list(indices))
    anchors, positives, negatives = tensors[0], tensors[1], tensors[-1]
    negative_anchors = tensors[2] if len(tensors) == 4 else anchors
    return (
        _scatter(anchors, positives, sizes),
        _scatter(negative_anchors, negatives, sizes),
    )


def _scatter(rows: Tensor, columns: Tensor, sizes: tuple[int, int]) -> Tensor:
    """(B, R) True at the pairs; a pair that is named twice counts once."""
    mask = torch.zeros(sizes, dtype=torch.bool, device=rows.device)
    true = torch.ones_like(rows, dtype=torch.bool)
    return mask.index_put((rows.long(), columns.long()), true)
