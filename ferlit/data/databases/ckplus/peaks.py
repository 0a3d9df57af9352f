"""Which frame of a CK+ sequence is the peak: what the files' names tell about it, compared."""

import re
from collections.abc import Collection
from pathlib import Path

_REMEDY = "unpack the archives of the database anew"


def frame_in(name: str, sequence: str, ending: str) -> int | None:
    """The number of the frame in a file's name; None where it is not that of such a file.

    >>> frame_in("S005_001_00000011_emotion.txt", "S005_001", "_emotion.txt")
    11
    """
    match = re.fullmatch(rf"{sequence}_(\d{{1,9}}){re.escape(ending)}", name, re.ASCII)
    return int(match[1]) if match else None


def doubt_of_peak(
    root: Path, folder: Path, sequence: str, peak: int, frames: Collection[int], count: int
) -> str:
    """Why the last images of a sequence may not be its peak and the frames before it.

    Args:
        root: The folder of the database.
        folder: Of the sequence, below ``FACS`` and ``Landmarks``.
        sequence: Its name.
        peak: The frame that the emotion file's name tells.
        frames: Of the images.
        count: How many of the last frames are wanted.

    Returns:
        The reason, "" where all agree.
    """
    told = f"its name tells that frame {peak} is the peak, but"
    if max(frames) != peak:
        return f"{told} the last image is that of frame {max(frames)}; {_REMEDY}"
    if missing := set(range(max(1, peak - count + 1), peak)) - set(frames):
        return f"the image of frame {min(missing)}, one of the last {count}, is missing; {_REMEDY}"
    for part, ending in (("FACS", "_facs.txt"), ("Landmarks", "_landmarks.txt")):
        place = root / part / folder
        found = [frame_in(p.name, sequence, ending) for p in place.glob("*")]
        numbers = {number for number in found if number is not None}
        # The one FACS file is of the peak; landmarks may be missing, but there are none after it.
        other = numbers - {peak} if part == "FACS" else {n for n in numbers if n > peak}
        if other:
            return f"{told} the folder {part} has frame {max(other)}; {_REMEDY}"
    return ""
