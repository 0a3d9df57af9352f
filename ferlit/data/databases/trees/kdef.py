"""A small KDEF of synthetic people: two sessions, five angles, black and misnamed pictures."""

from pathlib import Path

import cv2
import numpy as np

from ferlit.data.databases.kdef import ANGLES, BLACK_BYTES, CODES, MISNAMED
from ferlit.data.databases.trees._laboratory import Picture, face_of
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.person import Person

SIZE = (562, 762)
# By folder, the expressions that it holds; the last two have the misnamed pictures.
FOLDERS = {
    "AF01": tuple(CODES),
    "BF01": tuple(CODES),
    "AM02": tuple(CODES),
    "AF31": ("SA",),
    "AM31": ("SU",),
}
BLACK = ("BF01DIS", "AM02NEFL")
_WIDTHS = {"FL": 0.5, "HL": 0.75, "S": 1.0, "HR": 0.75, "FR": 0.5}


def write_kdef(root: Path, *, seed: int = 0) -> None:
    """Write 115 pictures of four synthetic people, one of them in both sessions.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_kdef(Path(folder, "kdef"))
    ...     sorted(path.name for path in Path(folder, "kdef", "KDEF", "AM31").iterdir())
    ['AM31H.JPG', 'AM31SUFL.JPG', 'AM31SUFR.JPG', 'AM31SUHL.JPG', 'AM31SUS.JPG']
    """
    wrong_names = {shown: name for name, shown in MISNAMED.items()}
    with new_tree(root) as draft:
        for number, (session, codes) in enumerate(FOLDERS.items()):
            gender = "FM".index(session[1])
            person = Person.random(np.random.default_rng((seed, gender, int(session[2:]))))
            rng = np.random.default_rng((seed, number))
            folder = draft / "KDEF" / session
            folder.mkdir(parents=True)
            for code in codes:
                straight = face_of(person, CODES[code], SIZE, rng)
                for angle in ANGLES:
                    shown = f"{session}{code}{angle}"
                    path = folder / f"{wrong_names.get(shown, shown)}.JPG"
                    if shown in BLACK:
                        path.write_bytes(_black())
                    else:
                        _write(path, _turned(straight, angle))
        (draft / "KDEF" / "AF01" / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
        (draft / "KDEF" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _turned(picture: Picture, angle: str) -> Picture:
    """Narrower, the more the head is turned."""
    width, height = SIZE
    narrow = round(width * _WIDTHS[angle])
    turned = np.full_like(picture, picture[0, 0])
    start = {"L": 0, "R": width - narrow}.get(angle[-1], 0)
    turned[:, start : start + narrow] = cv2.resize(picture, (narrow, height))
    return turned


def _write(path: Path, picture: Picture) -> None:
    """As JPEG in colours; OpenCV goes by the ending, whatever its case."""
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))


def _black() -> bytes:
    """A plain black JPEG, filled up to the size on disk of the database's own."""
    _, encoded = cv2.imencode(".jpg", np.zeros((*SIZE[::-1], 3), dtype=np.uint8))
    return bytes(encoded).ljust(BLACK_BYTES, b"\0")
