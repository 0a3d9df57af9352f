"""Where a preparation takes the landmarks from: the database's files, the pictures, or nowhere."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.databases import Database
from ferlit.data.databases.affectnet_lists import read_row_landmarks
from ferlit.data.detection import Detector
from ferlit.data.landmarks import read_landmarks
from ferlit.errors import DataError, UsageError

LANDMARK_SOURCES = ("auto", "database", "mediapipe", "dlib", "none")
logger = logging.getLogger(__name__)


def choose_landmarks(
    database: Database,
    records: pd.DataFrame,
    landmarks: str,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Where the landmarks come from.

    Args:
        database: Its reader.
        records: Its table.
        landmarks: "database" (files that come with it), "mediapipe" or "dlib" (found in the
            pictures), "none" (the faces are aligned already), or "auto": none where they are
            aligned, else the database's where it has some, else mediapipe.
        options: Of the reader.

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
    if not database.needs_registration(options):
        return "none"
    return "database" if has_files else "mediapipe"


def make_detector(
    landmarks: str, models: Path | None = None, *, everywhere: bool = False
) -> Detector | None:
    """The detector of a choice of landmarks; None where nothing must be found.

    Args:
        landmarks: As `choose_landmarks` returns it.
        models: Folder with the model files of mediapipe; None for the user's cache, which is
            filled at the first use.
        everywhere: Also look for faces beside the largest one.

    Raises:
        DataError: the models cannot be had, or dlib is not installed.
        UsageError: models are given that would not be used.
    """
    if models is not None and landmarks != "mediapipe":
        raise UsageError(
            f"--landmark-models {models}: they are mediapipe's, and the landmarks here are "
            f"{landmarks}; leave them out, or give --landmarks mediapipe"
        )
    if landmarks == "mediapipe":
        from ferlit.data.detection.mediapipe import MediaPipeDetector
        from ferlit.data.detection.models import model_files

        return MediaPipeDetector(*model_files(models), everywhere=everywhere)
    if landmarks == "dlib":
        from ferlit.data.detection.dlib import DlibDetector

        return DlibDetector(everywhere=everywhere)
    return None


def landmarks_of(root: Path, name: str) -> NDArray[np.float64]:
    """Read the landmarks that come with an image.

    Args:
        root: The database's folder.
        name: As the record table names them: a file with 68 points (see
            `ferlit.data.landmarks.read_landmarks`), or ``list.csv#k`` for row k of a list of
            AffectNet.

    Returns:
        (68, 2) or (49, 2) points.

    Raises:
        DataError: they cannot be read.
    """
    file, has_row, row = name.partition("#")
    return read_row_landmarks(root / file, int(row)) if has_row else read_landmarks(root / file)


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
