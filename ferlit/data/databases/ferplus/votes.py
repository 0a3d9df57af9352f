"""From the ten votes on a face of FER+ to what a network learns.

Barsoum et al., Training deep networks for facial expression recognition with crowd-sourced label
distribution, ICMI 2016. The rules are those of the authors' own reader, to the vote: single votes
are taken for mistakes and set to zero first, and a face whose most votes say "unknown" or "no face"
is dropped. On the 35,887 rows of the database they keep, in training, validation and test:

==============  ======  =====  =====
majority        25,060  3,199  3,153
probability     27,956  3,505  3,505
crossentropy    27,956  3,505  3,505
multi_target    27,671  3,472  3,472
==============  ======  =====  =====
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferlit.data.records import EXPRESSIONS

# The columns of the votes; the last two are no expressions.
COLUMNS = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "NF"),
)
RULES = ("majority", "probability", "crossentropy", "multi_target")
_CANONICAL = [COLUMNS.index(name) for name in EXPRESSIONS]
_MOST_CLASSES = 3
_SMOOTHING = 0.001

_Votes = NDArray[np.float64]


def vote_targets(votes: ArrayLike, rule: str = "majority") -> NDArray[np.float64]:
    """The targets that a rule makes of the votes.

    - ``majority``: 1 for the class with more than half of the votes; without one, dropped.
    - ``crossentropy``: classes in the order of their votes, equal ones together, until they hold
      three quarters of the votes, are three, or "unknown" or "no face" is reached; the shares of
      the votes among them. Dropped where they hold at most half of the votes or are more than
      three.
    - ``probability``: the same shares; training draws one class by them each time.
    - ``multi_target``: each class with at least 30 % of the votes is right: 1, and 0.001 for the
      others. Dropped where all that reach 30 % hold at most half of the votes.

    Args:
        votes: (n, 10) counts in the order of `COLUMNS`.
        rule: One of `RULES`.

    Returns:
        (n, 8) targets in the order of `ferlit.data.records.EXPRESSIONS`; zeros for a dropped face.

    Raises:
        ValueError: votes of another shape, or an unknown rule.

    >>> votes = [[4, 0, 0, 1, 3, 2, 0, 0, 0, 0]]  # 4 neutral, 1 sadness, 3 anger, 2 disgust
    >>> vote_targets(votes, "crossentropy").round(2)  # neutral, anger, contempt, disgust, ...
    array([[0.57, 0.43, 0.  , 0.  , 0.  , 0.  , 0.  , 0.  ]])
    >>> vote_targets(votes, "majority").any()
    np.False_
    """
    counts = np.array(votes, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[1] != len(COLUMNS):
        raise ValueError(f"votes of shape {counts.shape}; expected (n, {len(COLUMNS)})")
    if rule not in RULES:
        raise ValueError(f"rule={rule!r}; known are {', '.join(RULES)}")
    counts[counts <= 1] = 0
    total = counts.sum(axis=1)
    expressions, others = counts[:, :-2], counts[:, -2:]
    if rule == "majority":
        targets = (expressions > 0.5 * total[:, None]).astype(np.float64)
    elif rule == "multi_target":
        is_kept = (counts >= 0.3 * total[:, None]) & (total[:, None] > 0)
        covers = (counts * is_kept).sum(axis=1) > 0.5 * total
        targets = np.where(is_kept[:, :-2], 1.0, _SMOOTHING) * covers[:, None]
    else:
        taken = _leading(counts)
        held = taken.sum(axis=1)
        is_clear = (held > 0.5 * total) & ((taken > 0).sum(axis=1) <= _MOST_CLASSES)
        targets = taken / np.maximum(held, 1)[:, None] * is_clear[:, None]
    # On a tie between an expression and "unknown" the expression wins.
    targets[expressions.max(axis=1) < others.max(axis=1)] = 0
    return np.asarray(targets[:, _CANONICAL])


def winners(votes: ArrayLike) -> list[str]:
    """The expression with the most votes of each face; of equals the first in FER+'s own order.

    Args:
        votes: (n, 10) counts in the order of `COLUMNS`.

    >>> winners([[3, 4, 0, 0, 0, 0, 0, 0, 3, 0], [0, 0, 5, 5, 0, 0, 0, 0, 0, 0]])
    ['happiness', 'surprise']
    """
    counts = np.asarray(votes).reshape(-1, len(COLUMNS))
    return [COLUMNS[index] for index in counts[:, :-2].argmax(axis=1)]


def _leading(counts: _Votes) -> _Votes:
    """(n, 8) votes of the classes that lead, the others 0."""
    total = counts.sum(axis=1)
    remaining = counts.copy()
    taken = np.zeros_like(counts[:, :-2])
    is_open = np.ones(len(counts), dtype=bool)
    for _ in range(_MOST_CLASSES):
        is_open &= taken.sum(axis=1) < 0.75 * total
        is_open &= (taken > 0).sum(axis=1) < _MOST_CLASSES
        is_top = (remaining == remaining.max(axis=1, keepdims=True)) & is_open[:, None]
        is_top &= remaining > 0
        taken += np.where(is_top[:, :-2], remaining[:, :-2], 0)
        is_open &= ~is_top[:, -2:].any(axis=1)
        remaining[is_top] = 0
    return taken
