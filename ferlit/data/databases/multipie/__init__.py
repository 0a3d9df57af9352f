"""Multi-PIE: its reader, and what its layout needs."""

from ferlit.data.databases.multipie.reader import (
    CAMERA_SETS,
    CAMERAS,
    ILLUMINATIONS,
    MULTIPIE,
    PUBLISHED,
    SESSIONS,
    SHOWN,
    read_multipie,
)

__all__ = [
    "CAMERAS",
    "CAMERA_SETS",
    "ILLUMINATIONS",
    "MULTIPIE",
    "PUBLISHED",
    "SESSIONS",
    "SHOWN",
    "read_multipie",
]
