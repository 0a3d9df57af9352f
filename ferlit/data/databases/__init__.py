"""The databases by name, one reader each."""

from ferlit.data.databases.affectnet import AFFECTNET
from ferlit.data.databases.base import Database
from ferlit.data.databases.ck48 import CK48
from ferlit.data.databases.ckplus import CKPLUS
from ferlit.data.databases.csv_table import CSV_TABLE
from ferlit.data.databases.fer2013 import FER2013
from ferlit.data.databases.ferplus import FERPLUS
from ferlit.data.databases.folder import FOLDER
from ferlit.data.databases.jaffe import JAFFE
from ferlit.data.databases.kdef import KDEF
from ferlit.data.databases.mmi import MMI
from ferlit.data.databases.multipie import MULTIPIE
from ferlit.data.databases.oulu_casia import OULU_CASIA
from ferlit.data.databases.rafdb import RAFDB
from ferlit.data.databases.sfew import SFEW
from ferlit.data.databases.staged import STAGED
from ferlit.data.databases.synthetic import SYNTHETIC
from ferlit.errors import UsageError

DATABASES = {
    database.name: database
    for database in (
        CKPLUS,
        CK48,
        MMI,
        SFEW,
        FER2013,
        FERPLUS,
        MULTIPIE,
        JAFFE,
        OULU_CASIA,
        RAFDB,
        AFFECTNET,
        KDEF,
        FOLDER,
        CSV_TABLE,
        SYNTHETIC,
    )
}

__all__ = ["DATABASES", "Database", "find_database"]


def find_database(name: str) -> Database:
    """The database of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return (DATABASES | STAGED)[name]
    except KeyError:
        raise UsageError(f"unknown database {name!r}; known are {', '.join(DATABASES)}") from None
