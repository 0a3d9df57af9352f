"""Draws of many rows at once, each from its own row of uniform numbers.

How much randomness a row takes does not depend on what is drawn, so that a process can skip the
rows of others and still draw what one process would.
"""

from collections.abc import Sequence

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


def as_weights(weights: Sequence[float] | Numbers, count: int) -> Numbers:
    """(n,) how often each of ``count`` images comes.

    Raises:
        ValueError: they are not so many, or one is no number above 0.
    """
    found = np.asarray(weights, dtype=np.float64)
    if found.shape != (count,):
        raise ValueError(
            f"weights: of shape {found.shape}, expected one for each of {count} images"
        )
    wrong = found[~(np.isfinite(found) & (found > 0))]
    if wrong.size:
        raise ValueError(f"weights: {wrong[0]}; each must be a number above 0")
    return found


def weighted_total(weights: Numbers) -> int:
    """How many places `weighted_order` gives: the sum of the weights, rounded, at least 1."""
    return max(1, round(float(weights.sum())))


def weighted_order(
    weights: Numbers, rng: np.random.Generator, labels: Integers | None = None
) -> Integers:
    """Places in random order, each as often as its weight says, rounded up or down by chance.

    Places of one weight together come as often as their weights' sum says, give or take one.

    Args:
        weights: (n,) above 0.
        rng: Draws the places.
        labels: (n,) numbers. Where they are given, every label comes as often as any other, give or
            take one, and the weights say how often a place does beside others of its label.

    Returns:
        (`weighted_total`,).

    >>> order = weighted_order(np.array([1, 1, 2.5, 0.5]), np.random.default_rng(0))
    >>> np.bincount(order, minlength=4).tolist()
    [1, 1, 3, 0]
    """
    total = weighted_total(weights)
    if labels is None:
        labels, shares = np.zeros(len(weights), np.int64), weights
    else:
        of_labels = np.bincount(labels, weights=weights)
        share = total / np.count_nonzero(of_labels)
        shares = share * weights / of_labels[labels]
    shuffled = rng.permutation(len(weights))
    order = shuffled[np.lexsort((weights[shuffled], labels[shuffled]))]
    ends = np.minimum(np.cumsum(shares[order]), total)
    ends[-1] = total
    passed = np.append(0, np.floor(ends + rng.random()).astype(np.int64))
    return rng.permutation(np.repeat(order, passed[1:] - passed[:-1]))
