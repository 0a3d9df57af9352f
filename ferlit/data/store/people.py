"""Which databases show the same people, or are made of the same pictures."""

_SAME_PEOPLE = {"ck48": "ckplus"}  # databases that show the people of another by the same names
_SAME_PICTURES = {"ferplus": "fer2013"}  # other labels on the pictures of another
_ANYBODYS = {"folder", "csv"}  # whose pictures they hold, the name does not tell
_DRAWN = "synthetic_"  # trees of drawn people in the layout of a database


def show_the_same_people(database: str, other: str) -> bool:
    """Whether two databases show the same people, by the same names.

    >>> show_the_same_people("ck48", "ckplus"), show_the_same_people("jaffe", "ckplus")
    (True, False)
    """
    return people_of(database) == people_of(other)


def people_of(database: str) -> str:
    """The database whose names of persons those of this one are."""
    return _SAME_PEOPLE.get(database, database)


def picture_of(database: str, image: str) -> str:
    """A name for the picture of an image, the same in all databases that have it.

    That of a row is the same wherever the table lies: FER+ may have FER2013's in a folder.

    >>> picture_of("ferplus", "fer2013/fer2013.csv#7") == picture_of("fer2013", "fer2013.csv#7")
    True
    """
    pictures = _SAME_PICTURES.get(database, database)
    is_row = pictures in _SAME_PICTURES.values() and "#" in image
    return f"{pictures}\n{image.rpartition('/')[2] if is_row else image}"


def is_anybodys(database: str) -> bool:
    """Whether two stores of a database may well show different people by the same names.

    >>> is_anybodys("csv"), is_anybodys("synthetic_folder"), is_anybodys("jaffe")
    (True, True, False)
    """
    return database.removeprefix(_DRAWN) in _ANYBODYS
