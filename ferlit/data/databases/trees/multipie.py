"""A small Multi-PIE of synthetic people, with the database's layout and quirks."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.databases.multipie import CAMERA_SETS, SHOWN
from ferlit.data.synthetic.drafts import new_tree
from ferlit.data.synthetic.drawing import draw_face
from ferlit.data.synthetic.person import Person

# The people and their sessions; nobody is in all of the database's numbers.
SUBJECTS = {"001": ("01", "02", "03", "04"), "002": ("01", "02"), "346": ("03", "04")}
_MORE_CAMERAS = ("11_0", "08_1")  # a profile, and one from above
_YAW = {"08_0": -45, "13_0": -30, "14_0": -15, "05_1": 0, "05_0": 15, "04_1": 30, "19_0": 45}
# How much light comes without a flash, from the frontal flash, and without one again.
_LIGHT = {"00": 0.6, "07": 1.0, "19": 0.55}
_SIZE = (640, 480)
# What has no canonical name, in action units.
_MOVEMENTS = {"squint": {7: 1.0, 6: 0.8, 4: 0.5}, "scream": {26: 1.2, 25: 1.0, 20: 0.6, 7: 0.8}}
# Blue, green and red of a skin against its grey.
_TINT = (0.85, 0.95, 1.1)

_Picture = NDArray[np.uint8]


def write_multipie(root: Path, *, seed: int = 0) -> None:
    """Write three people in 22 recordings with 11 images each.

    Every recording has an image with the frontal flash from nine cameras, of which seven are within
    45 degrees, and two without a flash from the frontal camera. Of the recordings 10 are neutral, 4
    smiles, 2 surprise, 2 disgust, 2 squint and 2 scream.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_multipie(Path(folder, "pie"))
    ...     sorted(path.name for path in Path(folder, "pie/session02/multiview/001/03/05_1").iterdir())
    ['001_02_03_051_00.png', '001_02_03_051_07.png', '001_02_03_051_19.png']
    """  # noqa: E501
    rng = np.random.default_rng(seed)
    with new_tree(root) as draft:
        for subject, sessions in SUBJECTS.items():
            person = Person.random(rng)
            for (session, recording), expression in SHOWN.items():
                if session in sessions:
                    place = draft / f"session{session}" / "multiview" / subject / recording
                    _write_recording(place, person, expression)
            for session in sessions:
                _write_highres(draft / f"session{session}" / "highres" / subject, person)
        _write_people(draft / "meta" / "subject_list.txt")
        (draft / "session01" / "multiview" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")


def _write_recording(place: Path, person: Person, expression: str) -> None:
    subject, recording, session = place.parent.name, place.name, place.parents[2].name[-2:]
    movement = _MOVEMENTS.get(expression) or person.movement(expression)
    picture, _ = draw_face(person, movement)
    for camera in (*CAMERA_SETS["frontal7"], *_MORE_CAMERAS):
        (place / camera).mkdir(parents=True)
        seen = _turned(picture, _YAW.get(camera, 75))
        for light in _LIGHT if camera == "05_1" else ["07"]:
            name = "_".join((subject, session, recording, camera.replace("_", ""), light))
            _write(place / camera / f"{name}.png", seen, _LIGHT[light])


def _turned(picture: _Picture, yaw: float) -> _Picture:
    """The face as a camera beside it sees it: narrower."""
    width, height = _SIZE
    narrow = np.cos(np.deg2rad(yaw))
    transform = np.array([[narrow, 0, (1 - narrow) * width / 2], [0, 1, 0]])
    turned = cv2.warpAffine(picture, transform, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, dtype=np.uint8)


def _write_highres(folder: Path, person: Person) -> None:
    folder.mkdir(parents=True)
    picture, _ = draw_face(person, {})
    session = folder.parents[1].name[-2:]
    _write(folder / f"{folder.name}_{session}_01.png", picture, 1.0)


def _write(path: Path, picture: _Picture, light: float) -> None:
    colours = (picture[..., None] * (light * np.array(_TINT))).clip(0, 255).astype(np.uint8)
    cv2.imwrite(str(path), colours, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def _write_people(path: Path) -> None:
    """The list of people: year of birth, gender, and the sessions that they came to."""
    path.parent.mkdir()
    came = {
        subject: " ".join(str(int(f"{k:02d}" in sessions)) for k in range(1, 5))
        for subject, sessions in SUBJECTS.items()
    }
    path.write_text("".join(f"{subject} 1979 Female {text}\n" for subject, text in came.items()))
