"""Labels and identities as Python values, compared by value, and as numbers."""

import math
import numbers
from collections.abc import Hashable, Iterable, Mapping, Sized
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Integers = NDArray[np.int64]
Values = Iterable[Any]  # or what an array library makes of them

_PLAIN = {bool, int, float, str, bytes}
_GROUPS = (numbers.Number, str, bytes)  # of these, all types compare with each other
_SEVERAL = (tuple, list, set, frozenset, Mapping)
_BY_IDENTITY: Any = object.__eq__
_UNREADABLE = (TypeError, ValueError, RuntimeError)


def codes(name: str, values: Values) -> tuple[list[Hashable], Integers]:
    """The different values, sorted, and the number of each entry's.

    Args:
        name: What the values are called in a message.
        values: See `entries`.

    Returns:
        The different values, sorted where they have an order, and (n,) where in them each entry is.

    Raises:
        ValueError: see `entries`.

    >>> codes("labels", ["joy", "fear", "joy"])
    (['fear', 'joy'], array([1, 0, 1]))
    """
    names, (found,) = numbered(entries({name: values}))
    return names, found


def entries(named: Mapping[str, Values]) -> dict[str, list[Hashable]]:
    """What the arguments hold, as Python values that are equal where the values are.

    Args:
        named: Arguments that are compared with each other, by name: (n,) or (n, 1) tensors, arrays
            and columns of any library, or whatever can be iterated over, also of tensors or arrays
            that hold one value each.

    Returns:
        The values of each.

    Raises:
        ValueError: an argument is no list, an entry is missing or not one value, or some are
            numbers and others texts; with its name and position.

    >>> entries({"labels": [np.int64(1), np.array([2.0])], "ref_labels": np.eye(2)[:, :1]})
    {'labels': [1, 2.0], 'ref_labels': [1.0, 0.0]}
    """
    columns, groups = {}, dict[object, str]()
    for name, values in named.items():
        column, kinds = _column(name, values)
        columns[name] = column
        for kind in kinds:
            index = next(index for index, value in enumerate(column) if type(value) is kind)
            shown = f"{column[index]!r} at {index}" + f" of {name}" * (len(named) > 1)
            groups.setdefault(_group(kind), shown)
    if len(groups) > 1:
        raise ValueError(
            f"{' and '.join(named)}: they must be of one kind, all numbers or all texts; "
            f"found {' and '.join(groups.values())}"
        )
    return columns


def numbered(columns: Mapping[str, list[Hashable]]) -> tuple[list[Hashable], list[Integers]]:
    """The different values of all `entries`, and each column as their numbers."""
    different = dict[Hashable, None]()
    for column in columns.values():
        different.update(dict.fromkeys(column))
    try:
        names = sorted(different)  # type: ignore[type-var]
    except TypeError:  # no order, such as that of complex numbers and members of an Enum
        names = list(different)
    number = {value: number for number, value in enumerate(names)}.__getitem__
    return names, [
        np.fromiter(map(number, column), dtype=np.int64, count=len(column))
        for column in columns.values()
    ]


def _column(name: str, values: Any) -> tuple[list[Hashable], set[type]]:
    """The values of an argument, and of which types they are."""
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and (len(shape) == 0 or math.prod(shape[1:]) != 1):
        raise ValueError(f"{name} of shape {tuple(shape)}: needed is one value for each, (n,)")
    if isinstance(values, (Mapping, set, frozenset)):
        kind = "names its values by keys: give values()" if isinstance(values, Mapping) else ""
        raise ValueError(f"{name}: a {type(values).__name__} {kind or 'has no order'}")
    try:
        column = list(_opened(values))
    except _UNREADABLE as error:
        raise ValueError(
            f"{name}: needed are values, one for each image, got {type(values).__name__} ({error})"
        ) from None
    is_of_one_kind = type(values) in (np.ndarray, Tensor) and values.dtype != object
    kinds = set(map(type, column[:1] if is_of_one_kind else column))
    if not kinds <= _PLAIN:
        column = [_one(name, index, value) for index, value in enumerate(column)]
        kinds = set(map(type, column))
    if not kinds <= {bool, int} and any(map(_is_missing, set(column))):
        missing = [index for index, value in enumerate(column) if _is_missing(value)]
        raise ValueError(f"{name}: {len(missing)} are missing, the first at {missing[0]}")
    return column, kinds


def _opened(values: Any) -> Any:
    """The Python values in an array, a tensor or a column; others as they are."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "mM":
        return list(values) if values.ndim else values[()]  # tolist() forgets their unit
    if isinstance(values, (np.datetime64, np.timedelta64)):
        return values
    for method in ("tolist", "to_numpy"):
        if callable(getattr(values, method, None)):
            opened = getattr(values, method)()
            return opened if method == "tolist" else _opened(opened)
    return values


def _one(name: str, index: int, given: Any) -> Any:
    """The value that an entry holds; None where it is missing."""
    value = given
    try:
        while type(value) not in _PLAIN:
            opened = _opened(value)
            if isinstance(opened, (list, tuple)) and len(opened) == 1:
                value = opened[0]
            elif type(opened) is type(value):
                break
            else:
                value = opened
        if _is_missing(value):
            return None
        is_several = isinstance(value, _SEVERAL)
        if not is_several:
            hash(value)
    except _UNREADABLE as error:
        reason = f" ({error})"
    else:
        reason = ""
        if type(value).__eq__ is _BY_IDENTITY and not isinstance(value, Enum):
            reason = " (equal only to itself)"
        elif not is_several:
            return value
    shape = getattr(given, "shape", None)
    size = f" of shape {tuple(shape)}" if isinstance(shape, tuple) else ""
    if not size and isinstance(given, Sized):
        size = f" of {len(given)} values"
    raise ValueError(
        f"{name}: at {index} is a {type(given).__name__}{size}{reason}, needed is one value"
    )


def _group(kind: type) -> object:
    return next((group for group in _GROUPS if issubclass(kind, group)), kind)


def _is_missing(value: Any) -> bool:
    """None, "", NaN, or pandas' NA, which does not say whether it equals itself."""
    try:
        return value is None or value in ("", b"") or bool(value != value)
    except TypeError:
        return True
