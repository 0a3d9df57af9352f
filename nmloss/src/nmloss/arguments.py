"""Arguments by value, or refused by name."""

import math
import operator
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


def _index(value: Any) -> int | None:
    """A whole number of NumPy or PyTorch as Python's; None for others, True and False too."""
    if isinstance(value, bool) or getattr(value, "dtype", None) in (torch.bool, np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
