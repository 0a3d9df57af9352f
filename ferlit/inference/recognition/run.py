"""The sources of a command line recognised one after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from ferlit.data.faces.flatness import FlatFaceError
from ferlit.data.media.errors import UnreadableImageError
from ferlit.evaluation.metrics import Rule
from ferlit.inference.finding import Cut
from ferlit.inference.recogniser import BATCH, Recogniser, batched
from ferlit.inference.recognition.clips import Votes, missing_numbers
from ferlit.inference.recognition.losses import Losses
from ferlit.inference.recognition.outputs import Write
from ferlit.inference.recognition.rows import Result
from ferlit.inference.recognition.sources import Frame, Source, frames_of
from ferlit.inference.recognition.video import measure


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
    rule_of: Callable[[Source], Rule | None],
    progress: Progress,
) -> Failures:
    """Recognise everything, a few frames in memory at a time.

    Args:
        recogniser: Does it.
        sources: The pictures first, see `ferlit.inference.recognition.sources.find_sources`.
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
        votes: dict[str, Votes] = {}
        losses = Losses(job.name)
        is_live = job.sources[0].kind == "camera"
        try:
            for read in batched(frames_of(job.sources), 1 if is_live else BATCH):
                frames, cuts = zip(*(_find(recogniser, frame) for frame in read), strict=True)
                good = [
                    of_frame
                    for of_frame, frame in zip(cuts, frames, strict=True)
                    if frame.grey is not None
                ]
                faces = iter(recogniser.classify(good))
                for frame in frames:
                    if frame.grey is None and frame.number is None:
                        failures.unread.append(frame.source.name)
                        say(frame.error)
                    losses.add(frame)
                    found = [] if frame.grey is None else next(faces)
                    write(Result(frame, found))
                    rule = rule_of(frame.source)
                    if rule is not None:
                        clip = frame.source.clip
                        if clip not in votes:
                            votes[clip] = Votes(clip, recogniser.classes, rule)
                        if frame.grey is None:
                            votes[clip].miss(frame.lost or int(frame.source.kind == "picture"))
                        else:
                            votes[clip].add(found)
                progress.advance(task, sum(frame.lost or 1 for frame in frames))
        except KeyboardInterrupt:
            if not is_live:  # there is no other way to end a camera
                raise
        for of_clip in votes.values():
            if of_clip.frames:
                write(of_clip.answer())
        for text in _gaps(job, votes):
            say(text)
        if losses:
            failures.incomplete.append(job.name)
            say(losses.text())
        progress.update(task, visible=len(job.sources) > 1)
    return failures


def _gaps(job: _Job, clips: Iterable[str]) -> Iterator[str]:
    """What is to be said of folders of frames that are answered as a whole."""
    for clip in clips:
        names = [
            source.place.name
            for source in job.sources
            if source.kind == "picture" and source.clip == clip and isinstance(source.place, Path)
        ]
        missing = missing_numbers(names)
        if missing:
            some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            yield (
                f"{clip}: the answer is without {len(missing)} frames whose numbers are missing: "
                f"{some}"
            )


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
        if isinstance(source.place, Path):
            try:
                total = measure(source.place)[0] or None
            except UnreadableImageError:
                total = None  # it is reported when it is read
        yield _Job(source.name, [source], total)
