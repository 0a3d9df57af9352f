"""Oulu-CASIA NIR & VIS: six expressions of 80 people under visible and near-infrared light.

Zhao et al., Facial expression recognition from near-infrared videos, Image and Vision Computing
2011. The archive B_OriginalImg.zip unpacks into::

    OriginalImg/VL/Strong/P001/Anger/000.jpeg      neutral
    OriginalImg/VL/Strong/P001/Anger/019.jpeg      the last frame is the peak

with VL (visible light) or NI (near infrared), and Strong, Weak or Dark illumination; every
combination has all 80 x 6 sequences. The usual protocol takes the last three frames of VL/Strong.
"""

import re
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import RESEARCH_ONLY, Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read
from ferlit.data.records import canonical_expression, record_table
from ferlit.errors import DataError, UsageError

CLASSES = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
SPECTRA = ("VL", "NI")
LIGHTS = ("Strong", "Weak", "Dark")
PUBLISHED = Published("sequences", total=480, subjects=80, expressions=dict.fromkeys(CLASSES, 80))
_PLACES = ("", "OriginalImg", "B_OriginalImg", "B_OriginalImg/OriginalImg")
_PERSON = re.compile(r"P\d{3}", re.ASCII)
_FRAME = re.compile(r"(\d{1,9})\.jpe?g", re.IGNORECASE | re.ASCII)

_Unread = dict[str, str]


def read_oulu_casia(
    root: Path, *, spectrum: str = "VL", light: str = "Strong", frames: int = 3
) -> pd.DataFrame:
    """Read the last frames of the sequences of one spectrum and light.

    Args:
        root: The folder that holds ``OriginalImg``, or ``VL`` and ``NI``.
        spectrum: "VL" (visible light) or "NI" (near infrared).
        light: "Strong", "Weak" or "Dark".
        frames: How many of the last frames of each sequence; shorter sequences give what they have.

    Returns:
        The record table. Images and folders whose names tell nothing are unread, as is a sequence
        of whose last frames one is missing.

    Raises:
        DataError: there is no such spectrum and light, no image in it, or ``frames`` is not
            positive.

    >>> read_oulu_casia(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no folder OriginalImg/VL/Strong; ...
    """
    if frames < 1:
        raise UsageError(f"oulu_casia: frames={frames}; at least 1")
    top = next(
        (path for place in _PLACES if (path := root / place / spectrum / light).is_dir()), None
    )
    if top is None:
        raise DataError(
            f"{root}: there is no folder OriginalImg/{spectrum}/{light}; unpack B_OriginalImg.zip "
            "of the database, and give the folder that holds OriginalImg"
        )
    rows: list[dict[str, object]] = []
    unread: _Unread = {}
    for person in _folders(top):
        if not _PERSON.fullmatch(person.name):
            unread[below(root, person)] = "the folder's name tells no person, as P001 does"
            continue
        for folder in _folders(person):
            expression = _expression(folder.name)
            if expression is None:
                unread[below(root, folder)] = f"no expression; known are {', '.join(CLASSES)}"
                continue
            images = _images(root, folder, unread)
            last = sorted(images)[-frames:]
            if last and last[-1] - last[0] + 1 > len(last):
                missing = next(frame for frame in range(last[0], last[-1]) if frame not in images)
                unread[below(root, folder)] = (
                    f"the image of frame {missing}, one of the last {frames}, is missing; unpack "
                    "B_OriginalImg.zip anew"
                )
                continue
            rows.extend(
                {
                    "image": below(root, images[frame]),
                    "expression": expression,
                    "identity": person.name,
                    "sequence": f"{person.name}_{folder.name}",
                    "frame": frame,
                }
                for frame in last
            )
    if not rows:
        raise nothing_read(
            f"{top}: there are no images, such as P001/Anger/000.jpeg; unpack B_OriginalImg.zip "
            "completely",
            unread,
        )
    return record_table(rows, unread)


def _images(root: Path, folder: Path, unread: _Unread) -> dict[int, Path]:
    """The images of a sequence by their frame number."""
    images: dict[int, Path] = {}
    for path in image_files(folder):
        match = _FRAME.fullmatch(path.name)
        if match is None:
            unread[below(root, path)] = "the name tells no frame, as 000.jpeg does"
        elif not path.is_file():
            unread[below(root, path)] = "not a file"
        elif int(match[1]) in images:
            unread[below(root, path)] = f"the frame is in {images[int(match[1])].name} too"
        else:
            images[int(match[1])] = path
    if not images:
        unread[below(root, folder)] = "the folder holds no images"
    return images


def _folders(folder: Path) -> list[Path]:
    """The folders in order, without those that systems leave behind."""
    return sorted(path for path in folder.glob("*/") if not is_stray(path.name))


def _expression(name: str) -> str | None:
    try:
        expression = canonical_expression(name)
    except DataError:
        return None
    return expression if expression in CLASSES else None


OULU_CASIA = Database(
    name="oulu_casia",
    classes=CLASSES,
    reader=read_oulu_casia,
    layout="the folder OriginalImg with images such as VL/Strong/P001/Anger/000.jpeg",
    licence=RESEARCH_ONLY,
    unused=("*VL/*", "*NI/*", "*PreProcess*"),
    sequence_rule="max",
    published=(PUBLISHED,),
    options=(
        Option("spectrum", "VL", "visible light or near infrared", choices=SPECTRA),
        Option("light", "Strong", "the illumination", choices=LIGHTS),
        Option("frames", 3, "how many of the last frames of each sequence", kind=int),
    ),
)
