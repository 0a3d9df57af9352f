"""Videos and cameras, a frame at a time."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.video_files import is_video
from ferlit.data.media.video_plan import Plan, plan_of
from ferlit.data.media.videos import VideoFrame, read_frames


def read_video(source: Path | int) -> Iterator[VideoFrame]:
    """The frames of a video or a camera.

    Args:
        source: A file, or the number of a camera.

    Yields:
        Each frame with its number; those of a file that are lost are among them. Where a file is
        damaged and nothing tells how many frames it lost, one of length 0 comes last.

    Raises:
        UnreadableImageError: it cannot be opened, has no frame that can be decoded, or is a camera
            that gives no more pictures.
    """
    if isinstance(source, int):
        yield from _camera(source)
        return
    plan = _plan(source)
    lost: list[VideoFrame] = []
    has_any = False
    for frame in read_frames(source, plan):
        if frame.read is None and not has_any:
            lost.append(frame)
            continue
        yield from lost
        lost.clear()
        has_any = True
        yield frame
    if not has_any:
        reason = plan.complaint or (lost[0].problem if lost else "")
        raise UnreadableImageError(
            f"{source}: no frame of it can be decoded" + (f" ({reason})" if reason else "")
        )
    is_known = plan.promised > 0 or any(slot.problem for slot in plan.slots)
    if plan.complaint and not is_known:
        problem = f"the container is damaged ({plan.complaint})"
        yield VideoFrame(frame.number + 1, frame.time, None, problem, length=0)


def measure(source: Path) -> tuple[int, float]:
    """How many frames a video should have, and how many a second.

    Raises:
        UnreadableImageError: it cannot be opened.
    """
    plan = _plan(source)
    return plan.frames, plan.rate


def grey_frame(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A BGR frame in grey, as a preparation reads videos.

    >>> grey_frame(np.full((1, 2, 3), 9, np.uint8)).tolist()
    [[9, 9]]
    """
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def name_of(source: Path | int) -> str:
    """How messages and tables name a video or a camera."""
    return f"camera {source}" if isinstance(source, int) else str(source)


def _plan(path: Path) -> Plan:
    if not is_video(path):
        reason = "not a video of a known kind" if path.is_file() else "there is no such file"
        raise UnreadableImageError(f"{path}: {reason}")
    try:
        return plan_of(path)
    except UnreadableImageError as error:
        raise UnreadableImageError(f"{path}: {error}") from error


def _camera(number: int) -> Iterator[VideoFrame]:
    # What cannot be opened is ours to report.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise UnreadableImageError(f"{name_of(number)}: it cannot be opened")
        start = time.monotonic()
        count = 0
        while True:
            is_read, picture = camera.read()
            now = time.monotonic()
            if not is_read:
                raise UnreadableImageError(
                    f"{name_of(number)}: it gives no picture any more, after {count} frames in "
                    f"{now - start:.1f} s; is it unplugged?"
                )
            start = start if count else now
            read = partial(np.asarray, picture, np.uint8)
            yield VideoFrame(count, round(now - start, 6), read)
            count += 1
    finally:
        camera.release()
