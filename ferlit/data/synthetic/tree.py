"""An official CK+ tree of synthetic people, with the database's quirks."""

from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from ferlit.data.records import EXPRESSIONS as CODES  # CK+ numbers them in this order
from ferlit.data.synthetic.drafts import draft_of
from ferlit.data.synthetic.drawing import Pose, draw_face
from ferlit.data.synthetic.person import EXPRESSIONS, Person, Points
from ferlit.errors import DataError

# The labelled subjects of CK+.
SUBJECTS = tuple(
    f"S{number:03d}"
    for number in (
        *(5, 10, 11, 14, 22, 26, 28, 29, 32, 34, 35, 37, 42, 44, 45, 46, *range(50, 103)),
        *(*range(105, 118), 119, 122, *range(124, 140), 147, 148, 149, 151, *range(154, 159)),
        *(160, *range(501, 507), 895, 999),
    )
)
_PARTS = ("cohn-kanade-images", "Landmarks", "FACS", "Emotion")


def write_ckplus(
    root: Path,
    *,
    subjects: int = 24,
    seed: int = 0,
    expressions_per_subject: int | None = None,
    frames: int | None = None,
    progress: bool = False,
) -> None:
    """Write an official CK+ tree of synthetic people.

    Each labelled sequence goes from neutral to the apex of an expression; the last three frames
    show at least 80 % of it. As in the database, some sequences have no label: their folder below
    ``Emotion`` is empty or missing.

    Args:
        root: A folder that does not exist or is empty.
        subjects: Number of people, 1 to 118.
        seed: Fixes everything.
        expressions_per_subject: Labelled sequences of each; None for 5, 6 and 7 in turn.
        frames: Frames of each sequence, at least 3; None for 6 to 8.
        progress: Show a progress bar.

    Raises:
        DataError: ``root`` is not empty.
        ValueError: a number is out of range.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_ckplus(Path(folder, "ck"), subjects=1, expressions_per_subject=1, frames=3)
    ...     sorted(path.name for path in Path(folder, "ck").rglob("S005_001_00000003*"))
    ['S005_001_00000003.png', 'S005_001_00000003_emotion.txt', 'S005_001_00000003_facs.txt',
     'S005_001_00000003_landmarks.txt']
    """
    for name, value, least, most in (
        ("subjects", subjects, 1, len(SUBJECTS)),
        ("expressions_per_subject", expressions_per_subject, 1, len(EXPRESSIONS)),
        ("frames", frames, 3, 99),
    ):
        if value is not None and not least <= value <= most:
            raise ValueError(f"{name}={value}: from {least} to {most}")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise DataError(f"{root} exists and is not an empty folder; choose another")
    with draft_of(root) as draft:
        for number in track(range(subjects), "drawing people", disable=not progress):
            rng = np.random.default_rng((seed, number))
            count = expressions_per_subject or 5 + number % 3
            _write_subject(draft, SUBJECTS[number], rng, count, frames)
        for part in ("cohn-kanade-images", "Emotion"):
            (draft / part / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_subject(
    root: Path, subject: str, rng: np.random.Generator, count: int, frames: int | None
) -> None:
    person = Person.random(rng)
    shown = [str(name) for name in rng.permutation(list(EXPRESSIONS))[:count]]
    for number, expression in enumerate(shown, start=1):
        movement = person.movement(expression)
        folder = f"{subject}/{number:03d}"
        _write_sequence(root, folder, person, movement, rng, frames or int(rng.integers(6, 9)))
        peak = max((root / "Landmarks" / folder).iterdir()).name.removesuffix("_landmarks.txt")
        label = root / "Emotion" / folder / f"{peak}_emotion.txt"
        label.parent.mkdir(parents=True)
        label.write_text(f"   {CODES.index(expression):.7e}\n")
    # One sequence more without a label: its folder below Emotion is empty or missing.
    units = rng.choice([1, 2, 4, 12, 25], 2, replace=False)
    movement = {int(unit): float(rng.uniform(0.3, 0.8)) for unit in units}
    folder = f"{subject}/{count + 1:03d}"
    _write_sequence(root, folder, person, movement, rng, 3)
    if rng.random() < 0.5:
        (root / "Emotion" / folder).mkdir(parents=True)


def _write_sequence(
    root: Path,
    folder: str,
    person: Person,
    movement: dict[int, float],
    rng: np.random.Generator,
    frames: int,
) -> None:
    """Frames from neutral to the apex with their landmarks, and the peak's action units."""
    for part in _PARTS[:3]:
        (root / part / folder).mkdir(parents=True)
    pose = Pose(
        x=rng.uniform(-30, 30),
        y=rng.uniform(-12, 12),
        angle=rng.uniform(-0.14, 0.14),
        scale=rng.uniform(0.9, 1.1),
    )
    rise = np.linspace(0, 1, frames - 2) if frames > 3 else np.ones(1)
    apex = [*(0.8 * rise**2 * (3 - 2 * rise)), 0.9, 1.0]
    for frame, share in enumerate(apex, start=1):
        jitter = Pose(
            x=pose.x + rng.normal(0, 1.5),
            y=pose.y + rng.normal(0, 1.5),
            angle=pose.angle + rng.normal(0, 0.01),
            scale=pose.scale * rng.normal(1, 0.005),
        )
        partial = {unit: float(share) * value for unit, value in movement.items()}
        picture, points = draw_face(person, partial, jitter, rng)
        name = "_".join([*folder.split("/"), f"{frame:08d}"])
        image = root / "cohn-kanade-images" / folder / f"{name}.png"
        cv2.imwrite(str(image), picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        _write_numbers(root / "Landmarks" / folder / f"{name}_landmarks.txt", points)
    # Intensity 0 means present, not graded.
    coded = [
        (unit, 0 if rng.random() < 0.2 else float(np.clip(round(5 * value), 1, 5)))
        for unit, value in sorted(movement.items())
    ]
    _write_numbers(root / "FACS" / folder / f"{name}_facs.txt", np.array(coded))


def _write_numbers(path: Path, rows: Points) -> None:
    """The database's own way of writing numbers."""
    path.write_text("".join("".join(f"   {value:.7e}" for value in row) + "\n" for row in rows))
