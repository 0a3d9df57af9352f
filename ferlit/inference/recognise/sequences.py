"""One answer for a sequence of frames: a video, or the pictures of a folder.

The frames vote by the rule of the evaluation (Liu et al. 2017, Sec. 5.3): each by its largest face,
as nobody is followed from frame to frame. A frame without a face has no vote.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch

from ferlit.data.records import SequenceRule
from ferlit.evaluation.metrics import sequence_predictions
from ferlit.inference.recognise.results import SequenceResult
from ferlit.inference.recogniser import UNSURE, Face

_NUMBERED = re.compile(r"(.*?)(\d{1,12})", re.ASCII | re.DOTALL)


class SequenceVotes:
    """Collects the frames of a sequence.

    Args:
        source: Name of the video or folder.
        classes: The K expressions.
        rule: "max" or "mean", see `ferlit.evaluation.metrics.sequence_predictions`.
        least: Where the expression's probability is lower, the answer is "unsure".

    >>> votes = SequenceVotes("film.avi", ["anger", "fear"], "max")
    >>> votes.add([Face((0, 0, 9, 9), None, "fear", {"anger": 0.2, "fear": 0.8}, None)])
    >>> votes.add([])
    >>> votes.result()[2:5]
    (2, 1, 'fear')
    """

    def __init__(
        self, source: str, classes: Sequence[str], rule: SequenceRule, least: float = 0.0
    ) -> None:
        self.source = source
        self.classes = tuple(classes)
        self.rule = rule
        self.least = least
        self.frames = 0
        self.lost = 0
        self.probabilities: list[tuple[float, ...]] = []

    def add(self, faces: Sequence[Face]) -> None:
        """Add a frame with its faces, the largest first."""
        self.frames += 1
        if faces:
            self.probabilities.append(tuple(faces[0].probabilities.values()))

    def miss(self, frames: int) -> None:
        """Some frames could not be read, and have no vote."""
        self.lost += frames

    def result(self) -> SequenceResult:
        """What the frames so far show."""
        voters = len(self.probabilities)
        label, scores = "", {}
        if voters:
            votes = np.array(self.probabilities)
            _, winner = sequence_predictions(
                torch.from_numpy(votes), torch.zeros(voters, dtype=torch.long), self.rule
            )
            label = self.classes[int(winner[0])]
            each = votes.max(axis=0) if self.rule == "max" else votes.mean(axis=0)
            scores = dict(zip(self.classes, each.tolist(), strict=True))
            label = label if scores[label] >= self.least else UNSURE
        return SequenceResult(self.source, self.rule, self.frames, voters, label, scores, self.lost)


def missing_numbers(names: Sequence[str]) -> list[str]:
    """Files that numbered frames of one folder leave out between the first and the last.

    Args:
        names: Of the files; what has no number at its end, or only one of its kind, does not count.

    Returns:
        Their names; none where the numbers go in equal steps, or leave out more than they have.

    >>> missing_numbers(["frame_001.png", "frame_003.png", "frame_004.png", "notes.png"])
    ['frame_002.png']
    >>> missing_numbers(["a10.png", "a20.png", "a30.png"])
    []
    """
    kinds: dict[tuple[str, str], dict[int, int]] = {}
    for name in names:
        stem, dot, ending = name.rpartition(".")
        match = _NUMBERED.fullmatch(stem)
        if match is not None:
            kinds.setdefault((match[1], dot + ending), {})[int(match[2])] = len(match[2])
    missing = []
    for (start, end), widths in kinds.items():
        numbers = sorted(widths)
        steps = [after - before for before, after in pairwise(numbers)]
        if not steps:
            continue
        every = range(numbers[0], numbers[-1], min(steps))
        if len(every) > 2 * len(numbers) or any(step % min(steps) for step in steps):
            continue
        width = min(widths.values())
        missing += [f"{start}{each:0{width}}{end}" for each in every if each not in widths]
    return missing
