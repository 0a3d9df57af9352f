"""The sources of a command line recognised one after the other."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from rich.progress import Progress

from ferlit.data.flatness import FlatFaceError
from ferlit.data.images import UnreadableImageError
from ferlit.evaluation.metrics import Rule
from ferlit.inference.finding import Cut
from ferlit.inference.recogniser import BATCH, Recogniser, batched
from ferlit.inference.recognition.clips import Votes
from ferlit.inference.recognition.outputs import Write
from ferlit.inference.recognition.rows import Result
from ferlit.inference.recognition.sources import Frame, Source, frames_of
from ferlit.inference.recognition.video import measure


class _Job(NamedTuple):
    """All pictures together, or a video, or a camera."""

    name: str
    sources: list[Source]
    total: int | None  # frames


def recognise_sources(
    recogniser: Recogniser,
    sources: Sequence[Source],
    write: Write,
    rule_of: Callable[[Source], Rule | None],
    progress: Progress,
) -> list[str]:
    """Recognise everything, a few frames in memory at a time.

    Args:
        recogniser: Does it.
        sources: The pictures first, see `ferlit.inference.recognition.sources.find_sources`.
        write: Gets a result for each frame and, after a video or all pictures, their answers.
        rule_of: How the frames of a source vote; None for no answer.
        progress: Shows where it is, and says what cannot be read.

    Returns:
        The names of the sources that could not be read.
    """
    failed = []
    for job in _jobs(sources):
        task = progress.add_task(job.name, total=job.total)
        votes: dict[str, Votes] = {}
        is_live = job.sources[0].kind == "camera"
        try:
            for read in batched(frames_of(job.sources), 1 if is_live else BATCH):
                found = [_find(recogniser, frame) for frame in read]
                frames = [frame for frame, _ in found]
                bad = [frame for frame in frames if frame.grey is None]
                for frame in bad:
                    failed.append(frame.source.name)
                    progress.console.print(frame.error, markup=False, soft_wrap=True)
                good = [frame for frame in frames if frame.grey is not None]
                cuts = [cuts for frame, cuts in found if frame.grey is not None]
                for frame, faces in zip(good, recogniser.classify(cuts), strict=True):
                    write(Result(frame, faces))
                    rule = rule_of(frame.source)
                    if rule is not None:
                        clip = frame.source.clip
                        if clip not in votes:
                            votes[clip] = Votes(clip, recogniser.classes, rule)
                        votes[clip].add(faces)
                progress.advance(task, len(frames))
        except KeyboardInterrupt:
            if not is_live:  # there is no other way to end a camera
                raise
        for of_clip in votes.values():
            write(of_clip.answer())
        progress.update(task, visible=len(job.sources) > 1)
    return failed


def _find(recogniser: Recogniser, frame: Frame) -> tuple[Frame, list[Cut]]:
    """The faces of a frame; a picture that is to be one and is plain becomes unreadable."""
    if frame.grey is None:
        return frame, []
    try:
        return frame, recogniser.find_faces(frame.grey)
    except FlatFaceError as error:
        if frame.source.kind != "picture":
            return frame, []  # films begin and end in black
        return frame._replace(grey=None, error=f"{frame.source.name}: {error}"), []


def _jobs(sources: Sequence[Source]) -> Iterator[_Job]:
    pictures = [source for source in sources if source.kind == "picture"]
    if pictures:
        yield _Job("pictures", pictures, len(pictures))
    for source in sources[len(pictures) :]:
        total = None
        if source.kind == "video":
            try:
                total = measure(source.place)[0] or None
            except UnreadableImageError:
                total = None  # it is reported when it is read
        yield _Job(source.name, [source], total)
