"""Clips of films as weak identities: the frames of one clip mostly show one face."""

from collections.abc import Iterable

from ferlit.data.databases.sfew import clip_of
from ferlit.errors import DataError


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
