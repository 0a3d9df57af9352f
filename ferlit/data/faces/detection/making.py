"""The detector that a choice of landmarks asks for."""

from pathlib import Path

from ferlit.data.faces.detection.found import Detector
from ferlit.errors import UsageError


def make_detector(
    landmarks: str, models: Path | None = None, *, everywhere: bool = False
) -> Detector | None:
    """The detector of a choice of landmarks; None where nothing must be found.

    Args:
        landmarks: As `ferlit.data.preparation.landmarks.choose_landmarks` returns it.
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
        from ferlit.data.faces.detection.mediapipe import MediaPipeDetector
        from ferlit.data.faces.detection.models import model_files

        return MediaPipeDetector(*model_files(models), everywhere=everywhere)
    if landmarks == "dlib":
        from ferlit.data.faces.detection.dlib import DlibDetector

        return DlibDetector(everywhere=everywhere)
    return None
