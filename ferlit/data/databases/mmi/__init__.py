"""MMI: its reader, and what its layout needs."""

from ferlit.data.databases.mmi.annotations import CODES
from ferlit.data.databases.mmi.reader import EXCLUDED, MMI, PUBLISHED, read_mmi

__all__ = ["CODES", "EXCLUDED", "MMI", "PUBLISHED", "read_mmi"]
