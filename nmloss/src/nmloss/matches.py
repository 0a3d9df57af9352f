"""Pairs by any function of two labels, or of two sets of labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pytorch_metric_learning.miners import BaseMiner
from torch import Tensor

from nmloss.arguments import check_real
from nmloss.indices import Masks, Pairs4, masked_pairs
from nmloss.labels.tensors import check_references

Match = Callable[[Any, Any], Any]


def share_a_label(one: Any, other: Any) -> Any:
    """Whether two sets of labels have one in common; of tensors (B, 1, K) and (1, R, K), 0 or 1.

    >>> share_a_label({"dog", "cat"}, {"cat"}), share_a_label({"dog"}, {"cat"})
    (True, False)
    >>> share_a_label(torch.tensor([[[1, 1, 0]]]), torch.tensor([[[0, 1, 0], [0, 0, 1]]]))
    tensor([[ True, False]])
    """
    if isinstance(one, Tensor) and one.ndim == 3:
        return (one != 0).float()[:, 0] @ (other != 0).float()[0].mT > 0
    if isinstance(one, (Tensor, np.ndarray)) and one.ndim == 1:
        return bool(((one != 0) & (other != 0)).any())
    return not _set(one).isdisjoint(_set(other))


def _set(labels: Any) -> set[Any]:
    """The labels of an entry.

    Raises:
        ValueError: it is no set, or may be 0 and 1 a label.
    """
    is_several = isinstance(labels, (set, frozenset, list, tuple))
    if not is_several or len(set(labels)) < len(labels):
        shape = getattr(labels, "shape", "")
        raise ValueError(
            f"labels: {labels!r}"[:200] + f"{f' of shape {tuple(shape)}' if shape else ''}: needed "
            "is a set of labels for each embedding, or a tensor (B, K) of 0 and 1 a label"
        )
    return set(labels)


class LabelMatch(BaseMiner):  # type: ignore[misc]
    """Pairs by any function of two labels: several labels an image, ages, places, distances.

    Called as any miner, ``LabelMatch(match)(embeddings, labels, ref_emb=None, ref_labels=None)``,
    also as the first of a `ChainedMiner`. Its pairs serve all losses that take ``indices_tuple``
    without labels. An embedding is never paired with itself.

    Args:
        match: Whether two labels make a positive pair. Where the labels are a tensor, or an array
            of numbers, it is called once, with tensors (B, 1, ...) and (1, R, ...), and gives
            (B, R); else with two entries at a time. By default it is `share_a_label`, for sets of
            labels and for tensors (B, K) of 0 and 1 a label.
        differ: Whether they make a negative pair; None for all that do not match.
        **pml: PML's ``collect_stats``.

    Raises:
        ValueError: an argument is no function; labels are missing, or not one for each embedding;
            a function does not answer with True and False.

    >>> from pytorch_metric_learning.losses import ContrastiveLoss
    >>> embeddings, labels = torch.eye(3), [{"dog"}, {"dog", "cat"}, {"cat"}]
    >>> pairs = LabelMatch()(embeddings, labels)
    >>> list(zip(*(index.tolist() for index in pairs[:2])))
    [(0, 1), (1, 0), (1, 2), (2, 1)]
    >>> loss = ContrastiveLoss()(embeddings, indices_tuple=pairs)
    >>> ages = torch.tensor([20.0, 22.0, 60.0])
    >>> near = LabelMatch(lambda a, b: (a - b).abs() < 5, differ=lambda a, b: (a - b).abs() > 20)
    >>> [index.tolist() for index in near(embeddings, ages)]
    [[0, 1], [1, 0], [0, 1, 2, 2], [2, 2, 0, 1]]
    """

    def __init__(
        self, match: Match = share_a_label, differ: Match | None = None, **pml: Any
    ) -> None:
        super().__init__(**pml)
        for name, function in (("match", match), ("differ", differ)):
            if not callable(function) and not (name == "differ" and function is None):
                raise ValueError(f"{name}={function!r}: needed is a function of two labels")
        self.match = match
        self.differ = differ

    def forward(
        self,
        embeddings: Tensor,
        labels: Any,
        ref_emb: Tensor | None = None,
        ref_labels: Any = None,
        *,
        among: Masks | None = None,
    ) -> Pairs4:
        """As PML's.

        Args:
            embeddings: (B, D).
            labels: (B, ...) tensor, or B entries of any kind.
            ref_emb: (R, D) that the others are taken from; None for the embeddings themselves.
            ref_labels: Those of the references.
            among: (B, R) masks of the positive and the negative pairs to choose among.

        Returns:
            (a1, p, a2, n).
        """
        self.reset_stats()
        check_references("labels", labels, ref_emb, ref_labels)
        is_shared = ref_emb is None or ref_emb is embeddings
        ref_emb = embeddings if ref_emb is None else ref_emb
        if is_shared and ref_labels is None:
            ref_labels = labels
        for name, values, points in (
            ("labels", labels, embeddings),
            ("ref_labels", ref_labels, ref_emb),
        ):
            check_real("embeddings" if points is embeddings else "ref_emb", points, (2,))
            count = len(values) if hasattr(values, "__len__") else None
            if count != len(points):
                raise ValueError(
                    f"{name}: {'none' if count is None else count} for {len(points)} embeddings: "
                    "needed is one entry each"
                )
        same = labels is ref_labels
        labels = _opened(labels)
        ref_labels = labels if same else _opened(ref_labels)
        with torch.no_grad():
            tables = [
                None if function is None else self._table(name, function, labels, ref_labels)
                for name, function in (("match", self.match), ("differ", self.differ))
            ]
            positive = tables[0].to(embeddings.device)  # type: ignore[union-attr]
            negative = ~positive if tables[1] is None else tables[1].to(embeddings.device)
            if (positive & negative).any():
                q, r = (positive & negative).nonzero()[0].tolist()
                raise ValueError(f"match and differ: both are True of label {q} and label {r}")
            if is_shared:
                is_other = ~torch.eye(len(positive), dtype=torch.bool, device=positive.device)
                positive, negative = positive & is_other, negative & is_other
            if among is not None:
                positive, negative = positive & among[0], negative & among[1]
            pairs = masked_pairs(positive, negative)
        self.output_assertion(pairs)
        return pairs

    def _table(self, name: str, function: Match, labels: Any, ref_labels: Any) -> Tensor:
        """(B, R) what the function says of all pairs."""
        shape = (len(labels), len(ref_labels))
        if isinstance(labels, Tensor) and isinstance(ref_labels, Tensor):
            table = function(labels[:, None], ref_labels.to(labels.device)[None])
            is_table = isinstance(table, Tensor) and table.dtype == torch.bool
            if not is_table or table.shape != shape:
                found = getattr(table, "dtype", type(table).__name__)
                raise ValueError(
                    f"{name}: gave {found} of shape {tuple(getattr(table, 'shape', ()))}, needed "
                    f"is torch.bool of {shape} for labels {tuple(labels[:, None].shape)} and "
                    f"{tuple(ref_labels[None].shape)}"
                )
            return table  # type: ignore[no-any-return]
        others = list(ref_labels)
        rows = [[_answer(name, function(one, other)) for other in others] for one in labels]
        return torch.tensor(rows, dtype=torch.bool).reshape(shape)


def _opened(labels: Any) -> Any:
    """An array of numbers, or a table of them, as a tensor; others as they are."""
    if not isinstance(labels, Tensor) and callable(getattr(labels, "to_numpy", None)):
        labels = labels.to_numpy()
    is_numbers = isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf"
    return torch.tensor(labels) if is_numbers else labels


def _answer(name: str, value: Any) -> bool:
    try:
        return bool(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name}: gave {type(value).__name__} for two labels, needed is True or False ({error})"
        ) from None
