"""The sources of a command line recognised one after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from ferlit.data.faces.flatness import FlatFaceError
from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.records import SequenceRule
from ferlit.inference.finding import RegisteredFace
from ferlit.inference.recognise.lost_frames import LostFrames
from ferlit.inference.recognise.outputs import Write
from ferlit.inference.recognise.results import FrameResult
from ferlit.inference.recognise.sequences import SequenceVotes, missing_numbers
from ferlit.inference.recognise.sources import Frame, Source, frames_of
from ferlit.inference.recogniser import BATCH, Recogniser, batched
from ferlit.inference.videos import measure


class _Job(NamedTuple):
    """All pictures together, or a video, or a camera."""

    name: str
    sources: list[Source]
    total: int | None  # frames


class Failures(NamedTuple):
    """What went wrong, by the names of the sources."""

    unread: list[str]
    incomplete: list[str]  # videos that lost frames


def recognise_sources(
    recogniser: Recogniser,
    sources: Sequence[Source],
    write: Write,
    rule_of: Callable[[Source], SequenceRule | None],
    progress: Progress,
) -> Failures:
    """Recognise everything, a few frames in memory at a time.

    Args:
        recogniser: Does it.
        sources: The pictures first, see `ferlit.inference.recognise.sources.find_sources`.
        write: Gets a result for each frame (those that are lost, too) and, after a video or all
            pictures, their answers.
        rule_of: How the frames of a source vote; None for no answer.
        progress: Shows where it is, and says what cannot be read.

    Returns:
        The sources that could not be read, or not as a whole.
    """
    failures = Failures([], [])

    def say(text: str) -> None:
        progress.console.print(text, markup=False, soft_wrap=True)

    for job in _jobs(sources):
        task = progress.add_task(job.name, total=job.total)
        votes: dict[str, SequenceVotes] = {}
        lost = LostFrames(job.name)
        is_live = job.sources[0].kind == "camera"
        try:
            for read in batched(frames_of(job.sources), 1 if is_live else BATCH):
                frames, found = zip(*(_find(recogniser, frame) for frame in read), strict=True)
                good = [
                    of_frame
                    for of_frame, frame in zip(found, frames, strict=True)
                    if frame.grey is not None
                ]
                faces = iter(recogniser.classify(good))
                for frame in frames:
                    if frame.grey is None and frame.number is None:
                        failures.unread.append(frame.source.name)
                        say(frame.error)
                    lost.add(frame)
                    recognised = [] if frame.grey is None else next(faces)
                    write(FrameResult(frame, recognised))
                    rule = rule_of(frame.source)
                    if rule is not None:
                        name = frame.source.sequence
                        if name not in votes:
                            votes[name] = SequenceVotes(
                                name, recogniser.classes, rule, recogniser.least
                            )
                        if frame.grey is None:
                            votes[name].miss(frame.lost or int(frame.source.kind == "picture"))
                        else:
                            votes[name].add(recognised)
                progress.advance(task, sum(frame.lost or 1 for frame in frames))
        except KeyboardInterrupt:
            if not is_live:  # there is no other way to end a camera
                raise
        for of_sequence in votes.values():
            if of_sequence.frames:
                write(of_sequence.result())
        for text in _gaps(job, votes):
            say(text)
        if lost:
            failures.incomplete.append(job.name)
            say(lost.text())
        progress.update(task, visible=len(job.sources) > 1)
    return failures


def _gaps(job: _Job, sequences: Iterable[str]) -> Iterator[str]:
    """What is to be said of folders of frames that are answered as a whole."""
    for name in sequences:
        names = [
            source.place.name
            for source in job.sources
            if source.kind == "picture"
            and source.sequence == name
            and isinstance(source.place, Path)
        ]
        missing = missing_numbers(names)
        if missing:
            some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            yield (
                f"{name}: the answer is without {len(missing)} frames whose numbers are missing: "
                f"{some}"
            )


def _find(recogniser: Recogniser, frame: Frame) -> tuple[Frame, list[RegisteredFace]]:
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
        if isinstance(source.place, Path):
            try:
                total = measure(source.place)[0] or None
            except UnreadableImageError:
                total = None  # it is reported when it is read
        yield _Job(source.name, [source], total)
