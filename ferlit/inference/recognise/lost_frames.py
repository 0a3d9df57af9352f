"""What was lost of a source: frames of a video, by their numbers."""

from ferlit.inference.recognise.sources import Frame

_MOST = 12  # runs of frames that a message names


class LostFrames:
    """Collects the frames of a video that are lost.

    Args:
        source: Name of the video.

    >>> from ferlit.inference.recognise.sources import find_sources
    >>> (film,), _ = find_sources(["0"])
    >>> lost = LostFrames("film.avi")
    >>> for number, problem in enumerate(["", "damaged", "damaged", "", "not found"]):
    ...     lost.add(Frame(film, number, None, error=problem, lost=int(problem != "")))
    >>> lost.text()
    'film.avi: 3 of 5 frames are lost: 1-2 (damaged), 4 (not found); all others were recognised'
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.runs: list[tuple[int, int, str]] = []  # first number, number after it, problem
        self.frames = 0
        self.lost = 0
        self.unknown = ""  # why it is not known how many are lost

    def __bool__(self) -> bool:
        return bool(self.lost or self.unknown)

    def add(self, frame: Frame) -> None:
        """Add a frame, lost or not."""
        if frame.number is None:
            return
        end = frame.number + (frame.lost if frame.error else 1)
        self.frames = max(self.frames, end)
        self.lost += frame.lost
        if frame.error and not frame.lost:
            self.unknown = frame.error
        elif frame.error:
            if self.runs and self.runs[-1][1:] == (frame.number, frame.error):
                self.runs[-1] = (self.runs[-1][0], end, frame.error)
            else:
                self.runs.append((frame.number, end, frame.error))

    def text(self) -> str:
        """What a message says of it."""
        parts = []
        if self.lost:
            named = ", ".join(
                f"{first if end == first + 1 else f'{first}-{end - 1}'} ({problem})"
                for first, end, problem in self.runs[:_MOST]
            )
            more = ", ..." if len(self.runs) > _MOST else ""
            parts.append(f"{self.lost} of {self.frames} frames are lost: {named}{more}")
        if self.unknown:
            parts.append(
                f"{self.unknown}, so that frames may be missing unseen and the numbers after them "
                "be too low"
            )
        return f"{self.source}: {'; '.join(parts)}; all others were recognised"
