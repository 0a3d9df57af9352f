"""The middle three frames of a video, where it is certain which they are."""

import logging
from pathlib import Path

from ferlit.data.databases.mmi.annotations import has_suffix, last_marker
from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.video_files import check_avi
from ferlit.data.media.video_plan import plan_of
from ferlit.data.media.videos import VideoFrame, read_frames

logger = logging.getLogger(__name__)


def middle_frames(video: Path) -> range:
    """The middle three frames.

    Raises:
        UnreadableImageError: the video is too short, or it is not certain that these are the
            middle, or one of them is lost.
    """
    check_avi(video)
    plan = plan_of(video)
    there, promised = len(plan.slots), plan.promised
    if plan.frames < 3:
        raise UnreadableImageError(f"only {plan.frames} frames; the middle three are needed")
    if not plan.is_told and there != promised:
        told = f"its header tells {promised} frames" if promised else "no header tells how many"
        raise UnreadableImageError(
            f"{told}, {there} are there and no index has their places, so the middle is not certain"
        )
    middle = range(there // 2 - 1, there // 2 + 2)
    if promised and promised // 2 != there // 2:
        raise UnreadableImageError(
            f"its header tells {promised} frames and its index {there}; the middle is not certain"
        )
    lost: list[VideoFrame] = []
    count = 0
    for frame in read_frames(video, plan):
        count = frame.number + frame.length
        if frame.read is None:
            lost.append(frame)
    for frame in lost:
        if frame.number < middle.stop and frame.number + frame.length > middle.start:
            raise UnreadableImageError(
                f"frame {frame.number} of {there}, one of the middle three, is lost: "
                f"{frame.problem}"
            )
    if count != plan.frames:
        raise UnreadableImageError(
            f"{plan.frames} frames are there, but they make {count} pictures; the middle is not "
            "certain"
        )
    if lost:
        logger.warning(
            "%s: %d of %d frames are lost, but none of the middle three; the first is %d (%s)",
            *(video, sum(frame.length for frame in lost), count),
            *(lost[0].number, lost[0].problem),
        )
    for path in sorted(video.parent.iterdir()):
        if path.stem.startswith(f"{video.stem}-") and has_suffix(path, ".xml"):
            marker = last_marker(path)
            if marker > plan.frames:
                logger.warning(
                    "%s: it marks frame %d, but the video has %d; are frames missing, so that "
                    "its middle is another?",
                    *(path, marker, plan.frames),
                )
    return middle
