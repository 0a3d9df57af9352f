"""Which frames a video should have: told by its container before any of them is decoded.

FFmpeg passes over what is damaged and numbers what is left. The container knows better: an AVI or
MP4 file has an index with a place for each frame, an AVI file a count in its header as well, and in
the others the times of the frames show a hole where the demuxer complained.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import av
import av.logging
from av.container import InputContainer
from av.video.stream import VideoStream

from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.video_files import heard, opened

_AVI, _MOV = "avi", "mov,mp4,m4a,3gp,3g2,mj2"
_STREAMS = ("mpeg", "mpegts")
_STEADY = ("mpeg1video", "mpeg2video")  # a frame each so many ticks, by their standards
_FROM_ZERO = ("asf", "flv", "matroska,webm")
_WITH_HIDDEN = ("vp8", "vp9", "av1", "libdav1d", "libvpx", "libvpx-vp9")
_IN_FIELDS = ("h264", "hevc")  # a packet may be half a frame
_CHUNK_HEAD = 8  # bytes of AVI between what the index points to and the frame itself
_PACKETS = (188, 192, 204)  # bytes of a packet of MPEG-TS, of which a whole file has full ones
_USUAL_RATE = 25.0
_MOST_MISSING = 100_000  # frames; with more, a time is wrong
_MOST_HOLES = 0.1  # of the frames; with more, the rate is not a constant one


class Slot(NamedTuple):
    """The place of a frame.

    Args:
        time: In seconds from the start; None where the container does not tell.
        problem: Why the frame is not there; "" where it is.
    """

    time: float | None
    problem: str = ""


class Plan(NamedTuple):
    """What a video should have.

    Args:
        slots: In the order of the file, which is that of decoding.
        order: The slot of each packet that the file has; None for one that is not to be shown.
        promised: How many frames the container tells that it has; 0 where it does not.
        rate: Frames a second.
        is_told: An index that was written with the frames tells them, so that each has its number
            whatever is lost.
        is_complete: Each slot has a picture; some codecs have packets that are never shown.
        complaint: What is wrong with a container that has no index.
        clock: When each frame is shown, where slots have no times of their own.
    """

    slots: list[Slot]
    order: list[int | None]
    promised: int
    rate: float
    is_told: bool
    is_complete: bool
    complaint: str
    clock: tuple[float, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames the video should have."""
        return max(len(self.slots), self.promised)


class _Packet(NamedTuple):
    place: int | None  # in the file
    ticks: int | None  # when it is shown
    is_shown: bool
    is_whole: bool


def plan_of(path: Path) -> Plan:
    """Read a video's container; nothing is decoded, so it takes a hundredth of the time.

    Raises:
        UnreadableImageError: the file cannot be opened, or has no pictures. The message does not
            name it.
    """
    stat = path.stat()
    return _plan_of(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=4)
def _plan_of(path: Path, size: int, _modified: int) -> Plan:
    """The time and size make a changed file a new one."""
    with heard() as messages, opened(path) as (container, stream):
        known = len(stream.index_entries)  # FFmpeg adds what it finds where there is no index
        packets = _packets(container, stream)
        kind = container.format.name
        codec = stream.codec_context.name
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        rate = rate if 1 <= rate <= 1000 else _USUAL_RATE
        complaint = next((text.strip() for _, name, text in messages if name == kind), "")
        if kind == "mpegts" and not complaint and all(size % each for each in _PACKETS):
            complaint = "the file ends within a packet"
        is_complete = kind == _MOV or not (
            codec in _WITH_HIDDEN or (kind in _STREAMS and codec in _IN_FIELDS)
        )
        order = _in_turn(packets)
        slots = _slots(packets, stream, kind, is_damaged=bool(complaint))
        if kind in (_AVI, _MOV):
            entries = stream.index_entries
            places = [each.pos for each in entries if each.size > 0 and not each.is_discard]
            indexed = _by_index(packets, places, slots, size)
            is_told = indexed is not None and known == len(entries)
            slots, order = indexed or (slots, order)
            promised = 0
            clock: tuple[float, ...] = ()
            if kind == _AVI:
                ticks = [each.timestamp for each in entries]
                # Empty chunks, which the index is without, stand for the picture before them.
                empty = max(ticks, default=-1) + 1 - len(ticks)
                clock = tuple(each / rate for each in ticks) if is_told else ()
                rate *= len(ticks) / (len(ticks) + empty) if ticks else 1
                promised = 0 if empty and is_told else max(stream.frames - empty, 0)
                if is_told and not _fits(path, [(each.pos, each.size) for each in entries[:3]]):
                    raise UnreadableImageError("the index of the video does not fit its frames")
            return Plan(slots, order, promised, rate, is_told, is_complete, "", clock)
        is_damaged = bool(complaint) or not all(each.is_whole for each in packets)
        promised = 0
        if is_damaged or (kind in _STREAMS and codec in _STEADY):
            slots, order, promised = _by_time(
                slots, order, _end(container, stream) if is_damaged else None, from_zero=is_damaged
            )
        return Plan(slots, order, promised, rate, False, is_complete, complaint)


def _packets(container: InputContainer, stream: VideoStream) -> list[_Packet]:
    packets: list[_Packet] = []
    try:
        packets.extend(
            _Packet(
                packet.pos,
                packet.dts if packet.pts is None else packet.pts,
                not packet.is_discard,
                not packet.is_corrupt,
            )
            for packet in container.demux(stream)
            if packet.size > 0
        )
    except av.FFmpegError as error:
        av.logging.log(av.logging.ERROR, container.format.name, str(error))
    return packets


def _slots(
    packets: Sequence[_Packet], stream: VideoStream, kind: str, *, is_damaged: bool
) -> list[Slot]:
    """A slot for each packet that is shown."""
    ticks = [each.ticks for each in packets if each.ticks is not None]
    start = 0 if is_damaged and kind in _FROM_ZERO else min(ticks, default=0)
    tick = float(stream.time_base or 0)
    # AVI has numbers of frames in place of times, and they are wrong behind what is lost.
    return [
        Slot(
            None if each.ticks is None or kind == _AVI else (each.ticks - start) * tick,
            "" if each.is_whole else "its data are not whole",
        )
        for each in packets
        if each.is_shown
    ]


def _end(container: InputContainer, stream: VideoStream) -> float | None:
    """When the video should end, in seconds."""
    if stream.duration is not None:
        return float(stream.duration * (stream.time_base or 0))
    if len(container.streams) == 1 and container.duration is not None:
        return container.duration / av.time_base
    return None


def _in_turn(packets: Sequence[_Packet]) -> list[int | None]:
    numbers = iter(range(len(packets)))
    return [next(numbers) if packet.is_shown else None for packet in packets]


def _by_index(
    packets: Sequence[_Packet], places: Sequence[int], slots: Sequence[Slot], size: int
) -> tuple[list[Slot], list[int | None]] | None:
    """A slot for each entry of the index; None where it does not fit what the file has."""
    numbers = {place: number for number, place in enumerate(places)}
    shift = 0 if packets and packets[0].place in numbers else _CHUNK_HEAD
    order = [
        None if packet.place is None or not packet.is_shown else numbers.get(packet.place - shift)
        for packet in packets
    ]
    found = [number for number in order if number is not None]
    if len(found) != len(slots) or len(set(found)) != len(found) or not found:
        return None
    planned = [
        Slot(
            None, "its place is beyond the end of the file" if place >= size else "it is not found"
        )
        for place in places
    ]
    for number, slot in zip(found, slots, strict=True):
        planned[number] = slot
    return planned, order


def _fits(path: Path, entries: Sequence[tuple[int, int]]) -> bool:
    """Whether the first entries of an AVI index are chunks of their size.

    FFmpeg shifts the whole index where the first chunk is not found.
    """
    found = 0
    with path.open("rb") as file:
        for place, size in entries:
            file.seek(place)
            found += file.read(_CHUNK_HEAD)[4:] == size.to_bytes(4, "little")
    return found > 0


def _by_time(
    slots: Sequence[Slot], order: Sequence[int | None], end: float | None, *, from_zero: bool
) -> tuple[list[Slot], list[int | None], int]:
    """Slots for the holes between the times, where these are steady, and the frames after them."""
    times = sorted(slot.time for slot in slots if slot.time is not None)
    steps = [after - before for before, after in pairwise(times)]
    period = median(steps) if steps else 0.0
    is_steady = period > 0 and len(times) == len(slots)
    holes = {
        after: round((after - before) / period) - 1
        for before, after in pairwise(times)
        if is_steady and after - before > 1.5 * period
    }
    if from_zero and is_steady and times[0] > 0.5 * period:
        holes[times[0]] = round(times[0] / period)
    is_likely = len(holes) <= max(1, _MOST_HOLES * len(times))
    if not is_steady or not is_likely or sum(holes.values()) > _MOST_MISSING:
        return list(slots), list(order), 0
    planned: list[Slot] = []
    moved: list[int] = []
    for slot in slots:
        missing = holes.pop(slot.time, 0) if slot.time is not None else 0
        planned.extend(
            Slot((slot.time or 0.0) - step * period, "it is not found")
            for step in range(missing, 0, -1)
        )
        moved.append(len(planned))
        planned.append(slot)
    tail = 0 if end is None else max(round((end - times[-1]) / period) - 1, 0)
    moved_order = [None if each is None else moved[each] for each in order]
    return planned, moved_order, len(planned) + tail if tail else 0
