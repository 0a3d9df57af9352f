"""Which outputs a command line asks for, opened and in the end closed together."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console

from ferlit.errors import UsageError
from ferlit.files import naming_errors
from ferlit.inference.recognise.annotated import (
    PICTURES,
    VIDEOS,
    AnnotatedFolder,
    AnnotatedPicture,
    AnnotatedVideo,
)
from ferlit.inference.recognise.results import Result, ResultWriter
from ferlit.inference.recognise.rows import CsvRows, JsonRows, TableRows
from ferlit.inference.recognise.sources import Source

CSV, JSON = (".csv",), (".jsonl", ".json")
_WIDE = 140  # columns of a table that is not shown on a terminal

Write = Callable[[Result], None]


@contextmanager
def open_outputs(
    paths: Sequence[Path],
    stdout: str | None,
    sources: Sequence[Source],
    classes: Sequence[str],
    *,
    points: bool = False,
) -> Iterator[Write]:
    """Open the outputs; whatever happens, what was written into them by then stays.

    Args:
        paths: Files and folders.
        stdout: What goes to the standard output, "table", "jsonl" or "csv". None: a table, unless
            a file gets the rows.
        sources: What will be recognised; none of it is overwritten.
        classes: The K expressions.
        points: Draw and write the landmarks.

    Yields:
        What writes a result to all of them.

    Raises:
        UsageError: an output does not fit the sources, or cannot be written.
    """
    files = [source.place for source in sources if isinstance(source.place, Path)]
    for path in paths:
        _check(path, sources, files)
    with ExitStack() as stack:
        outputs = [(path, _open(path, stack, files, classes, points=points)) for path in paths]
        if stdout is None and not any(isinstance(each, CsvRows | JsonRows) for _, each in outputs):
            stdout = "table"
        shown = Path("standard output")
        if stdout == "csv":
            outputs.append((shown, CsvRows(sys.stdout, classes)))
        elif stdout == "jsonl":
            outputs.append((shown, JsonRows(sys.stdout, points=points)))
        elif stdout == "table":
            width = None if sys.stdout.isatty() else _WIDE
            console = Console(file=sys.stdout, width=width, highlight=False)
            outputs.append((shown, TableRows(console)))
        for path, output in outputs:
            stack.callback(_close, path, output)

        def write(item: Result) -> None:
            for path, output in outputs:
                with naming_errors(path):
                    output.write(item)

        yield write


def _open(
    path: Path, stack: ExitStack, files: Sequence[Path], classes: Sequence[str], *, points: bool
) -> ResultWriter:
    ending = path.suffix.lower()
    if is_folder(path):
        return AnnotatedFolder(path, files, points=points)
    if ending in PICTURES:
        return AnnotatedPicture(path, points=points)
    if ending in VIDEOS:
        return AnnotatedVideo(path, points=points)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A file's name that is no text is written as its bytes.
        file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise UsageError(f"--output {path}: it cannot be written ({error.strerror})") from error
    stack.callback(_close, path, file)
    return CsvRows(file, classes) if ending in CSV else JsonRows(file, points=points)


def _close(path: Path, output: ResultWriter | TextIO) -> None:
    with naming_errors(path):
        output.close()


def is_folder(path: Path) -> bool:
    """Whether an output is a folder of annotated copies."""
    return path.is_dir() or path.suffix == ""


def _check(path: Path, sources: Sequence[Source], files: Sequence[Path]) -> None:
    ending = path.suffix.lower()
    if path.resolve() in {file.resolve() for file in files}:
        raise UsageError(f"--output {path}: it is a source, and would be overwritten")
    if is_folder(path):
        if path.exists() and not path.is_dir():
            raise UsageError(f"--output {path}: it is a file, and no folder of annotated copies")
        return
    if ending in (*CSV, *JSON):
        return
    if ending not in (*PICTURES, *VIDEOS):
        known = " ".join((*CSV, *JSON, *PICTURES, *VIDEOS))
        raise UsageError(
            f"--output {path}: unknown ending {ending}; known are {known}, or a folder's name"
        )
    kinds = [source.kind for source in sources]
    if ending in PICTURES and kinds != ["picture"]:
        raise UsageError(
            f"--output {path}: one picture, but not one source that is a picture; give a folder"
        )
    if ending in VIDEOS and kinds not in (["video"], ["camera"]):
        raise UsageError(
            f"--output {path}: one video, but not one source that is a video; give a folder"
        )
