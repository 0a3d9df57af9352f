"""Faces that show nothing: one grey value, or nearly so.

A network gives every picture a label with some confidence, a black one too. So that none is learnt
from or answered, they are refused wherever a face is made.
"""

import numpy as np
from numpy.typing import NDArray

from ferlit.errors import DataError

# Measured on the 35,887 faces of FER2013, of which 82 are of one value: the flattest of all others
# has a deviation of 9.1, and the one with the largest plain part 94 % of its pixels alike.
_LEAST_DEVIATION = 3.0
_MOST_ALIKE = 0.97
_ALIKE = 1  # grey values above and below
# Eight bits of 16 that hold no more than 12, or the numbers of classes: a sixteenth of the range.
_BLACK = 16
_MOST_BLACK = 0.97


class FlatFaceError(DataError):
    """A face that shows nothing."""


def check_face(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The face, if it shows something.

    Args:
        face: (H, W) grey.

    Raises:
        FlatFaceError: all or nearly all of it is one grey value, or black.

    >>> check_face(np.full((60, 60), 7, np.uint8))
    Traceback (most recent call last):
        ...
    ferlit.data.faces.flatness.FlatFaceError: the face is plain, of one grey value (7)
    """
    counts = np.bincount(face.ravel(), minlength=256)
    value = int(counts.argmax())
    if counts[value] == face.size:
        raise FlatFaceError(f"the face is plain, of one grey value ({value})")
    alike = counts[max(value - _ALIKE, 0) : value + _ALIKE + 1].sum() / face.size
    if alike >= _MOST_ALIKE:
        raise FlatFaceError(
            f"the face is nearly plain ({100 * alike:.0f} % of its pixels have the grey value "
            f"{value} or one beside it)"
        )
    black = counts[:_BLACK].sum() / face.size
    if black >= _MOST_BLACK:
        raise FlatFaceError(
            f"the face is nearly black ({100 * black:.0f} % of its pixels are below {_BLACK} of "
            "255), as a picture is whose numbers are not its grey values"
        )
    deviation = float(face.std())
    if deviation < _LEAST_DEVIATION:
        raise FlatFaceError(
            f"the face is nearly plain (its grey values deviate by {deviation:.1f} from their mean)"
        )
    return face
