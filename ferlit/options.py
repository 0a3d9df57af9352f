"""What several commands do with their options."""

import argparse
from collections.abc import Sequence
from pathlib import Path


def add_landmark_models(parser: argparse.ArgumentParser) -> None:
    """Add ``--landmark-models DIR``, for commands that find faces without the network."""
    parser.add_argument(
        "--landmark-models",
        type=Path,
        metavar="DIR",
        help="folder with face_detection_short_range.tflite and face_landmark.tflite; by default "
        "they are fetched once through pip and kept in the user's cache",
    )


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
