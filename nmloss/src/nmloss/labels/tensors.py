"""Labels and identities as tensors that are equal where their values are."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmloss.labels.values import entries, numbered

CLASSES = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
# Those that PyTorch compares with each other and finds the different ones of.
_WHOLE = (torch.bool, *CLASSES)
_REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def alike(
    name: str, values: Any, ref_values: Any, embeddings: Tensor, ref_emb: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Labels, or identities, of embeddings and references as tensors to compare with ``==``.

    Tensors stay as they are, and whole numbers stay those numbers; texts and what else there is get
    numbers that both have in common. Nothing waits for the device where tensors hold whole numbers.

    Args:
        name: "labels" or "identities"; those of the references are called "ref_labels".
        values: (B,) or (B, 1), see `nmloss.labels.values.entries`; None where there are none.
        ref_values: (R,) or (R, 1); the same object where both are the same.
        embeddings: (B, D).
        ref_emb: (R, D).

    Returns:
        (B,) and (R,), on the device of the embeddings; the same object where both were.

    Raises:
        ValueError: see `nmloss.labels.values.entries`, or there are too few or too many.

    >>> alike("labels", ["joy", "fear"], ["fear"], torch.eye(2), torch.eye(2)[:1])
    (tensor([1, 0]), tensor([0]))
    """
    is_shared = ref_values is values
    given = {name: (values, embeddings), f"ref_{name}": (ref_values, ref_emb)}
    given = {
        key: pair
        for key, pair in given.items()
        if pair[0] is not None and not (is_shared and key != name)
    }
    if are_comparable([value for value, _ in given.values()]):
        tensors = {key: value for key, (value, _) in given.items()}
    else:
        columns = entries({key: value for key, (value, _) in given.items()})
        tensors = dict(zip(columns, _numbers(columns), strict=True))
    found = {
        key: _of(key, value.to(given[key][1].device), len(given[key][1]))
        for key, value in tensors.items()
    }
    first = found.get(name)
    return first, first if is_shared else found.get(f"ref_{name}")


def check_references(name: str, values: Any, ref_emb: Any, ref_values: Any) -> None:
    """Refuse labels, or identities, of references that are not there.

    Raises:
        ValueError: those of references without ``ref_emb``.
    """
    if ref_emb is None and ref_values is not None and ref_values is not values:
        raise ValueError(f"ref_{name}: given without ref_emb")


def whole_numbers(columns: dict[str, list[Hashable]]) -> list[Tensor] | None:
    """The entries as tensors of whole numbers; None where they are something else.

    >>> whole_numbers({"labels": [3, 5.0]}), whole_numbers({"labels": [3, 5.5]})
    ([tensor([3, 5])], None)
    """
    found = []
    for column in columns.values():
        if not all(isinstance(value, (int, float)) and value % 1 == 0 for value in column):
            return None
        try:
            found.append(np.array([int(value) for value in column], dtype=np.int64))  # type: ignore[call-overload]
        except OverflowError:
            return None
    return [torch.from_numpy(column) for column in found]


def _numbers(columns: dict[str, list[Hashable]]) -> list[Tensor]:
    whole = whole_numbers(columns)
    return [torch.from_numpy(column) for column in numbered(columns)[1]] if whole is None else whole


def are_comparable(given: list[Any]) -> bool:
    """Whether all are tensors, and none of them is rounded to be compared with the other."""
    if not all(isinstance(values, Tensor) and values.layout == torch.strided for values in given):
        return False
    dtypes = {values.dtype for values in given}
    return dtypes.issubset(_WHOLE) or dtypes.issubset(_REAL)


def _of(name: str, values: Tensor, count: int) -> Tensor:
    if values.ndim == 0 or len(values) != count or values.numel() != count:
        raise ValueError(
            f"{name} of shape {tuple(values.shape)} for {count} embeddings: needed is one each"
        )
    if values.ndim > 1:
        values = values.reshape(count)
    if not values.is_floating_point():
        return values
    values, message = values.detach(), f"{name}: some are NaN"
    if torch.compiler.is_compiling():
        torch._assert_async(~values.isnan().any(), message)
    elif values.isnan().any():
        missing = values.isnan().nonzero()[:, 0].tolist()
        raise ValueError(f"{name}: {len(missing)} are missing, the first at {missing[0]}")
    return values
