"""A small Oulu-CASIA of synthetic people in both spectra and all lights."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.oulu_casia import CLASSES, LIGHTS, SPECTRA
from ferlit.data.databases.trees._laboratory import Picture, face_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

SIZE = (320, 240)
PEOPLE = ("P001", "P002", "P080")
_FRAMES = {("VL", "Strong"): 5}  # of the usual protocol; the others are shorter
_BRIGHTNESS = {"Strong": 1.0, "Weak": 0.6, "Dark": 0.25}


def write_oulu_casia(root: Path, *, seed: int = 0) -> None:
    """Write all six expressions of three synthetic people, in every spectrum and light.

    The sequences of VL/Strong have five frames, those of VL/Weak four, all others two.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_oulu_casia(Path(folder, "oulu"))
    ...     anger = Path(folder, "oulu", "OriginalImg", "VL", "Strong", "P001", "Anger")
    ...     sorted(path.name for path in anger.iterdir())
    ['000.jpeg', '001.jpeg', '002.jpeg', '003.jpeg', '004.jpeg', 'Thumbs.db']
    """
    with new_tree(root) as draft:
        for number, name in enumerate(PEOPLE):
            person = Person.random(np.random.default_rng((seed, number)))
            for expression in CLASSES:
                rng = np.random.default_rng((seed, number, CLASSES.index(expression)))
                drawn = [
                    face_of(person, expression, SIZE, rng, share)
                    for share in (0.0, 0.4, 0.7, 0.9, 1.0)
                ]
                for spectrum in SPECTRA:
                    for light in LIGHTS:
                        folder = draft / "OriginalImg" / spectrum / light / name
                        folder /= expression.capitalize()
                        _write_sequence(folder, drawn, spectrum, light)
        top = draft / "OriginalImg"
        for stray in ("Thumbs.db", "VL/Strong/Thumbs.db", "VL/Strong/P001/Anger/Thumbs.db"):
            (top / stray).write_bytes(b"\xd0\xcf\x11\xe0")


def _write_sequence(folder: Path, drawn: list[Picture], spectrum: str, light: str) -> None:
    """The last frames of a recording, numbered from 0, the first of them the first drawn."""
    folder.mkdir(parents=True)
    count = {("VL", "Strong"): 5, ("VL", "Weak"): 4}.get((spectrum, light), 2)
    frames = [drawn[0], *drawn[len(drawn) - count + 1 :]]
    for number, picture in enumerate(frames):
        lit = cv2.convertScaleAbs(picture, alpha=_BRIGHTNESS[light])
        colour = cv2.cvtColor(lit, cv2.COLOR_GRAY2BGR)
        cv2.imwrite(str(folder / f"{number:03d}.jpeg"), colour if spectrum == "VL" else lit)
