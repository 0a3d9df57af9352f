"""The faces of several stores as one array, which stays on the disk."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class JoinedFaces:
    """Arrays one after the other, indexed along the first axis as one; none of them is copied.

    Args:
        parts: Each (n, ...) of the same type, memory-mapped or not.

    >>> faces = JoinedFaces([np.zeros((2, 3)), np.ones((1, 3))])
    >>> faces[[2, 0]].sum(1).tolist(), faces[-1].tolist(), faces.shape
    ([3.0, 0.0], [1.0, 1.0, 1.0], (3, 3))
    """

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        self.parts = tuple(parts)
        self.ends = np.cumsum([len(part) for part in parts])
        self._places = np.arange(self.ends[-1])

    def __len__(self) -> int:
        return len(self._places)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.parts[0].shape[1:])

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Copies of some faces: by a number, several, a mask or a slice."""
        places = np.asarray(self._places[rows])
        found = np.empty((places.size, *self.shape[1:]), self.parts[0].dtype)
        flat = places.ravel()
        part_of = np.searchsorted(self.ends, flat, side="right")
        for number, part in enumerate(self.parts):
            chosen = part_of == number
            found[chosen] = part[flat[chosen] - (self.ends[number] - len(part))]
        return found.reshape(*places.shape, *self.shape[1:])
