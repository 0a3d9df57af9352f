"""Which faces of a store are evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ferlit.data.records import SPLITS
from ferlit.data.store import Store
from ferlit.errors import DataError, UsageError

ALL = "all"


@dataclass(frozen=True)
class Part:
    """Some faces of a store.

    Args:
        name: "train", "val" or "test" of the official split, or "all".
        why: How it was chosen, for people.
        rows: Those of its faces that have a label.
        unlabelled: How many have none.
    """

    name: str
    why: str
    rows: NDArray[np.int64]
    unlabelled: int

    def keep(self, is_kept: NDArray[np.bool_]) -> "Part":
        """With only some of the rows."""
        return replace(self, rows=self.rows[is_kept])


def choose_part(store: Store, asked: str | None) -> Part:
    """The part of a store that is asked for, or else its test part, or else all.

    Args:
        store: The store.
        asked: "train", "val", "test" or "all"; None for the test part where the official split has
            one with labels, else all.

    Raises:
        UsageError: the store has no such part.
        DataError: it has no labelled faces in it.
    """
    split = store.records["split"].to_numpy(str)
    is_labelled = store.is_labelled
    parts = [part for part in SPLITS if (split == part).any()]
    name, why = (asked, "as asked") if asked else _default(parts, split[is_labelled].tolist())
    if name not in (ALL, *parts):
        has = (
            f"its official split has {' and '.join(parts)}" if parts else "it has no official split"
        )
        raise UsageError(f"--part {name}: {store.folder}: {has}; give --part all, or leave it out")
    is_chosen = np.ones(len(split), bool) if name == ALL else split == name
    rows = np.flatnonzero(is_chosen & is_labelled).astype(np.int64)
    if len(rows) == 0:
        raise DataError(
            f"{store.folder}: no labelled faces in the part {name} (of {is_chosen.sum()})"
        )
    return Part(name, why, rows, int(is_chosen.sum()) - len(rows))


def _default(parts: Sequence[str], labelled: Sequence[str]) -> tuple[str, str]:
    if "test" in labelled:
        return "test", "the test part of its official split"
    if not parts:
        return ALL, "it has no official split"
    if "test" in parts:
        return ALL, "the test part of its official split has no labels"
    return ALL, f"its official split has no test part, but {' and '.join(parts)}"
