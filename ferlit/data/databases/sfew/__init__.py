"""SFEW 2.0: its reader, and what its layout needs."""

from ferlit.data.databases.sfew.reader import CLASSES, PUBLISHED, SFEW, clip_of, read_sfew

__all__ = ["CLASSES", "PUBLISHED", "SFEW", "clip_of", "read_sfew"]
