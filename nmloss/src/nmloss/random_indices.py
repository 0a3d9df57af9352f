"""Draws of many rows at once, each from its own row of uniform numbers.

How much randomness a row takes does not depend on what is drawn, so that a process can skip the
rows of others and still draw what one process would.
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Numbers = NDArray[np.float64]  # uniform in [0, 1)


def draw(counts: Integers, numbers: Numbers) -> Integers:
    """Integers below each row's count, distinct where there are enough, in random order.

    Floyd's algorithm on all rows at once: exact, with no second try.

    Args:
        counts: (Q,) at least 1.
        numbers: (Q, 2 W), half to choose and half to shuffle: Floyd's sets are uniform, their
            order is not.

    Returns:
        (Q, W).

    >>> draw(np.array([9, 9]), np.array([[0.1, 0.5, 0.3, 0.2], [0.1, 0.1, 0.3, 0.2]]))
    array([[4, 0],
           [8, 0]])
    """
    chosen, shuffled = np.split(numbers, 2, axis=1)
    wanted = chosen.shape[1]
    drawn = np.empty(chosen.shape, dtype=np.int64)
    is_enough = counts >= wanted
    for column in range(wanted):
        bound = np.where(is_enough, counts - wanted + column + 1, counts)
        number = below(bound, chosen[:, column])
        is_taken = (drawn[:, :column] == number[:, None]).any(axis=1)
        drawn[:, column] = np.where(is_taken & is_enough, bound - 1, number)
    return np.take_along_axis(drawn, shuffled.argsort(axis=1), axis=1)


def below(bounds: Integers, numbers: Numbers) -> Integers:
    """Integers from 0 to ``bounds - 1``, one for each number.

    >>> below(np.array([3, 3, 10]), np.array([0.0, 0.99, 0.5]))
    array([0, 2, 5])
    """
    return (bounds * numbers).astype(np.int64)


def balanced_order(labels: Integers, rng: np.random.Generator) -> Integers:
    """N places in random order, every label as often as any other, give or take one.

    Args:
        labels: (n,) numbers.
        rng: Draws the places.

    >>> order = balanced_order(np.array([0, 0, 0, 0, 0, 1]), np.random.default_rng(0))
    >>> sorted(order.tolist())[3:]  # three of the five, then the sixth three times
    [5, 5, 5]
    """
    shuffled = rng.permutation(len(labels))
    groups = np.split(
        shuffled[np.argsort(labels[shuffled], kind="stable")],
        np.cumsum(np.unique(labels, return_counts=True)[1])[:-1],
    )
    share, rest = divmod(len(labels), len(groups))
    counts = share + (rng.permutation(len(groups)) < rest)
    taken = [np.resize(group, count) for group, count in zip(groups, counts, strict=True)]
    return rng.permutation(np.concatenate(taken))
