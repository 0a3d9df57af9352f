"""Videos whose frames show their own number, and damage to them."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE = 128, 96, 10
_BITS = 6

# One of each kind of container and codec that every build of OpenCV writes.
KINDS = {
    "avi": ("MJPG", "XVID", "FFV1", "HFYU", "I420"),
    "mp4": ("mp4v",),
    "mov": ("mp4v", "MJPG"),
    "mkv": ("MJPG", "XVID", "VP80"),
    "webm": ("VP80", "VP90"),
    "ts": ("MPG2", "mp4v"),
    "mpg": ("MPG2",),
    "wmv": ("WMV2",),
    "flv": ("FLV1",),
}


def picture_of(number: int) -> NDArray[np.uint8]:
    """(96, 128, 3): the number in black and white bars at the top, something that moves below."""
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), dtype=np.uint8)
    picture[:16] = 0
    for bit in range(_BITS):
        picture[:16, 16 * bit : 16 * (bit + 1)] = 255 * (number >> bit & 1)
    picture[40:60, 2 * number : 2 * number + 20] = 255
    return picture


def number_of(picture: NDArray[np.uint8]) -> int:
    """The number that a frame shows."""
    bars = picture[4:12].reshape(8, WIDTH, -1).mean(axis=(0, 2))
    return sum(int(bars[16 * bit + 4 : 16 * bit + 12].mean() > 128) << bit for bit in range(_BITS))


def write_numbered(path: Path, codec: str, count: int) -> Path:
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), RATE, (WIDTH, HEIGHT)
    )
    assert writer.isOpened(), codec
    for number in range(count):
        writer.write(picture_of(number))
    writer.release()
    return path


def write_with_av(
    path: Path,
    codec: str,
    count: int,
    *,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    times: list[int] | None = None,
    ticks: int = 1000,
    sound: bool = False,
) -> Path:
    """By PyAV, for what OpenCV does not write; times are in ticks of a second."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=RATE, options=codec_options or {})
        stream.width, stream.height = 128, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, ticks)
        audio = container.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(picture_of(number), format="bgr24")
            frame.pts = times[number] if times else number * ticks // RATE
            frame.time_base = Fraction(1, ticks)
            container.mux(stream.encode(frame))
            if audio is not None:
                tone = av.AudioFrame.from_ndarray(
                    np.full((1, 1600), 99, np.int16), format="s16", layout="mono"
                )
                tone.sample_rate, tone.pts = 8000, 1600 * number
                container.mux(audio.encode(tone))
        container.mux(stream.encode(None))
        if audio is not None:
            container.mux(audio.encode(None))
    return path


def packets(path: Path) -> list[tuple[int, int]]:
    """Place and size of each frame in the file."""
    with av.open(str(path)) as container:
        return [
            (packet.pos or 0, packet.size)
            for packet in container.demux(container.streams.video[0])
            if packet.size
        ]


def zero_frame(path: Path, number: int) -> None:
    """All of a frame but its first bytes is zero."""
    place, size = packets(path)[number]
    _overwrite(path, place + 8, bytes(size - 8))


def zero_frame_and_head(path: Path, number: int) -> None:
    """A frame is zero, and what the container has before it."""
    place, size = packets(path)[number]
    _overwrite(path, place - 8, bytes(size + 8))


def flip_bytes(path: Path, number: int) -> None:
    """Some bytes of a frame are others."""
    place, size = packets(path)[number]
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for at in rng.integers(place + size // 3, place + size, 20):
        content[at] ^= int(rng.integers(1, 256))
    path.write_bytes(content)


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def _overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
