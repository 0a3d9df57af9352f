"""The frames of a video file, each with its true number, and those that are lost by name.

A frame is lost where its data are missing or damaged, and also where the frame that it rests on is:
most codecs store what changes, up to the next key frame. FFmpeg would show all of these, with the
pictures of others in their place.
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ferlit.data.media.video_files import opened
from ferlit.data.media.video_plan import Plan, plan_of

_UNCHANGED = 16  # bytes; a shorter packet may say that the picture stays as it is
_MOST_DELAY = 16  # frames that may be stored between one and its turn
_LATE = ("h264", "hevc", "vvc")  # the decoder finds only on the way how long it has to wait


class VideoFrame(NamedTuple):
    """A frame of a video, or several in a row that are lost for one reason.

    Args:
        number: From 0; those that are lost count.
        time: In seconds from the start of the video.
        read: Gives it as (H, W, 3) BGR; None where it is lost.
        problem: Why it is lost.
        length: How many are lost.
    """

    number: int
    time: float
    read: Callable[[], NDArray[np.uint8]] | None
    problem: str = ""
    length: int = 1


def read_frames(path: Path, plan: Plan | None = None) -> Iterator[VideoFrame]:
    """The frames of a video in the order in which they are shown.

    Args:
        path: A file that `ferlit.data.media.video_files.is_video`.
        plan: What its container tells, if that was read before.

    Yields:
        Every frame that the video should have, those that are lost among them.

    Raises:
        UnreadableImageError: it cannot be opened. The message does not name it.
    """
    plan = plan or plan_of(path)
    turn = _Turn(plan)
    with opened(path) as (container, stream):
        context = stream.codec_context
        context.options = {"err_detect": "explode"}
        context.copy_opaque = True
        is_prompt = plan.is_complete and context.name not in _LATE
        packets = (packet for packet in container.demux(stream) if packet.size > 0)
        for packet, slot in zip(packets, plan.order, strict=False):
            # An object for each packet: PyAV tells them apart by their identity.
            packet.opaque = _Tag(slot, packet.is_keyframe)
            try:
                decoded = packet.decode()
            except (av.FFmpegError, ValueError):
                turn.lose(slot, "it is damaged")
                continue
            if not decoded and packet.size < _UNCHANGED:
                turn.skip(slot)
            elif not decoded and is_prompt and not context.has_b_frames:
                turn.lose(slot, "no picture comes of it")
            for frame in decoded:
                yield from turn.shown(frame, is_in_order=not context.has_b_frames)
        try:
            left = stream.decode(None)
        except (av.FFmpegError, ValueError):
            left = []
        for frame in left:
            yield from turn.shown(frame, is_in_order=False)
    yield from turn.rest()


class _Tag(NamedTuple):
    """Goes with a packet through the decoder to its frame."""

    slot: int | None
    is_key: bool


class _Turn:
    """Puts the frames that come out of the decoder, and those that do not, into one row."""

    def __init__(self, plan: Plan) -> None:
        times = [slot.time for slot in plan.slots]
        shown = list(range(len(times)))
        known = [time for time in times if time is not None]
        self.is_timed = len(set(known)) == len(times)
        if self.is_timed:
            shown.sort(key=known.__getitem__)
        self.plan = plan
        self.problems = {k: slot.problem for k, slot in enumerate(plan.slots) if slot.problem}
        self.rank = {slot: rank for rank, slot in enumerate(shown)}
        self.waiting = deque(shown)
        self.done: set[int] = set()
        self.quiet: set[int] = set()  # of which no picture may come
        self.number = 0  # of the next frame
        self.lost = sorted(self.problems)
        self.key: int | None = None  # the slot of the last key frame that was shown
        self.reformatter = VideoReformatter()

    def lose(self, slot: int | None, problem: str) -> None:
        """Nothing good comes of a slot's packet."""
        if slot is not None and slot not in self.problems:
            self.problems[slot] = problem
            insort(self.lost, slot)

    def skip(self, slot: int | None) -> None:
        """A slot's packet says that the picture stays as it is."""
        if slot is not None:
            self.quiet.add(slot)

    def shown(self, frame: av.VideoFrame, *, is_in_order: bool) -> Iterator[VideoFrame]:
        """A frame came out of the decoder; whatever should have come before it is lost."""
        tag = frame.opaque
        if not isinstance(tag, _Tag) or tag.slot is None or tag.slot in self.done:
            return
        slot = tag.slot
        if frame.is_corrupt:
            self.lose(slot, "it is damaged")
        is_sure = self.is_timed or is_in_order or frame.key_frame
        yield from self._lost_before(self.rank[slot], is_sure=is_sure)
        starts = frame.key_frame or (self.key is None and tag.is_key)
        if starts and slot not in self.problems:
            self.key = slot
        problem = self.problems.get(slot) or self._spoilt(slot)
        if not problem and not self.is_timed and not is_in_order and self._may_follow_lost(slot):
            problem = "its number is not certain"
        if problem:
            yield self._lost(slot, problem)
            return
        self.done.add(slot)
        yield VideoFrame(self.number, self._time(slot), partial(self._picture, frame))
        self.number += 1

    def rest(self) -> Iterator[VideoFrame]:
        """All frames that never came."""
        yield from self._lost_before(len(self.plan.slots), is_sure=True)
        tail = self.plan.promised - len(self.plan.slots)
        if tail > 0:
            problem = "the file should have it, and ends before"
            yield VideoFrame(self.number, self._time(None), None, problem, tail)

    def _lost_before(self, rank: int, *, is_sure: bool) -> Iterator[VideoFrame]:
        while self.waiting and self.rank[self.waiting[0]] < rank:
            slot = self.waiting[0]
            if slot not in self.done:
                problem = self.problems.get(slot)
                if problem is None and self.plan.is_complete and slot not in self.quiet:
                    if not is_sure:
                        return  # it may come yet
                    problem = "no picture comes of it"
                if problem is not None:
                    yield self._lost(slot, problem)
            self.waiting.popleft()

    def _spoilt(self, slot: int) -> str:
        """Why a frame that was decoded is not the right one."""
        if self.key is None:
            return "no key frame comes before it"
        place = bisect_left(self.lost, slot)
        for lost in reversed(self.lost[bisect_right(self.lost, self.key) : place]):
            if self.rank[lost] > self.rank[self.key]:
                return "it rests on one that is lost"
        return ""

    def _may_follow_lost(self, slot: int) -> bool:
        """Whether one that is lost may be shown before a frame that is stored before it."""
        start, end = bisect_right(self.lost, slot), bisect_right(self.lost, slot + _MOST_DELAY)
        return not self.done.issuperset(self.lost[start:end])

    def _lost(self, slot: int, problem: str) -> VideoFrame:
        frame = VideoFrame(self.number, self._time(slot), None, problem)
        self.lose(slot, problem)
        self.done.add(slot)
        self.number += 1
        return frame

    def _time(self, slot: int | None) -> float:
        known = None if slot is None else self.plan.slots[slot].time
        if known is None and self.number < len(self.plan.clock):
            known = self.plan.clock[self.number]
        return round(self.number / self.plan.rate if known is None else known, 6)

    def _picture(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """As OpenCV reads it, to the last bit; upright, as the container says."""
        colour = self.reformatter.reformat(frame, format="bgr24", interpolation="BICUBIC")
        picture = np.asarray(colour.to_ndarray(), dtype=np.uint8)
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
