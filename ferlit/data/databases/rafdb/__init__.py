"""RAF-DB: its reader, and what its layout needs."""

from ferlit.data.databases.rafdb.lists import CODES
from ferlit.data.databases.rafdb.reader import PUBLISHED, RAFDB, read_rafdb

__all__ = ["CODES", "PUBLISHED", "RAFDB", "read_rafdb"]
