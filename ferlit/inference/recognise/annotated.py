"""Annotated pictures and videos as outputs: one picture, one video, or a folder of them."""

from collections.abc import Collection
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ferlit.errors import DataError
from ferlit.inference.drawing import annotate, placeholder
from ferlit.inference.recognise.results import FrameResult, Result, SequenceResult
from ferlit.inference.recognise.sources import Frame, Source

# Motion JPEG is in every build of OpenCV, and a file that was cut short can still be played.
_CODECS = {".avi": "MJPG", ".mkv": "MJPG", ".mp4": "mp4v", ".mov": "mp4v", ".m4v": "mp4v"}
VIDEOS = tuple(_CODECS)
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_USUAL_RATE = 25.0


class AnnotatedPicture:
    """One picture.

    Args:
        path: The file.
        points: Draw the landmarks.
    """

    def __init__(self, path: Path, *, points: bool = False) -> None:
        self.path = path
        self.points = points

    def write(self, item: Result) -> None:
        if isinstance(item, FrameResult) and item.frame.grey is not None:
            _save(annotate(item.frame.picture(), item.faces, points=self.points), self.path)

    def close(self) -> None:
        pass  # it is written whole


class AnnotatedVideo:
    """One video, written frame by frame; a grey one stands for a frame that is lost.

    Args:
        path: The file; its ending chooses the format.
        points: Draw the landmarks.
    """

    def __init__(self, path: Path, *, points: bool = False) -> None:
        self.path = path
        self.points = points
        self.writer: cv2.VideoWriter | None = None
        self.size = (0, 0)
        self.owed: list[Frame] = []  # they are written when another one follows

    def write(self, item: Result) -> None:
        if isinstance(item, SequenceResult):
            return
        if item.frame.grey is None:
            self.owed.append(item.frame)
            return
        canvas = annotate(item.frame.picture(), item.faces, points=self.points)
        if self.writer is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter.fourcc(*_CODECS[self.path.suffix.lower()])
            self.size = (canvas.shape[1], canvas.shape[0])
            rate = item.frame.rate or _USUAL_RATE
            self.writer = cv2.VideoWriter(str(self.path), codec, rate, self.size)
            if not self.writer.isOpened():
                raise DataError(f"{self.path}: OpenCV cannot write this video; take .avi")
        for frame in self.owed:
            for number in range(frame.lost):
                self.writer.write(placeholder(self.size, f"frame {(frame.number or 0) + number}"))
        self.owed.clear()
        # OpenCV drops a frame of another size without a word.
        is_same = (canvas.shape[1], canvas.shape[0]) == self.size
        self.writer.write(canvas if is_same else cv2.resize(canvas, self.size))

    def close(self) -> None:
        if self.writer is not None:
            self.writer.release()


class AnnotatedFolder:
    """A folder with an annotated copy of each picture and video, laid out as they are.

    Args:
        folder: The folder.
        keep: Files that are not overwritten: the sources.
        points: Draw the landmarks.
    """

    def __init__(self, folder: Path, keep: Collection[Path] = (), *, points: bool = False) -> None:
        self.folder = folder
        self.points = points
        self.taken = {path.resolve() for path in keep}
        self.video: AnnotatedVideo | None = None
        self.of: Source | None = None

    def write(self, item: Result) -> None:
        if isinstance(item, SequenceResult):
            return
        source = item.frame.source
        if source.kind == "picture" and item.frame.grey is None:
            return
        if source.kind == "picture":
            path = self._path(source, PICTURES, ".png")
            AnnotatedPicture(path, points=self.points).write(item)
            return
        if self.video is None or self.of != source:
            self.close()
            path = self._path(source, VIDEOS, ".avi")
            self.video, self.of = AnnotatedVideo(path, points=self.points), source
        self.video.write(item)

    def close(self) -> None:
        if self.video is not None:
            self.video.close()

    def _path(self, source: Source, endings: tuple[str, ...], other: str) -> Path:
        """A new name in the folder."""
        path = self.folder / source.relative
        if path.suffix.lower() not in endings:
            path = path.with_name(path.name + other)
        first, number = path, 1
        while path.resolve() in self.taken:
            number += 1
            path = first.with_stem(f"{first.stem}_{number}")
        self.taken.add(path.resolve())
        return path


def _save(canvas: NDArray[np.uint8], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(canvas[..., ::-1])).save(path)
    except OSError as error:
        raise DataError(f"{path}: it cannot be written ({error})") from error
