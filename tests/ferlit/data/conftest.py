import pytest

from ferlit.data.faces.detection.mediapipe import MediaPipeDetector
from ferlit.data.faces.detection.models import cache_folder, model_files
from ferlit.errors import DataError


@pytest.fixture(scope="session")
def detector() -> MediaPipeDetector:
    """The real nets, where an earlier use of them left the files; tests fetch nothing."""
    try:
        files = model_files(cache_folder())
    except DataError as error:
        reason = str(error).partition(";")[0]
        pytest.skip(f"needs the landmark models, which their first use fetches: {reason}")
    return MediaPipeDetector(*files)
