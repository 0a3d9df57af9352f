import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ferlit.data.faces.detection import plausible_faces
from ferlit.data.faces.detection.mediapipe import MESH_POINTS, MediaPipeDetector
from ferlit.data.faces.landmarks import LANDMARKS_49, select_49
from ferlit.data.faces.registration import canonical_landmarks, register, similarity_transform
from ferlit.data.synthetic import Person, Pose, draw_face
from ferlit.errors import DataError

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]
EYES = (slice(19, 25), slice(25, 31))


def portrait(seed: int, expression: str, pose: Pose | None = None) -> tuple[Picture, Points]:
    person = Person.random(np.random.default_rng(seed))
    picture, points = draw_face(person, person.movement(expression), pose)
    return picture, select_49(points)


def eye_centers(points: Points) -> Points:
    return np.array([points[eye].mean(axis=0) for eye in EYES])


def error(found: Points, true: Points) -> float:
    """Mean distance over the distance of the eye centres."""
    left, right = eye_centers(true)
    return float(np.linalg.norm(found - true, axis=1).mean() / np.linalg.norm(left - right))


PORTRAITS = [(0, "happiness"), (1, "surprise"), (2, "anger"), (4, "sadness"), (5, "fear")]


def test_the_mesh_points_are_49_and_mirror_each_other() -> None:
    assert len(MESH_POINTS) == len(set(MESH_POINTS)) == len(LANDMARKS_49)


@pytest.mark.parametrize(("seed", "expression"), PORTRAITS)
def test_the_landmarks_of_a_drawn_face_are_found(
    detector: MediaPipeDetector, seed: int, expression: str
) -> None:
    picture, true = portrait(seed, expression)
    (face,) = detector(picture)
    assert face.points.shape == (49, 2)
    assert face.points.dtype == np.float64
    assert error(face.points, true) < 0.12
    assert error(face.points + np.array([40, 0]), true) > 0.3
    left, top, right, bottom = face.box
    x, y = eye_centers(true).mean(axis=0)
    assert left < x < right
    assert top < y < bottom
    assert 0.5 <= face.score <= 1


@pytest.mark.parametrize("angle", [-45, 20, 45])
def test_a_turned_face_is_found(detector: MediaPipeDetector, angle: int) -> None:
    picture, true = portrait(0, "happiness", Pose(angle=np.radians(angle), scale=0.9))
    assert error(plausible_faces(detector, picture)[0].points, true) < 0.12


@pytest.mark.parametrize("size", [48, 224])
def test_a_tightly_cropped_face_is_found(detector: MediaPipeDetector, size: int) -> None:
    picture, true = portrait(0, "happiness")
    side = 1.3 * np.ptp(true, axis=0).max()
    left, top = np.round(true.min(axis=0) / 2 + true.max(axis=0) / 2 - side / 2).astype(int)
    tight = picture[top : top + round(side), left : left + round(side)]
    tight = cv2.resize(tight, (size, size), interpolation=cv2.INTER_AREA)
    scaled = (true - [left, top] + 0.5) * size / round(side) - 0.5
    assert error(plausible_faces(detector, tight)[0].points, scaled) < 0.12


def test_a_small_face_in_a_large_picture_is_found(detector: MediaPipeDetector) -> None:
    picture, true = portrait(0, "happiness", Pose(x=-200, y=150, scale=0.25))
    assert error(plausible_faces(detector, picture)[0].points, true) < 0.15


def test_points_do_not_depend_on_the_size_of_the_picture(detector: MediaPipeDetector) -> None:
    picture, _ = portrait(1, "happiness")
    points = plausible_faces(detector, picture)[0].points
    double = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    again = (plausible_faces(detector, double)[0].points + 0.5) / 2 - 0.5
    assert error(again, points) < 0.01


def test_the_larger_of_two_faces_comes_first(detector: MediaPipeDetector) -> None:
    small, _ = portrait(0, "happiness", Pose(scale=0.7))
    large, true = portrait(1, "happiness")
    faces = detector(np.hstack([small[:, 120:520], large[:, 120:520]]))
    assert len(faces) == 2
    assert faces[0].size > faces[1].size
    assert error(faces[0].points - [400 - 120, 0], true) < 0.12


@pytest.mark.parametrize("shape", [(1, 1), (48, 48), (3, 700), (300, 400)])
def test_there_is_no_face_where_there_is_none(
    detector: MediaPipeDetector, shape: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert detector(noise) == []
    with pytest.raises(DataError, match="no face was found"):
        plausible_faces(detector, noise)


def test_threads_find_what_one_finds(detector: MediaPipeDetector) -> None:
    pictures = [portrait(*which)[0] for which in PORTRAITS] * 3
    alone = [detector(picture)[0].points for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = [faces[0].points for faces in pool.map(detector, pictures)]
    np.testing.assert_array_equal(together, alone)


def test_a_pickled_detector_works_in_another_process(detector: MediaPipeDetector) -> None:
    picture, _ = portrait(0, "happiness")
    expected = detector(picture)[0].points
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(detector))(picture)[0].points, expected)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        (face,) = pool.submit(detector, picture).result()
    np.testing.assert_array_equal(face.points, expected)


@pytest.mark.parametrize(
    "picture", [np.zeros((60, 60, 3), np.uint8), np.zeros((60, 60)), np.zeros((0, 60), np.uint8)]
)
def test_only_grey_pictures_are_taken(detector: MediaPipeDetector, picture: Picture) -> None:
    with pytest.raises(DataError, match="expected grey uint8"):
        detector(picture)


def test_a_file_that_is_no_net_is_named(tmp_path: Path) -> None:
    path = tmp_path / "face_landmark.tflite"
    path.write_bytes(b"not a net")
    with pytest.raises(DataError, match=r"face_landmark\.tflite: OpenCV .* cannot read it"):
        MediaPipeDetector(path, path)


def test_a_threshold_beyond_one_is_an_error(detector: MediaPipeDetector) -> None:
    with pytest.raises(DataError, match=r"least_score=1\.5"):
        MediaPipeDetector(detector.detection_model, detector.mesh_model, least_score=1.5)


@pytest.mark.parametrize("angle", [-30, 12, 40])
@pytest.mark.parametrize("scale", [0.6, 1.0])
def test_exact_landmarks_bring_the_eyes_of_a_moved_copy_to_the_same_pixels(
    angle: float, scale: float
) -> None:
    picture, points = portrait(0, "surprise")
    move = cv2.getRotationMatrix2D((320, 245), angle, scale) + np.array([[0, 0, 17], [0, 0, -9]])
    copy = cv2.warpAffine(picture, move, (640, 490), borderMode=cv2.BORDER_REPLICATE)
    upright = register(picture, points)
    registered = register(np.asarray(copy, np.uint8), points @ move[:, :2].T + move[:, 2])
    for x, y in np.round(eye_centers(canonical_landmarks())).astype(int):
        # The picture of the eye itself, looked for within four pixels of its place.
        eye = upright[y - 4 : y + 5, x - 6 : x + 7]
        around = registered[y - 8 : y + 9, x - 10 : x + 11]
        _, _, _, place = cv2.minMaxLoc(cv2.matchTemplate(around, eye, cv2.TM_CCOEFF_NORMED))
        assert max(abs(place[0] - 4), abs(place[1] - 4)) <= 1


def test_found_landmarks_bring_the_eyes_of_moved_copies_near_the_same_pixels(
    detector: MediaPipeDetector,
) -> None:
    away = []
    for which in [*PORTRAITS, (0, "surprise")]:
        picture, points = portrait(*which)
        places = []
        for angle in (0, -30, 12, 40):
            move = cv2.getRotationMatrix2D((320, 245), angle, 0.8 if angle else 1)
            copy = cv2.warpAffine(picture, move, (640, 490), borderMode=cv2.BORDER_REPLICATE)
            found = plausible_faces(detector, np.asarray(copy, np.uint8))[0].points
            to_face = similarity_transform(found, canonical_landmarks())
            true = eye_centers(points @ move[:, :2].T + move[:, 2])
            places.append(true @ to_face[:, :2].T + to_face[:, 2])
        away += [np.linalg.norm(place - places[0], axis=1).max() for place in places[1:]]
    # In pixels of the registered face; the landmarks are not exact, and single faces are off more.
    assert np.mean(away) < 0.6
    assert max(away) < 2
