"""SFEW 2.0: its reader, and what its layout needs."""

from ferlit.data.clips import clip_of
from ferlit.data.databases.sfew.reader import CLASSES, PUBLISHED, SFEW, read_sfew

__all__ = ["CLASSES", "PUBLISHED", "SFEW", "clip_of", "read_sfew"]
