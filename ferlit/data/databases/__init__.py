"""The databases by name, one reader each."""

from ferlit.data.databases.base import Database
from ferlit.data.databases.ck48 import CK48
from ferlit.data.databases.ckplus import CKPLUS
from ferlit.data.databases.fer2013 import FER2013
from ferlit.data.databases.synthetic import SYNTHETIC
from ferlit.errors import DataError

DATABASES = {database.name: database for database in (CKPLUS, CK48, FER2013, SYNTHETIC)}

__all__ = ["DATABASES", "Database", "find_database"]


def find_database(name: str) -> Database:
    """The database of that name.

    Raises:
        DataError: there is none.
    """
    try:
        return DATABASES[name]
    except KeyError:
        raise DataError(f"unknown database {name!r}; known are {', '.join(DATABASES)}") from None
