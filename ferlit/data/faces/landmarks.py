"""Facial landmarks: the 68 points of iBUG / Multi-PIE, and the 49 of them that registration uses.

The 49 leave out the 17 points of the jaw, which follow the mouth when it opens, and the two inner
corners of the mouth. Their order: brows 0-4 and 5-9, bridge of the nose 10-13, base of the nose
14-18, eyes 19-24 and 25-30, outer mouth 31-42, inner upper lip 43-45, inner lower lip 46-48; the
side that is left in the image comes first.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError

LANDMARKS_49 = (*range(17, 60), 61, 62, 63, 65, 66, 67)
_POINTS = 68


def read_landmarks(path: Path) -> NDArray[np.float64]:
    r"""Read a landmark file of CK+: 68 lines, each an x and a y in pixels.

    Args:
        path: The file.

    Returns:
        (68, 2) points.

    Raises:
        DataError: the file is missing, or is not such a file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "S005_001_00000011_landmarks.txt")
    ...     _ = path.write_text("   2.2512089e+02   2.3452567e+02 \n" * 68)
    ...     read_landmarks(path)[0]
    array([225.12089, 234.52567])
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{path}: the landmarks cannot be read ({reason})") from error
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != _POINTS:
        raise DataError(
            f"{path}: {len(lines)} lines instead of {_POINTS}, one x and y for each landmark"
        )
    points = np.empty((_POINTS, 2))
    for row, line in enumerate(lines):
        try:
            x, y = (float(number) for number in line.split())
        except ValueError:
            raise DataError(
                f"{path}: landmark {row + 1} is {line[:40]!r}, not an x and y"
            ) from None
        points[row] = x, y
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise DataError(f"{path}: landmark {row + 1} is {lines[row][:40]!r}, not a finite x and y")
    return points


def landmarks_below(root: Path, name: str) -> NDArray[np.float64]:
    """The landmarks of a file below a database's folder, see `read_landmarks`."""
    return read_landmarks(root / name)


def select_49(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """The 49 landmarks out of 68; 49 are taken as they are.

    Args:
        points: (68, 2) or (49, 2).

    Returns:
        (49, 2) points.

    Raises:
        DataError: another shape.

    >>> select_49(np.arange(136).reshape(68, 2))[[0, -1]]
    array([[ 34.,  35.], [134., 135.]])
    """
    array: NDArray[np.float64] = np.asarray(points, dtype=np.float64)
    if array.shape == (_POINTS, 2):
        return array[list(LANDMARKS_49)]
    if array.shape == (len(LANDMARKS_49), 2):
        return array
    raise DataError(f"landmarks of shape {array.shape}; expected (68, 2) or (49, 2)")
