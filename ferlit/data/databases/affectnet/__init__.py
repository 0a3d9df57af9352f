"""AffectNet: its reader, and what its layout needs."""

from ferlit.data.databases.affectnet.codes import CODES
from ferlit.data.databases.affectnet.reader import AFFECTNET, PUBLISHED, read_affectnet

__all__ = ["AFFECTNET", "CODES", "PUBLISHED", "read_affectnet"]
