"""Labels and identities of any kind as numbers."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nmloss.draws import Integers

Values = Sequence[Hashable] | NDArray[Any] | Tensor


def codes(name: str, values: Values) -> tuple[list[Hashable], Integers]:
    """The different values, sorted, and the number of each entry's.

    Args:
        name: What the values are called in a message.
        values: (n,) integers or strings, or a tensor or array of them.

    Returns:
        The different values, and (n,) where in them each entry is.

    Raises:
        ValueError: ``values`` has another shape, some are missing, or they cannot be sorted.

    >>> codes("labels", ["joy", "fear", "joy"])
    (['fear', 'joy'], array([1, 0, 1]))
    """
    if isinstance(values, (np.ndarray, Tensor)) and values.ndim != 1:
        raise ValueError(f"{name} of shape {tuple(values.shape)}: needed is (n,)")
    entries = values.tolist() if isinstance(values, (np.ndarray, Tensor)) else list(values)
    try:
        different = set(entries)
        if any(map(_is_missing, different)):
            missing = [place for place, value in enumerate(entries) if _is_missing(value)]
            raise ValueError(f"{name}: {len(missing)} are missing, the first at {missing[0]}")
        names = sorted(different)
    except TypeError as error:
        raise ValueError(
            f"{name}: they must be of one kind, all numbers or texts ({error})"
        ) from None
    numbers = {value: number for number, value in enumerate(names)}
    return names, np.array([numbers[value] for value in entries], dtype=np.int64)


def _is_missing(value: Any) -> bool:
    """None, "", NaN, or pandas' NA, which does not say whether it equals itself."""
    try:
        return value is None or value == "" or bool(value != value)
    except TypeError:
        return True
