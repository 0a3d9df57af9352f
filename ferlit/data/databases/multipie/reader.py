"""CMU Multi-PIE: 337 people, four sessions, fifteen cameras, twenty illuminations.

Gross et al., Multi-PIE, Image and Vision Computing 2010::

    session01/multiview/001/01/05_1/001_01_01_051_07.png
    sessionSS/multiview/SUBJ/RR/CC_C/SUBJ_SS_RR_CCC_LL.png      recording, camera, illumination
    session01/highres/001/...                                   not used
    meta/subject_list.txt                                       who came to which session

Session and recording tell the expression. Squint and scream have no canonical name and are left
out; the other four expressions from the five frontal cameras (within 30 degrees) are the 204,156
images that Mollahosseini et al. 2016 and, for its second training stage, Liu et al. 2017 use.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from ferlit.data.databases.base import Database, Option
from ferlit.data.databases.counts import Published
from ferlit.data.databases.listing import below, is_stray, nothing_read
from ferlit.data.databases.multipie.people import warn_of_absent
from ferlit.data.records import EXPRESSIONS, record_table
from ferlit.errors import DataError, UsageError

# The expressions by session and recording.
SHOWN = {
    ("01", "01"): "neutral",
    ("01", "02"): "happiness",
    ("02", "01"): "neutral",
    ("02", "02"): "surprise",
    ("02", "03"): "squint",
    ("03", "01"): "neutral",
    ("03", "02"): "happiness",
    ("03", "03"): "disgust",
    ("04", "01"): "neutral",
    ("04", "02"): "neutral",
    ("04", "03"): "scream",
}
# By yaw, from the left profile to the right one; 08_1 and 19_1 look down from above.
CAMERAS = (
    *("11_0", "12_0", "09_0", "08_0", "13_0", "14_0", "05_1"),
    *("05_0", "04_1", "19_0", "20_0", "01_0", "24_0", "08_1", "19_1"),
)
CAMERA_SETS = {"frontal5": CAMERAS[4:9], "frontal7": CAMERAS[3:10], "all": CAMERAS}
ILLUMINATIONS = tuple(f"{number:02d}" for number in range(20))
SESSIONS = ("01", "02", "03", "04")
PUBLISHED = Published(
    "images",
    total=204_156,
    subjects=337,
    expressions={"neutral": 114_305, "disgust": 22_696, "happiness": 47_338, "surprise": 19_817},
)
_SUBJECT = re.compile(r"\d{3}", re.ASCII)
_NUMBER = re.compile(r"\d\d", re.ASCII)
_NAME = re.compile(r"(\d{3})_(\d\d)_(\d\d)_(\d{3})_(\d\d)\.png", re.IGNORECASE | re.ASCII)
_IMAGE = "001_01_01_051_07.png"
logger = logging.getLogger(__name__)


def read_multipie(
    root: Path, *, cameras: str = "frontal5", illuminations: str = "all", sessions: str = "all"
) -> pd.DataFrame:
    """Read the multiview images of some cameras, illuminations and sessions.

    Args:
        root: The folder that holds ``session01``, or the one above its folder ``data``.
        cameras: "frontal5" (within 30 degrees), "frontal7" (within 45), "all", or names with commas
            between them, such as "05_1,14_0".
        illuminations: "all", or numbers from 00 (no flash) to 19, such as "07" (frontal flash).
        sessions: "all", or numbers from 1 to 4, such as "1,3".

    Returns:
        The record table. Folders and images whose names break the pattern are unread.

    Raises:
        DataError: an option is not understood, or there are no such images.

    >>> read_multipie(Path("nowhere"))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: nowhere: there is no folder session01/multiview (or ...
    """
    chosen_cameras = CAMERA_SETS.get(cameras) or _chosen("camera", cameras, CAMERAS)
    chosen_lights = set(_chosen("illumination", illuminations, ILLUMINATIONS))
    chosen_sessions = _chosen("session", sessions, SESSIONS)
    top = next((path for path in (root, root / "data") if any(path.glob("session0[1-4]/"))), root)
    folders = [
        (session, path)
        for session in SESSIONS
        if (path := top / f"session{session}" / "multiview").is_dir()
    ]
    if not folders:
        raise DataError(
            f"{root}: there is no folder session01/multiview (or another session's); copy the "
            "session folders there, or give the folder that holds them"
        )
    rows: list[dict[str, object]] = []
    unread: dict[str, str] = {}
    left_out: Counter[str] = Counter()
    recorded: set[tuple[str, str]] = set()  # subject and session
    for session, folder in folders:
        if session not in chosen_sessions:
            continue
        for place, file in _images(folder, session, chosen_cameras, root, unread):
            match = _NAME.fullmatch(file.name)
            image = below(root, file)
            if match is None or match[5] not in ILLUMINATIONS:
                unread[image] = (
                    "the name does not tell subject, session, recording, camera and illumination, "
                    f"as {_IMAGE} does"
                )
            elif match.groups()[:4] != place:
                unread[image] = (
                    "the name is that of another subject, session, recording or camera than the "
                    "folder's"
                )
            elif match[5] not in chosen_lights:
                continue
            elif (expression := SHOWN[match[2], match[3]]) not in EXPRESSIONS:
                left_out[expression] += 1
            else:
                recorded.add((match[1], match[2]))
                rows.append({"image": image, "expression": expression, "identity": match[1]})
    if not rows:
        raise nothing_read(
            f"{root}: no images of the cameras {', '.join(chosen_cameras)}, the sessions {sessions}"
            f" and the illuminations {illuminations}",
            unread,
        )
    if (people := top / "meta" / "subject_list.txt").is_file():
        warn_of_absent(people, recorded)
    if left_out:
        counts = " and ".join(f"{count} of {name}" for name, count in sorted(left_out.items()))
        logger.info("multipie: %s are left out, as they show none of the classes", counts)
    return record_table(rows, unread)


def _images(
    folder: Path, session: str, cameras: Collection[str], root: Path, unread: dict[str, str]
) -> Iterator[tuple[tuple[str, str, str, str], Path]]:
    """The files of a session, each with what its folders tell.

    There are hundreds of thousands, so only folders are listed and no file is looked at.
    """
    for subject, of_subject in _entries(folder):
        if not _SUBJECT.fullmatch(subject):
            unread[below(root, of_subject)] = "the name is no subject, as 001 is"
            continue
        for recording, of_recording in _entries(of_subject):
            if (session, recording) not in SHOWN:
                unread[below(root, of_recording)] = (
                    f"session {session} has no such recording"
                    if _NUMBER.fullmatch(recording)
                    else "the name is no recording, as 01 is"
                )
                continue
            for camera, of_camera in _entries(of_recording):
                if camera not in CAMERAS:
                    unread[below(root, of_camera)] = (
                        f"there is no such camera; known are {', '.join(CAMERAS)}"
                    )
                elif camera in cameras:
                    place = (subject, session, recording, camera.replace("_", ""))
                    for _, file in _entries(of_camera, of_files=True):
                        yield place, file


def _entries(folder: Path, of_files: bool = False) -> list[tuple[str, Path]]:
    """The folders, or files, by name and in order; strays are passed over."""
    with os.scandir(folder) as entries:
        return sorted(
            (entry.name, folder / entry.name)
            for entry in entries
            if entry.is_dir() != of_files and not is_stray(entry.name)
        )


def _chosen(what: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """The values that an option lists, in their own order."""
    if text == "all":
        return known
    given = [value.strip() for value in str(text).split(",")]
    padded = [value and value.zfill(len(known[0])) for value in given]
    unknown = [value for value, name in zip(given, padded, strict=True) if name not in known]
    if unknown:
        sets = [*(CAMERA_SETS if known == CAMERAS else ["all"])]
        raise UsageError(
            f"multipie: there is no {what} {', '.join(map(repr, unknown))}; give {', '.join(sets)},"
            f" or some of {', '.join(known)} with commas between them"
        )
    return tuple(value for value in known if value in padded)


MULTIPIE = Database(
    name="multipie",
    classes=tuple(name for name in EXPRESSIONS if name in SHOWN.values()),
    reader=read_multipie,
    layout=f"the folders session01 to session04 with images such as multiview/001/01/05_1/{_IMAGE}",
    licence="research only, by a licence of Carnegie Mellon University",
    unused=("*session0*",),
    published=(PUBLISHED,),
    options=(
        Option(
            "cameras",
            "frontal5",
            "frontal5 (within 30 degrees), frontal7 (within 45), all, or names such as 05_1,14_0",
        ),
        Option("illuminations", "all", "all, or numbers from 00 to 19 such as 07"),
        Option("sessions", "all", "all, or numbers such as 1,3"),
    ),
)
