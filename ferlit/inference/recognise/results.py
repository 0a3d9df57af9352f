"""What is recognised: in a frame its faces, in a sequence one expression."""

from typing import NamedTuple, Protocol

from ferlit.data.records import SequenceRule
from ferlit.inference.recognise.sources import Frame
from ferlit.inference.recogniser import Face


class FrameResult(NamedTuple):
    """A picture or frame with its faces, the largest first."""

    frame: Frame
    faces: list[Face]


class SequenceResult(NamedTuple):
    """What a sequence shows."""

    source: str  # the video or the folder
    rule: SequenceRule
    frames: int
    with_face: int  # of the frames
    label: str  # "" where no frame has a face
    scores: dict[str, float]  # of each class the highest or the mean probability, by the rule
    lost: int = 0  # frames that could not be read, which are not among ``frames``

    @property
    def score(self) -> float | None:
        """The highest of the scores, which is the label's; None where no frame has a face."""
        return max(self.scores.values(), default=None)


Result = FrameResult | SequenceResult


class ResultWriter(Protocol):
    """Where results go."""

    def write(self, item: Result) -> None: ...
    def close(self) -> None:
        """Finish what was written; also after an interruption."""
        ...
