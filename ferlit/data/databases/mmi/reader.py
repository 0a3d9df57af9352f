"""The videos of the MMI facial expression database that have an emotion label.

Pantic et al., Web-based database for facial expression analysis, ICME 2005; Valstar and Pantic,
Induced disgust, happiness and surprise: an addition to the MMI facial expression database, LREC
workshops 2010. A session is a folder with one video and its annotation::

    Sessions/1/S001-100.avi
    Sessions/1/S001-100.xml              <... Name="Emotion" Value="4"/> among others
    Sessions/1/S001-100-oao_aucs.xml     optional, action units; its frames are compared

The videos go from neutral to the peak and back, so the middle three frames of each are its records,
as in Liu et al. 2017, Sec. 5. Where the face is depends on the person: some are recorded in two
views, of which the frontal one is the left or the right half of the frame; most are stored lying
on their side. S021 and S002-106 are left out by custom, which makes 208 videos of 31 people.
"""

import logging
import re
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import RESEARCH_ONLY, Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, is_stray, nothing_read
from ferlit.data.databases.mmi.annotations import CODES, check_session, has_suffix, read_emotion
from ferlit.data.databases.mmi.middle import middle_frames
from ferlit.data.places import MARK, Place
from ferlit.data.records import record_table
from ferlit.errors import DataError, UsageError

EXCLUDED = "S021,S002-106"
PUBLISHED = Published(
    "sequences",
    total=208,
    subjects=31,
    expressions={
        "anger": 33,
        "disgust": 32,
        "fear": 28,
        "happiness": 42,
        "sadness": 32,
        "surprise": 41,
    },
)
_VIEWS: dict[str, str | None] = {
    **dict.fromkeys(("S001", "S002", "S017"), "right"),
    **dict.fromkeys(("S003", "S005", "S006", "S015", "S016"), "left"),
    **dict.fromkeys(("S053", "S054")),
}
_LYING = "clockwise"  # everybody else

_VIDEO = re.compile(r"((S\d{3})-\d+)\.avi", re.IGNORECASE | re.ASCII)
_EXCLUDABLE = re.compile(r"S\d{3}(-\d+)?", re.ASCII)
logger = logging.getLogger(__name__)


def read_mmi(root: Path, *, exclude: str = EXCLUDED) -> pd.DataFrame:
    """Read the labelled videos below ``Sessions``.

    Which frames are in the middle is certain only where a video's header, its index and the frames
    that it has agree, and the three of them can be decoded; a video is left out otherwise. That is
    nearly all the time that reading takes: about 0.1 s for 120 frames.

    Args:
        root: The folder that holds ``Sessions``.
        exclude: Persons and videos to leave out, separated by commas; "" for none. A warning names
            those that are not there.

    Returns:
        The record table: the middle three frames of each video with one of the six expressions.
        Videos and annotations that cannot be read are unread.

    Raises:
        DataError: there is no folder Sessions, it holds no labelled video, or ``exclude`` names
            neither a person nor a video.

    >>> read_mmi(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no folder Sessions; ...
    """
    excluded = _excluded(exclude)
    if not (root / "Sessions").is_dir():
        raise DataError(
            f"{root}: there is no folder Sessions; unpack the sessions as MMI's site gives them, "
            "one folder each, and give the folder that holds Sessions"
        )
    rows: list[dict[str, object]] = []
    unread: dict[str, str] = {}
    sessions: dict[str, str] = {}  # by the name of the video
    present: set[str] = set()  # persons and videos
    others = 0
    for folder in _folders(root / "Sessions"):
        session = below(root, folder)
        videos = sorted(path for path in folder.iterdir() if has_suffix(path, ".avi"))
        if MARK in session:
            unread[session] = 'the name has a "#", which stands for a frame; rename the folder'
            continue
        if len(videos) != 1:
            unread[session] = f"{len(videos)} videos (.avi) instead of one"
            continue
        name = below(root, videos[0])
        match = _VIDEO.fullmatch(videos[0].name)
        if match is None:
            unread[name] = "the name does not tell person and video, as S001-100.avi does"
            continue
        video, person = match[1].upper(), match[2].upper()
        present |= {video, person}
        if excluded & {video, person}:
            continue
        if video in sessions:
            unread[name] = f"the video is in {sessions[video]} too"
            continue
        sessions[video] = session
        annotation = _annotation(videos[0])
        try:
            code = read_emotion(annotation)
            check_session(annotation, person, folder.name)
        except DataError as error:
            unread[below(root, annotation)] = str(error)
            continue
        if code is None or code not in CODES:
            others += 1
            continue
        try:
            middle = middle_frames(videos[0])
        except DataError as error:
            unread[name] = str(error).removeprefix(f"{videos[0]}: ")
            continue
        rows.extend(
            {
                "image": str(Place(name, str(frame), _VIEWS.get(person, _LYING))),
                "expression": CODES[code],
                "identity": person,
                "sequence": video,
                "frame": frame,
            }
            for frame in middle
        )
    if not rows:
        raise nothing_read(
            f"{root}: Sessions holds no video with one of the six expressions", unread
        )
    # The usual ones may be missing from a part of the database.
    if lost := sorted(excluded - present - _excluded(EXCLUDED)):
        some = ", ".join(lost[:5]) + (" ..." if len(lost) > 5 else "")
        logger.warning(
            "%s: %d names to exclude are no persons or videos there: %s", root, len(lost), some
        )
    if others:
        logger.info("%s: %d videos have no label or another one, and are left out", root, others)
    return record_table(sorted(rows, key=lambda row: (row["sequence"], row["frame"])), unread)


def _excluded(text: str) -> set[str]:
    names = {name.strip().upper() for name in text.split(",") if name.strip()}
    for name in sorted(names):
        if not _EXCLUDABLE.fullmatch(name):
            raise UsageError(
                f"mmi: exclude={text!r}: {name!r} is neither a person, as S021, nor a video, as "
                "S002-106"
            )
    return names


def _folders(sessions: Path) -> list[Path]:
    """The sessions in the order of their numbers; what systems leave behind is passed over."""
    folders = [path for path in sessions.glob("*/") if not is_stray(path.name)]
    return sorted(folders, key=lambda path: (len(path.name), path.name))


def _annotation(video: Path) -> Path:
    """Beside the video and of the same name, whatever the case of its ending."""
    found = [
        path
        for path in sorted(video.parent.iterdir())
        if path.stem == video.stem and has_suffix(path, ".xml")
    ]
    return found[0] if found else video.with_suffix(".xml")


MMI = Database(
    name="mmi",
    classes=tuple(CODES.values()),
    reader=read_mmi,
    layout="the folder Sessions with a folder a session, such as Sessions/1/S001-100.avi and .xml",
    licence=RESEARCH_ONLY,
    unused=("Sessions/*", "Sessions/*.avi"),
    sequence_rule="mean",
    published=(PUBLISHED,),
    options=(Option("exclude", EXCLUDED, "persons and videos to leave out, separated by commas"),),
)
