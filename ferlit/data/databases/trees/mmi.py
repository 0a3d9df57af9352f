"""A small MMI of synthetic people: dual views, frames on their side, and what is left out."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ferlit.data.databases.mmi.annotations import CODES
from ferlit.data.databases.trees._laboratory import Picture, face_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person
from ferlit.errors import DataError

WIDTH, HEIGHT = 720, 576
FRAMES = 7
_RATE = 24  # frames a second
_VIEWS = {"S001": "right", "S002": "right", "S003": "left", "S053": "upright"}  # others lie


class Session(NamedTuple):
    """A video: its session, its name, the Emotion in its annotation, and its frames."""

    number: int
    video: str
    code: int | None
    frames: int = FRAMES


SESSIONS = (
    Session(1, "S001-100", 1),
    Session(2, "S001-101", 2),
    Session(3, "S001-102", 2, frames=8),
    Session(10, "S002-106", 4),  # left out by custom
    Session(11, "S002-110", 3),
    Session(20, "S003-001", 4),
    Session(21, "S003-002", 8),  # no expression
    Session(22, "S003-003", 6),
    Session(100, "S021-001", 5),  # left out by custom
    Session(110, "S030-001", 5),
    Session(111, "S030-002", 6),
    Session(112, "S030-003", None),  # action units only
    Session(113, "S030-004", 1, frames=2),  # too short
    Session(1200, "S053-001", 4),
)


def write_mmi(root: Path, *, seed: int = 0) -> None:
    """Write 14 sessions of six synthetic people, of which nine videos are read by default.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_mmi(Path(folder, "mmi"))
    ...     sorted(path.name for path in Path(folder, "mmi", "Sessions", "1").iterdir())
    ['S001-100-oao_aucs.xml', 'S001-100.avi', 'S001-100.xml']
    """
    with new_tree(root) as draft:
        for session in SESSIONS:
            subject = session.video.partition("-")[0]
            person = Person.random(np.random.default_rng((seed, int(subject[1:]))))
            rng = np.random.default_rng((seed, session.number))
            folder = draft / "Sessions" / str(session.number)
            folder.mkdir(parents=True)
            expression = CODES.get(session.code or 0, "neutral")
            _write_video(folder / f"{session.video}.avi", person, expression, session, rng)
            (folder / f"{session.video}.xml").write_text(_annotation(session), encoding="utf-8")
            if session.number % 10 == 1:
                (folder / f"{session.video}-oao_aucs.xml").write_text(_action_units(session.frames))
        (draft / "Sessions" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (draft / "Sessions" / "2" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")


def _write_video(
    path: Path, person: Person, expression: str, session: Session, rng: np.random.Generator
) -> None:
    """From neutral to the apex and back."""
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter.fourcc(*"MJPG"), _RATE, (WIDTH, HEIGHT), isColor=True
    )
    if not writer.isOpened():
        raise DataError(f"{path}: this OpenCV cannot write videos (AVI with MJPG)")
    view = _VIEWS.get(session.video.partition("-")[0], "lying")
    for share in np.sin(np.linspace(0, np.pi, session.frames)):
        frame = _frame(person, expression, float(share), view, rng)
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()


def _frame(
    person: Person, expression: str, share: float, view: str, rng: np.random.Generator
) -> Picture:
    """(576, 720); in the other half of two views a mirror shows the person from the side."""
    if view == "upright":
        return face_of(person, expression, (WIDTH, HEIGHT), rng, share)
    if view == "lying":
        return np.rot90(face_of(person, expression, (HEIGHT, WIDTH), rng, share))
    frontal = face_of(person, expression, (WIDTH // 2, HEIGHT), rng, share)
    mirror = np.full_like(frontal, round(person.background))
    quarter = WIDTH // 8
    mirror[:, quarter:-quarter] = cv2.resize(frontal, (WIDTH // 4, HEIGHT))
    return np.hstack([mirror, frontal] if view == "right" else [frontal, mirror])


def _annotation(session: Session) -> str:
    """The Emotion is the second element of most annotations, but not of all."""
    tags = [("AUCoding", "1"), ("View", "2"), ("Comment", "")]
    if session.code is not None:
        place = 1 if session.number < 100 else 2
        tags.insert(place, ("Emotion", str(session.code)))
    lines = "".join(f'  <MetaTag Name="{name}" Value="{value}"/>\n' for name, value in tags)
    subject = session.video.partition("-")[0]
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<Session Session="{session.number}" Subject="{subject}">\n{lines}</Session>\n'
    )


def _action_units(frames: int) -> str:
    markers = "".join(f'<Marker Frame="{frame}"/>' for frame in (1, frames // 2, frames))
    return f'<Metadata><ActionUnit Number="4">{markers}</ActionUnit></Metadata>\n'
