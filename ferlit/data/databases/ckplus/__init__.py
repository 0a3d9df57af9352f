"""CK+: its reader, and what its layout needs."""

from ferlit.data.databases.ckplus.reader import CKPLUS, CODES, PUBLISHED, read_ckplus, read_emotion

__all__ = ["CKPLUS", "CODES", "PUBLISHED", "read_ckplus", "read_emotion"]
