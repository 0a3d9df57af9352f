"""Where a preparation takes the landmarks from: the database's files, the pictures, or nowhere."""

import logging

import pandas as pd

from ferlit.data.databases import Database
from ferlit.errors import DataError, UsageError

LANDMARK_SOURCES = ("auto", "database", "mediapipe", "dlib", "none")
logger = logging.getLogger(__name__)


def choose_landmarks(database: Database, records: pd.DataFrame, landmarks: str) -> str:
    """Where the landmarks come from.

    Args:
        database: With the user's options.
        records: Its table.
        landmarks: "database" (files that come with it), "mediapipe" or "dlib" (found in the
            pictures), "none" (the faces are aligned already), or "auto": none where they are
            aligned, else the database's where it has some, else mediapipe.

    Returns:
        The choice, never "auto".

    Raises:
        DataError: an unknown choice, or no landmark files where they are wanted.
    """
    if landmarks not in LANDMARK_SOURCES:
        raise UsageError(f"landmarks={landmarks!r}; known are {', '.join(LANDMARK_SOURCES)}")
    has_files = bool((records["landmarks"] != "").any())
    if landmarks == "database" and not has_files:
        raise DataError(
            f"{database.name}: no landmark files found; add the database's landmarks, or give "
            "--landmarks mediapipe to find them, or none if the pictures are aligned faces"
        )
    if landmarks != "auto":
        return landmarks
    if database.is_aligned:
        return "none"
    return "database" if has_files else "mediapipe"


def warn_of_missing(records: pd.DataFrame, landmarks: str) -> None:
    """Say how many images lack the landmark files that are to register them."""
    lacking = int((records["landmarks"] == "").sum()) if landmarks == "database" else 0
    if lacking:
        logger.warning(
            "%d of %d images come without landmarks and are left out; --landmarks mediapipe finds "
            "landmarks in all pictures",
            lacking,
            len(records),
        )
