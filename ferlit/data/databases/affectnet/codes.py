"""The codes of AffectNet's expressions."""

from typing import NamedTuple

from ferlit.errors import DataError

# The expressions by their code, and the codes of pictures that show none of them.
CODES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
OTHERS = {8: "none", 9: "uncertain", 10: "non-face"}


class Found(NamedTuple):
    """A picture and what was annotated."""

    image: str  # below the root
    code: int
    split: str
    valence: str  # "" where it was not looked at
    landmarks: str = ""  # the row of a list


def parse_code(text: str) -> int:
    """The code that a text is.

    Raises:
        DataError: it is none.

    >>> parse_code("7"), parse_code("7.0")
    (7, 7)
    """
    try:
        value = float(text)
        code = int(value)
    except (ValueError, OverflowError):
        value, code = 0.0, -1
    if code != value or not (0 <= code < len(CODES) or code in OTHERS):
        known = ", ".join(f"{code} {name}" for code, name in (*enumerate(CODES), *OTHERS.items()))
        raise DataError(f"the expression {text[:20]!r}; known are {known}")
    return code
