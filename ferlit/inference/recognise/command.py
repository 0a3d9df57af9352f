"""``ferlit recognise``: a trained network on pictures, folders, videos and cameras."""

import argparse
import sys
from pathlib import Path

from ferlit.errors import DataError, UsageError
from ferlit.options import add_landmark_models, add_least, add_model, add_prior, add_trust

_MANY = 5  # sources that are worth a progress bar
_EPILOG = """\
SOURCE is a picture, a pattern in quotes ('*.png', 'frames/**/*.jpg'), a folder (with all pictures
and videos below it), a video, or the number of a camera (0). Each face gets a row: its source,
frame, time, box, label and probabilities. A picture without a face gets a row without a label.
What looks like a picture and cannot be read, and frames of a video that are lost, are named, and
the exit code is 1.

examples:
  ferlit recognise portrait.jpg
  ferlit recognise --model runs/ckplus/version_0/checkpoints/best.ckpt portrait.jpg
  ferlit recognise --model best.ckpt photos --output faces.csv --output annotated
  ferlit recognise --model model.onnx film.mp4 --output film_annotated.mp4
  ferlit recognise --model best.ckpt 'S005/*/*.png' --sequence max --format jsonl
"""


def main(command: str, options: list[str]) -> None:
    """Run ``ferlit recognise``."""
    given = _parser(command).parse_intermixed_args(options)
    if given.aligned and given.landmarks:
        raise UsageError("--aligned looks for no faces, so it does not go with --landmarks")
    if given.aligned and given.landmark_models:
        raise UsageError("--aligned looks for no faces, so it does not go with --landmark-models")
    if given.landmarks == "dlib" and given.landmark_models:
        raise UsageError("--landmark-models are those of mediapipe: leave out --landmarks dlib")
    # Heavy imports only now, so that --help and a mistyped option answer at once.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from ferlit.data.reasons import list_kinds
    from ferlit.data.records import SequenceRule
    from ferlit.inference.prior import parse_prior
    from ferlit.inference.recognise.outputs import is_folder, open_outputs
    from ferlit.inference.recognise.pipeline import recognise_sources
    from ferlit.inference.recognise.sources import Source, find_sources, not_taken
    from ferlit.inference.recogniser import Recogniser

    folders = [path for path in given.output if is_folder(path)]
    sources, missing = find_sources(given.source, folders)
    told = [f"{name}: {_why_missing(Path(name))}" for name in missing]
    others = [f"not read: {line}" for line in list_kinds(not_taken(given.source, folders))]
    if not sources:
        raise UsageError("\n  ".join(told + others))
    recogniser = Recogniser(
        given.model,
        given.device,
        "none" if given.aligned else given.landmarks,
        given.flip,
        prior=None if given.prior is None else parse_prior(given.prior),
        least=given.least,
        landmark_models=given.landmark_models,
        trust=given.trust,
    )

    def rule_of(source: Source) -> SequenceRule | None:
        if given.sequence is None:
            return recogniser.sequence_rule if source.kind == "video" else None
        return None if given.sequence == "none" else given.sequence

    errors = Console(stderr=True, highlight=False)
    for line in told + others:
        errors.print(line, markup=False, soft_wrap=True)
    is_long = len(sources) > _MANY or any(source.kind == "video" for source in sources)
    # Rows that run over the same terminal show the progress themselves.
    are_rows_shown = sys.stdout.isatty() and (given.format is not None or not given.output)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with (
        open_outputs(
            given.output, given.format, sources, recogniser.classes, points=given.points
        ) as write,
        # Standard output belongs to the rows alone.
        Progress(
            *columns,
            console=errors,
            disable=not is_long or are_rows_shown,
            redirect_stdout=False,
        ) as progress,
    ):
        failures = recognise_sources(recogniser, sources, write, rule_of, progress)
    unread = len(failures.unread) + len(missing)
    total = len(sources) + len(missing)
    if unread:
        also = f", and {len(failures.incomplete)} lost frames" if failures.incomplete else ""
        raise DataError(
            f"{unread} of {total} sources could not be read{also}, see above; all others were "
            "recognised"
        )
    if failures.incomplete:
        raise DataError(
            f"{len(failures.incomplete)} of {total} sources lost frames, see above; all others "
            "were recognised"
        )


def _why_missing(path: Path) -> str:
    if path.is_dir():
        return "there is no picture or video in this folder"
    return "there is no such picture, video or folder"


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"ferlit {command}",
        description="Find the faces in pictures and videos and recognise their expressions.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", nargs="+", metavar="SOURCE", help="see below")
    add_model(parser)
    parser.add_argument(
        "--output",
        type=Path,
        action="append",
        default=[],
        help="by its ending: rows (.csv, .jsonl), an annotated picture (.png, .jpg) or video "
        "(.avi, .mp4); without one: a folder of annotated copies. May be given several times",
    )
    parser.add_argument(
        "--format",
        choices=("table", "jsonl", "csv"),
        help="what standard output gets; by default a table, unless a file gets the rows",
    )
    parser.add_argument(
        "--sequence",
        choices=("max", "mean", "none"),
        help="one answer for each folder of pictures and each video: the class with the highest "
        "single (max) or mean probability of the frames' largest faces. By default videos get "
        "one by the model's rule",
    )
    parser.add_argument(
        "--landmarks",
        choices=("mediapipe", "dlib"),
        help="what finds the faces; by default what the model was trained with, or mediapipe",
    )
    add_landmark_models(parser)
    add_trust(parser)
    parser.add_argument(
        "--aligned",
        action="store_true",
        help="each picture is a cropped face, as those of FER2013: none is looked for",
    )
    parser.add_argument(
        "--flip", action="store_true", help="average over a face and its mirror image"
    )
    add_prior(parser)
    add_least(parser)
    parser.add_argument(
        "--points", action="store_true", help="draw the 49 landmarks, and write them to .jsonl"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
    return parser
