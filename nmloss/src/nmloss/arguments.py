"""Arguments as the losses compute on them: by value, in shape and precision; or refused by name."""

import math
import operator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of any kind as Python's.

    >>> whole("positives", np.int64(6), 1)
    6

    Raises:
        ValueError: it is none, or below ``least``.
    """
    found = value if isinstance(value, int) and not isinstance(value, bool) else _index(value)
    if found is None:
        raise ValueError(f"{name}={value!r}: needed is a whole number")
    if found < least:
        raise ValueError(f"{name}={found}: at least {least}")
    return found


def number(name: str, value: Any, *, is_signed: bool = True) -> float:
    """A finite number of any kind as Python's.

    >>> number("margin", np.array([0.5]), is_signed=False)
    0.5

    Raises:
        ValueError: it is none, holds several, or is negative.
    """
    found = value
    if isinstance(value, (Tensor, np.ndarray)) and math.prod(value.shape) == 1:
        found = value.item()
    is_number = not isinstance(found, (bool, np.bool_, str, bytes, Tensor, np.ndarray))
    try:
        found = float(found) if is_number else math.nan
    except (TypeError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"{name}={value!r}: needed is one finite number")
    if found < 0 and not is_signed:
        raise ValueError(f"{name}={value!r}: must not be negative")
    return found


def scalar(name: str, value: Any, *, is_signed: bool = True) -> Any:
    """As `number`, but a tensor of one value stays one, and is not asked for it.

    Raises:
        ValueError: see `number`.
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        return value
    return number(name, value, is_signed=is_signed)


def softened(value: Any) -> float | None:
    """The ``sharpness`` of a softened hinge; None for the hinge itself.

    >>> softened(np.float32(4))
    4.0

    Raises:
        ValueError: it is no finite number above 0.
    """
    found = None if value is None else number("sharpness", value)
    if found is not None and found <= 0:
        raise ValueError(f"sharpness={value!r}: needed is a number above 0, or None for the hinge")
    return found


def flag(name: str, value: Any) -> bool:
    """True or False, also as NumPy's or as 1 or 0.

    >>> flag("shuffle", np.True_)
    True

    Raises:
        ValueError: it is something else, which Python would take for one of them.
    """
    if not isinstance(value, (bool, np.bool_, int, np.integer)) or value not in (0, 1):
        raise ValueError(f"{name}={value!r}: needed is True or False")
    return bool(value)


def check_points(members: Tensor, points: Tensor) -> None:
    """Refuse points that are not one for each tuple, which broadcasting would hide.

    Raises:
        ValueError: members that are not (Q, K, D) or (R, D), or points that are not (Q, D).
    """
    check_real("members", members, (2, 3))
    check_real("points", points, (2,))
    count = points.shape[0] if members.ndim == 2 else members.shape[0]
    if points.shape != (count, members.shape[-1]):
        raise ValueError(
            f"points of shape {tuple(points.shape)} for members of {tuple(members.shape)}: "
            "needed is (Q, D)"
        )


def check_members(
    positives: Tensor,
    negatives: Tensor,
    masks: tuple[Tensor | None, Tensor | None],
    queries: Tensor | None,
) -> None:
    """Refuse members, masks and queries that are not of the same tuples.

    Raises:
        ValueError: one has another form, see `nmloss.functional`.
    """
    check_real("positives", positives, (2, 3))
    check_real("negatives", negatives, (positives.ndim,))
    is_shared = positives.ndim == 2
    if negatives.shape[-1] != positives.shape[-1] or not (
        is_shared or len(negatives) == len(positives)
    ):
        raise ValueError(
            f"negatives of shape {tuple(negatives.shape)} for positives of "
            f"{tuple(positives.shape)}: needed are as many tuples, and embeddings of one size"
        )
    positive_mask, negative_mask = masks
    if is_shared and (positive_mask is None or negative_mask is None):
        raise ValueError("members of shape (R, D) need positive_mask and negative_mask (Q, R)")
    count = len(positives)
    if is_shared:
        count = len(positive_mask if queries is None else queries)  # type: ignore[arg-type]
    slots = (
        (len(positives), len(negatives)) if is_shared else (positives.shape[1], negatives.shape[1])
    )
    for name, mask, size in zip(("positive_mask", "negative_mask"), masks, slots, strict=True):
        check_mask(name, mask, (count, size))
    if queries is not None:
        check_real("queries", queries, (2,))
        if queries.shape != (count, positives.shape[-1]):
            raise ValueError(
                f"queries of shape {tuple(queries.shape)}: needed is {(count, positives.shape[-1])}"
            )


def check_mask(name: str, mask: Tensor | None, shape: tuple[int, ...]) -> None:
    """Refuse numbers, and shapes that broadcasting would stretch.

    Raises:
        ValueError: it is not bool or of another shape.
    """
    if mask is None:
        return
    kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
    if kind != torch.bool or mask.shape != shape:
        given = tuple(getattr(mask, "shape", ()))
        raise ValueError(f"{name} of shape {given} and {kind}: needed is torch.bool of {shape}")


def check_real(name: str, values: Tensor, dims: tuple[int, ...]) -> None:
    """Refuse what is no tensor of real numbers with as many axes.

    Raises:
        ValueError: it is another.
    """
    is_tensor = isinstance(values, Tensor)
    if not is_tensor or values.ndim not in dims or values.is_complex():
        kind = values.dtype if is_tensor else type(values).__name__
        shape = tuple(getattr(values, "shape", ()))
        raise ValueError(
            f"{name} of shape {shape} and {kind}: needed is a tensor of real numbers with "
            f"{' or '.join(map(str, dims))} axes"
        )


def check_distances(
    distances: tuple[Tensor, Tensor], masks: tuple[Tensor | None, Tensor | None]
) -> None:
    """Refuse distances of positives and of negatives that are not of the same tuples.

    Raises:
        ValueError: one is not (Q, M) or (Q, N), or its mask has another form.
    """
    for side, table, mask in zip(("positive", "negative"), distances, masks, strict=True):
        check_real(f"{side}_distances", table, (2,))
        check_mask(f"{side}_mask", mask, tuple(table.shape))
    if len(distances[0]) != len(distances[1]):
        raise ValueError(
            f"positive_distances of {len(distances[0])} tuples, negative_distances of "
            f"{len(distances[1])}: needed are as many"
        )


def check_weights(size: int, map_a: Tensor, map_b: Tensor, linear: Tensor, bias: Tensor) -> None:
    """Refuse parameters of Eq. 8 that are not for embeddings of this size.

    Raises:
        ValueError: a shape is another.
    """
    for name, weight, axes in (("map_a", map_a, 2), ("map_b", map_b, 2), ("linear", linear, 1)):
        check_real(name, weight, (axes,))
    check_real("bias", bias, (0, 1))
    for name, weight, shape in (
        ("map_a", map_a, (len(map_a), size)),
        ("map_b", map_b, (len(map_b), size)),
        ("linear", linear, (size,)),
        ("bias", bias.reshape(-1), (1,)),
    ):
        if weight.shape != shape:
            raise ValueError(
                f"{name} of shape {tuple(weight.shape)} for embeddings of size {size}: "
                f"needed is {shape}"
            )


def full_precision(embeddings: Tensor, ref_emb: Tensor | None) -> tuple[Tensor, Tensor]:
    """Embeddings and references in at least float32; the embeddings where there are none.

    Raises:
        ValueError: one is no (B, D) tensor of real numbers, or they differ in D.
    """
    check_real("embeddings", embeddings, (2,))
    if ref_emb is not None:
        check_real("ref_emb", ref_emb, (2,))
        if ref_emb.shape[1] != embeddings.shape[1]:
            raise ValueError(
                f"ref_emb of shape {tuple(ref_emb.shape)} for embeddings of "
                f"{tuple(embeddings.shape)}: needed is the same size"
            )
    full = at_least_float32(embeddings)
    if ref_emb is None or ref_emb is embeddings:
        return full, full
    return full, at_least_float32(ref_emb)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32; float64 stays."""
    return values if values.dtype == torch.float64 else values.float()


def no_autocast(values: Tensor) -> AbstractContextManager[Any]:
    """Autocast switched off, where it is on for the device of the values."""
    kind = values.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def _index(value: Any) -> int | None:
    """A whole number of NumPy or PyTorch as Python's; None for others, True and False too."""
    if isinstance(value, bool) or getattr(value, "dtype", None) in (torch.bool, np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
