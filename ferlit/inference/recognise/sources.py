"""What the command line names: pictures, patterns, folders, videos and cameras, as frames."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.kinds import KINDS, kind_of_content, kind_of_name, not_read, read_head
from ferlit.data.media.video_files import is_video
from ferlit.inference.drawing import read_colour
from ferlit.inference.inputs import as_grey
from ferlit.inference.videos import grey_frame, measure, name_of, read_video

# Also of kinds that are not read, so that such a picture fails by name and is not passed over.
PICTURE_ENDINGS = tuple(ending for ending, kind in KINDS.items() if kind.group == "picture")
VIDEO_ENDINGS = (
    *(".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ogv"),
    *(".3gp", ".ts", ".mts"),
)


@dataclass(frozen=True)
class Source:
    """A picture, a video or a camera.

    Args:
        kind: Which of them.
        place: The file, or the number of the camera.
        relative: Its path from the named folder on, itself included; for annotated copies.
    """

    kind: Literal["picture", "video", "camera"]
    place: Path | int
    relative: Path

    @property
    def name(self) -> str:
        """As tables and messages have it."""
        return name_of(self.place)

    @property
    def sequence(self) -> str:
        """The sequence that its frames belong to: the video itself, or the folder of a picture."""
        is_picture = self.kind == "picture" and isinstance(self.place, Path)
        return str(self.place.parent) if is_picture else self.name  # type: ignore[union-attr]

    def frames(self) -> Iterator["Frame"]:
        """Its frames in order.

        Raises:
            UnreadableImageError: it cannot be read.
        """
        if self.kind == "picture" and isinstance(self.place, Path):
            yield Frame(self, None, as_grey(self.place))
            return
        rate = measure(self.place)[1] if isinstance(self.place, Path) else 0.0
        for number, time, read, problem, length in read_video(self.place):
            if read is None:
                yield Frame(self, number, None, time=time, error=problem, lost=length)
            else:
                colour = read()
                yield Frame(self, number, grey_frame(colour), colour, rate, time)


class Frame(NamedTuple):
    """A picture, or one of a video, or several of a video that are lost for one reason."""

    source: Source
    number: int | None  # in the video, from 0
    grey: NDArray[np.uint8] | None  # (H, W); None where it cannot be read
    colour: NDArray[np.uint8] | None = None  # (H, W, 3) BGR, of a video
    rate: float = 0.0  # frames a second, of a video
    time: float | None = None  # seconds since the start of the video or camera
    error: str = ""
    lost: int = 0  # how many frames of the video are

    def picture(self) -> NDArray[np.uint8]:
        """(H, W, 3) BGR, to draw into."""
        if self.colour is not None:
            return self.colour
        assert self.grey is not None  # there are no faces in what cannot be read
        assert isinstance(self.source.place, Path)
        return read_colour(self.source.place, self.grey)


def frames_of(sources: Sequence[Source]) -> Iterator[Frame]:
    """The frames of several sources; one that cannot be read is a frame with an error."""
    for source in sources:
        try:
            yield from source.frames()
        except UnreadableImageError as error:
            yield Frame(source, None, None, error=str(error))


def find_sources(
    arguments: Sequence[str], exclude: Sequence[Path] = ()
) -> tuple[list[Source], list[str]]:
    """What is named: the pictures first, then videos and cameras.

    Args:
        arguments: Files, patterns such as ``'*.png'`` or ``'**/*.jpg'``, folders (all pictures and
            videos below them but for hidden ones) and numbers of cameras.
        exclude: Folders that are left out where a named folder holds them: the annotated copies of
            an earlier run.

    Returns:
        The sources, each once, and the arguments that name nothing.

    >>> find_sources(["0", "no/such.png"])
    ([Source(kind='camera', place=0, relative=PosixPath('camera 0'))], ['no/such.png'])
    """
    found: dict[Path | int, Source] = {}
    missing = []
    for argument in arguments:
        path = Path(argument)
        if path.is_file():
            some = [_file(path, Path(path.name))]
        elif path.is_dir():
            some = list(_sources_in(path, exclude))
        elif argument.isdecimal():
            camera = int(argument)
            some = [Source("camera", camera, Path(name_of(camera)))]
        else:
            matches = map(Path, sorted(glob.glob(argument, recursive=True)))  # noqa: PTH207
            some = [_file(match, Path(match.name)) for match in matches if match.is_file()]
        if not some:
            missing.append(argument)
        for source in some:
            found.setdefault(source.place, source)
    order = ("picture", "video", "camera")
    return sorted(found.values(), key=lambda source: order.index(source.kind)), missing


def not_taken(arguments: Sequence[str], exclude: Sequence[Path] = ()) -> dict[str, str]:
    """What lies in the named folders and looks like pictures, but is no source, with the reason.

    Args:
        arguments: As `find_sources` takes them.
        exclude: Folders that are left out.
    """
    found = {}
    for folder in filter(Path.is_dir, map(Path, arguments)):
        for path, _ in _files_in(folder, exclude):
            kind = kind_of_name(path.name)
            if kind is not None and kind.group in ("drawing", "archive"):
                found[str(path)] = not_read(kind)
    return found


def _sources_in(folder: Path, exclude: Sequence[Path]) -> Iterator[Source]:
    for path, relative in _files_in(folder, exclude):
        if path.suffix.lower() in (*PICTURE_ENDINGS, *VIDEO_ENDINGS) or is_video(path):
            yield _file(path, relative)
        elif kind_of_name(path.name) is None and _is_picture(path):
            yield Source("picture", path, relative)


def _files_in(folder: Path, exclude: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """The files that are not hidden, each as it is named and from the folder's own name on."""
    top = folder.resolve()
    shut = [inner.resolve() for inner in exclude if top in inner.resolve().parents]
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in inside.parts)
        if is_hidden or not path.is_file() or any(path.resolve().is_relative_to(s) for s in shut):
            continue
        yield path, top.name / inside


def _is_picture(path: Path) -> bool:
    """Whether a file whose name does not tell is a picture by its content."""
    kind = kind_of_content(read_head(path))
    return kind is not None and kind.group == "picture"


def _file(path: Path, relative: Path) -> Source:
    has_video = path.suffix.lower() in VIDEO_ENDINGS or is_video(path)
    return Source("video" if has_video else "picture", path, relative)
