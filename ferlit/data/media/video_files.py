"""Video files: told by their content, opened by FFmpeg, which is listened to."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from ferlit.data.media.errors import UnreadableImageError

# A video is told by its content: FFmpeg would follow playlists to other files.
_STARTS = {
    0: (b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75", b"FLV", b"OggS"),
    4: (b"ftyp", b"moov", b"mdat", b"wide", b"free"),
    8: (b"AVI ",),
}
_PICTURES = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftypavif", b"ftypavis")
_PACKET, _SYNC = 188, 0x47  # of an MPEG transport stream
_listening = threading.Lock()
logging.getLogger("libav").addHandler(logging.NullHandler())  # what FFmpeg says is ours to report


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


def check_avi(path: Path) -> None:
    """Refuse what is no AVI video, whatever its name; FFmpeg would follow a playlist, for one.

    Raises:
        UnreadableImageError: it is none. The message does not name it.
    """
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"AVI ":
        raise UnreadableImageError("not an AVI video")


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video's file and its pictures, closed in the end.

    Raises:
        UnreadableImageError: the file cannot be opened, or has no pictures. The message does not
            name it.
    """
    try:
        # No path is an address, and no file opens another.
        options = {"protocol_whitelist": "file"}
        container = av.open(f"file:{path}", options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        log = getattr(error, "log", None)  # level, speaker and text
        reason = f" ({log[2].strip()})" if log else ""
        raise UnreadableImageError(f"the video cannot be opened{reason}") from error
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, VideoStream) or stream.time_base is None:
            raise UnreadableImageError("the video cannot be opened (it has no pictures)")
        if getattr(stream, "codec_context", None) is None:
            raise UnreadableImageError("the video cannot be opened (nobody here knows its codec)")
        yield container, stream


@contextmanager
def heard() -> Iterator[list[tuple[int, str, str]]]:
    """What FFmpeg says at the level of errors: level, speaker and text."""
    with _listening:  # the level is one for all threads
        level, skips_repeated = av.logging.get_level(), av.logging.get_skip_repeated()
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
        try:
            with av.logging.Capture() as messages:
                yield messages
        finally:
            av.logging.set_level(level)
            av.logging.set_skip_repeated(skips_repeated)
