"""FER+: its reader, and what its layout needs."""

from ferlit.data.databases.ferplus.reader import (
    FERPLUS,
    PUBLISHED,
    read_ferplus,
    read_ferplus_targets,
)

__all__ = ["FERPLUS", "PUBLISHED", "read_ferplus", "read_ferplus_targets"]
