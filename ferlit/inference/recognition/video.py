"""Videos and cameras, a frame at a time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.images import UnreadableImageError

logger = logging.getLogger(__name__)

# A video is told by its content: FFmpeg would follow playlists to other files.
_STARTS = {
    0: (b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75", b"FLV", b"OggS"),
    4: (b"ftyp", b"moov", b"mdat", b"wide", b"free"),
    8: (b"AVI ",),
}
_PICTURES = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftypavif", b"ftypavis")
_PACKET, _SYNC = 188, 0x47  # of an MPEG transport stream
_USUAL_RATE = 25.0
_ENDED_EARLY = 0.9  # the number of frames that a video says it has is off by a few in some formats


def is_video(path: Path) -> bool:
    """Whether a file is a video: AVI, MP4, QuickTime, Matroska, WebM, MPEG, ASF, FLV or Ogg.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "film.mp4")
    ...     _ = path.write_bytes(b"#EXTM3U")
    ...     is_video(path)
    False
    """
    try:
        with path.open("rb") as file:
            head = file.read(_PACKET + 1)
    except OSError:
        return False
    if head[4:12] in _PICTURES:
        return False
    is_stream = len(head) > _PACKET and head[0] == head[_PACKET] == _SYNC
    return is_stream or any(head.startswith(marks, at) for at, marks in _STARTS.items())


def read_video(source: Path | int) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video or a camera.

    Args:
        source: A file, or the number of a camera.

    Yields:
        (H, W, 3) BGR.

    Raises:
        UnreadableImageError: it cannot be opened, or has no frame that can be decoded.
    """
    with opened(source) as video:
        expected = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        count = 0
        while True:
            is_read, frame = video.read()
            if not is_read:
                break
            count += 1
            yield np.asarray(frame, dtype=np.uint8)
    if count == 0:
        raise UnreadableImageError(f"{name_of(source)}: no frame of it can be decoded")
    if count < _ENDED_EARLY * expected:
        logger.warning(
            "%s: it ended after %d of %d frames; is it damaged?", name_of(source), count, expected
        )


def measure(source: Path | int) -> tuple[int, float]:
    """How many frames a video says it has (0 where it does not), and how many a second.

    Raises:
        UnreadableImageError: it cannot be opened.
    """
    with opened(source) as video:
        count = max(int(video.get(cv2.CAP_PROP_FRAME_COUNT)), 0)
        rate = float(video.get(cv2.CAP_PROP_FPS))
    return count, rate if 1 <= rate <= 1000 else _USUAL_RATE


def grey_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A BGR frame in grey, as a preparation reads videos.

    >>> grey_frame(np.full((1, 2, 3), 9, np.uint8)).tolist()
    [[9, 9]]
    """
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def name_of(source: Path | int) -> str:
    """How messages and tables name a video or a camera."""
    return f"camera {source}" if isinstance(source, int) else str(source)


@contextmanager
def opened(source: Path | int) -> Iterator[cv2.VideoCapture]:
    """A video or a camera, closed in the end.

    Raises:
        UnreadableImageError: it cannot be opened.
    """
    # What cannot be opened is ours to report.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    if isinstance(source, int):
        video = cv2.VideoCapture(source)
    elif not is_video(source):
        reason = "not a video of a known kind" if source.is_file() else "there is no such file"
        raise UnreadableImageError(f"{source}: {reason}")
    else:
        video = cv2.VideoCapture(str(source), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise UnreadableImageError(f"{name_of(source)}: it cannot be opened")
        yield video
    finally:
        video.release()
