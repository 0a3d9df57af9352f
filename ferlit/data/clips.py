"""Clips of films as weak identities: the frames of one clip mostly show one face.

The names of SFEW's images tell the film, the time at which the clip starts and the frame.
"""

import re
from collections.abc import Iterable
from pathlib import PurePath

from ferlit.errors import DataError

_STEM = re.compile(r"([^#]+)_([0-9]{9})_([0-9]{8})")


def clip_of(name: str) -> tuple[str, str]:
    """The film and the start time of the clip that an image is a frame of: a weak identity.

    Args:
        name: The image's name, with or without folders before it.

    Raises:
        DataError: the name does not tell them.

    >>> clip_of("Val/Val_Aligned_Faces/Sad/HarryPotter_Deathly_Hallows_1_005528520_00000001.png")
    ('HarryPotter_Deathly_Hallows_1', '005528520')
    """
    match = _STEM.fullmatch(PurePath(name).stem)
    if match is None or not name.isprintable():
        raise DataError(
            f"{name!r}: the name does not tell film, time and frame, as "
            "Airheads_000519240_00000005.png does"
        )
    return match[1], match[2]


def clip_identities(images: Iterable[str]) -> list[str]:
    """The clip of every image, named by its film and start time.

    Raises:
        DataError: a name does not tell them.

    >>> clip_identities(["Train/Sad/Airheads_000519240_00000005.png"])
    ['Airheads_000519240']
    """
    try:
        return ["_".join(clip_of(image)) for image in images]
    except DataError as error:
        raise DataError(
            f"{error}; --method clips is for SFEW, --method embeddings for any database"
        ) from error


def film_of(image: str) -> str:
    """The film that an image's name tells, or "" where it tells none.

    >>> film_of("Airheads_000519240_00000005.png"), film_of("S005_001_00000011.png")
    ('Airheads', '')
    """
    try:
        return clip_of(image)[0]
    except DataError:
        return ""
