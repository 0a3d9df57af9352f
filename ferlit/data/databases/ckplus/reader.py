"""The extended Cohn-Kanade database, CK+, as it is distributed.

Lucey et al., The extended Cohn-Kanade dataset (CK+): a complete dataset for action unit and
emotion-specified expression, CVPR Workshops 2010. Four archives unpack into one folder::

    cohn-kanade-images/S005/001/S005_001_00000011.png           the last frame is the peak
    Emotion/S005/001/S005_001_00000011_emotion.txt              "   3.0000000e+00"
    Landmarks/S005/001/S005_001_00000011_landmarks.txt          needed for registration
    FACS/S005/001/S005_001_00000011_facs.txt                    only its name is looked at

Only 327 of the 593 sequences have a label; the folders of the others are empty or absent. The last
three frames of a labelled sequence are its records, as in Liu et al. 2017, Sec. 5. The names of the
emotion and FACS files tell which frame is the peak, and so do the last image and landmarks: where
they disagree, frames are missing, and others would get the label of the peak.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import RESEARCH_ONLY, Database
from ferlit.data.databases.ckplus.peaks import doubt_of_peak, frame_in
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, image_files, is_stray, nothing_read
from ferlit.data.records import record_table
from ferlit.data.texts import read_text
from ferlit.errors import DataError

# The expressions by their code in the emotion files.
CODES = ("neutral", "anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
PUBLISHED = Published(
    "sequences",
    total=327,
    subjects=118,
    expressions={
        "anger": 45,
        "contempt": 18,
        "disgust": 59,
        "fear": 25,
        "happiness": 69,
        "sadness": 28,
        "surprise": 83,
    },
)
_FRAMES = 3
_ARCHIVES = {
    "cohn-kanade-images": "extended-cohn-kanade-images.zip",
    "Emotion": "Emotion_labels.zip",
}

_SUBJECT = re.compile(r"S\d{3}", re.ASCII)
_NUMBER = re.compile(r"\d{3}", re.ASCII)
_EMOTION_FILE = re.compile(r"(S\d{3}_\d{3})_\d{1,9}_emotion\.txt", re.ASCII)
_IMAGE_STEM = re.compile(r"(S\d{3}_\d{3})_(\d{1,9})", re.ASCII)
logger = logging.getLogger(__name__)


def read_ckplus(root: Path) -> pd.DataFrame:
    """Read a tree that has the layout of CK+, whatever its size.

    Args:
        root: The folder that holds ``cohn-kanade-images`` and ``Emotion``.

    Returns:
        The record table: the peak of each labelled sequence and the two frames before it. An
        emotion file that cannot be understood, whose sequence has no images, or whose name tells
        another peak than the images, landmarks or FACS file is unread, as is an image whose name
        does not tell the sequence and the frame.

    Raises:
        DataError: a folder is missing, or there is no labelled sequence with images.

    >>> read_ckplus(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no folder cohn-kanade-images; ...
    """
    for folder, archive in _ARCHIVES.items():
        if not (root / folder).is_dir():
            raise DataError(
                f"{root}: there is no folder {folder}; unpack {archive} of the database there, or "
                f"give the folder that holds {' and '.join(_ARCHIVES)}"
            )
    rows: list[dict[str, object]] = []
    unread: dict[str, str] = {}
    neutral, with_gaps = [], []
    for emotion_file in _emotion_files(root, unread):
        folder_of_sequence = emotion_file.parent.relative_to(root / "Emotion")
        subject, number = folder_of_sequence.parts
        sequence = f"{subject}_{number}"
        try:
            expression = CODES[read_emotion(emotion_file)]
        except DataError as error:
            unread[below(root, emotion_file)] = str(error).removeprefix(f"{emotion_file}: ")
            continue
        if expression == "neutral":
            neutral.append(sequence)
            continue
        frames = _frames(root, folder_of_sequence, sequence, unread)
        if not frames:
            unread[below(root, emotion_file)] = (
                "the labelled sequence has no images in cohn-kanade-images; unpack "
                f"{_ARCHIVES['cohn-kanade-images']} completely, or remove the emotion file"
            )
            continue
        peak = frame_in(emotion_file.name, sequence, "_emotion.txt") or 0
        if doubt := doubt_of_peak(root, folder_of_sequence, sequence, peak, frames, _FRAMES):
            unread[below(root, emotion_file)] = doubt
            continue
        if max(frames) - min(frames) + 1 > len(frames):
            with_gaps.append(sequence)
        for frame in sorted(frames)[-_FRAMES:]:
            image = frames[frame]
            points = root / "Landmarks" / folder_of_sequence / f"{image.stem}_landmarks.txt"
            rows.append(
                {
                    "image": below(root, image),
                    "expression": expression,
                    "identity": subject,
                    "sequence": sequence,
                    "frame": frame,
                    "landmarks": below(root, points) if points.is_file() else "",
                }
            )
    if neutral:
        logger.warning(
            "%s: %d sequences are labelled neutral, which is no class of CK+, and are left out: %s",
            root,
            len(neutral),
            _some(neutral),
        )
    if with_gaps:
        logger.warning(
            "%s: %d sequences lack frames before their last three, which are read: %s",
            root,
            len(with_gaps),
            _some(with_gaps),
        )
    if not rows:
        raise nothing_read(
            f"{root}: the folder Emotion holds no label of an expression that has images", unread
        )
    return record_table(rows, unread)


def read_emotion(path: Path) -> int:
    """The code in an emotion file, 0 to 7.

    Raises:
        DataError: the file does not hold one.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "S005_001_00000011_emotion.txt")
    ...     path.write_text("   3.0000000e+00") and read_emotion(path)
    3
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise DataError(f"{path}: the file cannot be read ({error.strerror})") from error
    try:
        (number,) = text.split()
        value = float(number)
        code = int(value)
    except (ValueError, OverflowError):
        value, code = 0.0, -1
    if code != value or code not in range(len(CODES)):
        known = ", ".join(f"{code} {name}" for code, name in enumerate(CODES))
        raise DataError(f"{path}: {text[:40]!r} is no emotion code; known are {known}")
    return code


def _emotion_files(root: Path, unread: dict[str, str]) -> Iterator[Path]:
    """The emotion files in order, one a sequence; stray files and empty folders are passed over."""
    for subject in _matching_folders(root / "Emotion", _SUBJECT, root, unread):
        for number in _matching_folders(subject, _NUMBER, root, unread):
            files = []
            for path in sorted(number.iterdir()):
                if _EMOTION_FILE.fullmatch(path.name):
                    files.append(path)
                elif not is_stray(path.name):
                    unread[below(root, path)] = (
                        f"no emotion file, as {subject.name}_{number.name}_00000011_emotion.txt is"
                    )
            mine = [p for p in files if p.name.startswith(f"{subject.name}_{number.name}_")]
            for path in files:
                if path not in mine:
                    unread[below(root, path)] = "the file lies in the folder of another sequence"
                elif len(mine) > 1:
                    unread[below(root, path)] = f"{len(mine)} emotion files, there must be one"
                else:
                    yield path


def _matching_folders(
    folder: Path, pattern: re.Pattern[str], root: Path, unread: dict[str, str]
) -> list[Path]:
    """The folders with such names; others are unread, unless systems leave them."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not is_stray(path.name))
    unread |= {
        below(root, path): "the folder's name is no subject or sequence, as S005 and 001 are"
        for path in folders
        if not pattern.fullmatch(path.name)
    }
    return [path for path in folders if pattern.fullmatch(path.name)]


def _frames(root: Path, folder: Path, sequence: str, unread: dict[str, str]) -> dict[int, Path]:
    """The images of a sequence by their frame number."""
    images = root / "cohn-kanade-images" / folder
    frames: dict[int, Path] = {}
    for path in image_files(images) if images.is_dir() else []:
        match = _IMAGE_STEM.fullmatch(path.stem)
        if match is None or match[1] != sequence:
            unread[below(root, path)] = (
                f"the name is not that of a frame of {sequence}, as {sequence}_00000001.png is"
            )
        elif int(match[2]) in frames:
            unread[below(root, path)] = f"the frame is in {frames[int(match[2])].name} too"
        else:
            frames[int(match[2])] = path
    return frames


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


CKPLUS = Database(
    name="ckplus",
    classes=tuple(PUBLISHED.expressions),
    reader=read_ckplus,
    layout="the folders cohn-kanade-images, Emotion and Landmarks of the CK+ archives",
    licence=RESEARCH_ONLY,
    unused=("cohn-kanade-images/*",),
    sequence_rule="max",
    published=(PUBLISHED,),
)
