"""The border with pytorch-metric-learning's index tuples."""

from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor

from nmloss.arguments import whole

Pairs = tuple[Tensor, Tensor]
Pairs4 = tuple[Tensor, Tensor, Tensor, Tensor]
Masks = tuple[Tensor, Tensor]  # (B, R) True at the positive pairs, and at the negative ones


class TupleIndices(tuple[Tensor, Tensor, Tensor, Tensor]):
    """PML's 4-tuple (a1, p, a2, n) of a batch that is laid out tuple after tuple.

    Any loss of PML takes it; the losses of this package see the layout and need no gathers. Made by
    `tuple_indices`. What moves a batch to a device (DDP, Lightning) rebuilds tuples and turns it
    into a plain 4-tuple: make it where it is used.

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
        indices: Iterable[Tensor],
        num_tuples: int | None = None,
        positives: int = 1,
        negatives: int = 0,
    ) -> Self:
        if num_tuples is None:  # what rebuilds a tuple knows no layout
            return tuple(indices)  # type: ignore[return-value]
        self = super().__new__(cls, indices)
        self.num_tuples = num_tuples
        self.positives = positives
        self.negatives = negatives
        return self

    @property
    def tuple_size(self) -> int:
        """M + N."""
        return self.positives + self.negatives

    @property
    def batch_size(self) -> int:
        """Number of embeddings in the batch."""
        return self.num_tuples * self.tuple_size

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
        ValueError: a number is too small, or no whole number.

    >>> a1, p, a2, n = tuple_indices(2, positives=2, negatives=1)
    >>> a1.tolist(), p.tolist(), a2.tolist(), n.tolist()
    ([0, 3], [1, 4], [0, 3], [2, 5])
    """
    num_tuples = whole("num_tuples", num_tuples, 0)
    positives, negatives = whole("positives", positives, 1), whole("negatives", negatives, 0)
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


class MinedIndices(tuple[Tensor, Tensor, Tensor, Tensor]):
    """PML's 4-tuple (a1, p, a2, n) that also says which queries are members of their own cluster.

    Any loss of PML takes it. The losses of this package count a query as one of its positives; here
    the miner decides. Made by `OnlinePositiveMiner`. As `TupleIndices`, it does not survive what
    moves a batch to a device.

    Args:
        indices: The four index tensors.
        keeps_query: (B,) bool.
    """

    keeps_query: Tensor

    def __new__(cls, indices: Iterable[Tensor], keeps_query: Tensor | None = None) -> Self:
        if keeps_query is None:
            return tuple(indices)  # type: ignore[return-value]
        self = super().__new__(cls, indices)
        self.keeps_query = keeps_query
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (tuple(self), self.keeps_query)


def label_masks(labels: Tensor | None, ref_labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which references are positives and negatives of which embedding, by their labels.

    Args:
        labels: (B,) labels of the embeddings.
        ref_labels: (R,) labels of the references; the same object as ``labels`` where the
            references are the embeddings.

    Returns:
        Two (B, R) bool masks; the embedding itself is in neither.

    Raises:
        ValueError: no labels.
    """
    if labels is None or ref_labels is None:
        raise ValueError("labels are needed where there is no indices_tuple")
    positive = labels[:, None] == ref_labels[None]
    negative = ~positive
    if ref_labels is labels:
        positive = positive & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return positive, negative


def index_pairs(indices: Any, device: torch.device) -> tuple[Pairs, Pairs]:
    """The positive and the negative pairs of PML's 4-tuple or triplets.

    Raises:
        ValueError: indices of another form.
    """
    tensors = index_tensors(indices, device)
    return (tensors[0], tensors[1]), (tensors[-2] if len(tensors) == 4 else tensors[0], tensors[-1])


def index_tensors(indices: Any, device: torch.device) -> list[Tensor]:
    """PML's 4-tuple or triplets as tensors of whole numbers.

    Raises:
        ValueError: indices of another form.
    """
    if not isinstance(indices, (tuple, list)) or len(indices) not in (3, 4):
        raise ValueError(
            "indices_tuple must be None, a 4-tuple (a1, p, a2, n), triplets (a, p, n) or "
            f"TupleIndices, got {type(indices).__name__}"
            + (f" of length {len(indices)}" if isinstance(indices, (tuple, list)) else "")
        )
    try:
        tensors = [torch.as_tensor(index, device=device) for index in indices]
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"indices_tuple: needed are tensors ({error})") from None
    if any(index.ndim != 1 for index in tensors):
        shapes = ", ".join(str(tuple(index.shape)) for index in tensors)
        raise ValueError(f"indices_tuple of shapes {shapes}: needed is (P,)")
    lengths = [len(index) for index in tensors]
    is_paired = lengths[0] == lengths[1] and lengths[-1] == lengths[-2 if len(indices) == 4 else 0]
    if not is_paired or any(_is_no_index(index.dtype) for index in tensors):
        dtypes = ", ".join(sorted({str(index.dtype) for index in tensors}))
        raise ValueError(
            f"indices_tuple of lengths {lengths} and of {dtypes}: needed are whole numbers, "
            "as many anchors as others"
        )
    return [index.long() for index in tensors]


def masked_pairs(positives: Tensor, negatives: Tensor) -> Pairs4:
    """The members of two masks (B, R) as pairs."""
    a1, p = torch.where(positives)
    a2, n = torch.where(negatives)
    return a1, p, a2, n


def pair_mask(pairs: Pairs, size: tuple[int, int]) -> Tensor:
    """(B, R) True at the pairs."""
    mask = torch.zeros(size, dtype=torch.bool, device=pairs[0].device)
    return mask.index_put(pairs, torch.ones_like(pairs[0], dtype=torch.bool))


def check_range(pairs: tuple[Pairs, Pairs], size: tuple[int, int]) -> None:
    """Refuse indices that count from the end or lie beyond it.

    Raises:
        ValueError: one is not from 0 to below ``size``.
    """
    for side in pairs:
        for name, index, count in zip(("anchors", "others"), side, size, strict=True):
            if len(index) == 0:
                continue
            low, high = (bound.item() for bound in torch.aminmax(index))
            if low < 0 or high >= count:
                raise ValueError(
                    f"indices_tuple: {name} from {low} to {high} for {count} embeddings"
                )


def _is_no_index(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex or dtype == torch.bool
