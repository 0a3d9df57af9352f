"""What several commands do with their options."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ferlit.errors import UsageError

_FEWEST_DRAWS, _MOST_DRAWS = 100, 100_000


def add_landmark_models(parser: argparse.ArgumentParser) -> None:
    """Add ``--landmark-models DIR``, for commands that find faces without the network."""
    parser.add_argument(
        "--landmark-models",
        type=Path,
        metavar="DIR",
        help="folder with face_detection_short_range.tflite and face_landmark.tflite; by default "
        "they are fetched once through pip and kept in the user's cache",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add ``--model``, for commands that have one where none is named."""
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a run's checkpoint, .safetensors, .onnx or .pt2, or a name of `ferlit models`, the "
        "first of which is the default",
    )


def add_least(parser: argparse.ArgumentParser) -> None:
    """Add ``--least P``."""
    parser.add_argument(
        "--least",
        type=float,
        default=0.0,
        metavar="P",
        help="where no expression has this probability, from 0 to 1, the label is 'unsure' "
        "(default: 0, every face gets an expression)",
    )


def add_prior(parser: argparse.ArgumentParser) -> None:
    """Add ``--prior``, see `ferlit.inference.prior.parse_prior`."""
    parser.add_argument(
        "--prior",
        metavar="WHICH",
        help="how often the expressions are to be expected: as in the model's training (training, "
        "the default unless the model says otherwise, as that which comes with ferlit does), all "
        "alike (uniform), or in shares: neutral=3,happiness=1. A network answers what was frequent "
        "in its training when it is in doubt: try uniform on posed pictures",
    )


def add_bootstrap(parser: argparse.ArgumentParser) -> None:
    """Add ``--bootstrap N``; `check_bootstrap` looks at what was given."""
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="draws for the 95%% intervals (default: 1000); 0 for none",
    )


def check_bootstrap(draws: int) -> None:
    """See that the draws of ``--bootstrap`` are enough for intervals, or none.

    Raises:
        UsageError: they are not.

    >>> check_bootstrap(0)
    """
    if draws and not _FEWEST_DRAWS <= draws <= _MOST_DRAWS:
        raise UsageError(
            f"--bootstrap {draws}: from {_FEWEST_DRAWS} to {_MOST_DRAWS:,} draws, or 0 for no "
            "intervals"
        )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add ``--jobs N``, for commands that train many networks; see `check_jobs`."""
    parser.add_argument(
        "--jobs", type=int, help="fits at once (default: one a GPU, or one where there is none)"
    )


def check_jobs(jobs: int | None) -> None:
    """See that ``--jobs`` is a number of fits.

    Raises:
        UsageError: it is not.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs}: at least 1")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust MODULE``, for commands that build the network of a checkpoint."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module whose classes the checkpoint may name, beside those of ferlit, nmloss, "
        "PyTorch and pytorch-metric-learning; its code is run. May be given several times, or be "
        "set by FERLIT_TRUST",
    )


def without_option(options: Sequence[str], name: str) -> list[str]:
    """A command line without an option and its value, in either form.

    >>> without_option(["--fold", "3", "--ckpt_path", "a", "--ckpt_path=b"], "--ckpt_path")
    ['--fold', '3']
    """
    kept: list[str] = []
    is_value = False
    for option in options:
        if not is_value and option.partition("=")[0] != name:
            kept.append(option)
        is_value = not is_value and option == name
    return kept


def option_values(options: Sequence[str]) -> dict[str, str]:
    """Options and their values by name, without ``init_args``; a later one wins.

    >>> option_values(["--data.init_args.fold=3", "--model", "a.yaml"])
    {'data.fold': '3', 'model': 'a.yaml'}
    """
    found: dict[str, str] = {}
    for place, option in enumerate(options):
        if option.startswith("--"):
            name, equals, value = option.removeprefix("--").partition("=")
            following = "".join(options[place + 1 : place + 2])
            found[name.replace(".init_args", "")] = value if equals else following
    return found
