"""Landmarks that come with a database."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferlit.data.databases.affectnet.lists import read_row_landmarks
from ferlit.data.faces.landmarks import read_landmarks


def landmarks_of(root: Path, name: str) -> NDArray[np.float64]:
    """Read the landmarks that come with an image.

    Args:
        root: The database's folder.
        name: As the record table names them: a file with 68 points (see
            `ferlit.data.faces.landmarks.read_landmarks`), or ``list.csv#k`` for row k of a list of
            AffectNet.

    Returns:
        (68, 2) or (49, 2) points.

    Raises:
        DataError: they cannot be read.
    """
    file, has_row, row = name.partition("#")
    return read_row_landmarks(root / file, int(row)) if has_row else read_landmarks(root / file)
