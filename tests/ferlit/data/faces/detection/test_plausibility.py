import numpy as np
import pytest
from numpy.typing import NDArray

from ferlit.data.faces.detection import Found, mediapipe, plausible_faces
from ferlit.data.faces.detection.mediapipe import MediaPipeDetector
from ferlit.data.faces.detection.plausibility import is_plausible
from ferlit.data.faces.landmarks import select_49
from ferlit.data.faces.registration import canonical_landmarks
from ferlit.data.synthetic import Person, Pose, draw_face
from ferlit.errors import DataError

Points = NDArray[np.float64]
SHAPE = (200, 200)
BOX = (70.0, 75.0, 130.0, 135.0)
FACE = Found(canonical_landmarks() + 70, 0.9, BOX)


def turned(points: Points, degrees: float) -> Points:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - 100) @ turn.T + 100


def narrow(points: Points, factor: float) -> Points:
    return (points - 100) * (factor, 1) + 100


def flipped(points: Points) -> Points:
    return (points - 100) * (1, -1) + 100


def mouth_on_the_nose(points: Points) -> Points:
    moved = points.copy()
    moved[31:] -= (0, 8)
    return moved


@pytest.mark.parametrize("degrees", [0, 30, 90, -120, 180])
@pytest.mark.parametrize("factor", [1, 0.7])
def test_a_face_is_one_however_it_is_turned(degrees: float, factor: float) -> None:
    face = FACE._replace(points=turned(narrow(FACE.points, factor), degrees))
    assert is_plausible(face, SHAPE)


@pytest.mark.parametrize("seed", range(6))
def test_the_true_landmarks_of_drawn_faces_are_plausible(seed: int) -> None:
    rng = np.random.default_rng(seed)
    person = Person.random(rng)
    picture, points = draw_face(person, person.movement("surprise"), Pose(angle=rng.normal(0, 0.5)))
    left, top = points.min(axis=0)
    right, bottom = points.max(axis=0)
    assert is_plausible(Found(select_49(points), 0.9, (left, top, right, bottom)), picture.shape)


@pytest.mark.parametrize("degrees", [0, 45, 180])
@pytest.mark.parametrize(
    "points",
    [
        flipped(FACE.points),
        mouth_on_the_nose(FACE.points),
        narrow(FACE.points, 0.5),
        np.full((49, 2), 100.0),
    ],
    ids=["upside down", "mouth on the nose", "eyes too near", "one point"],
)
def test_other_shapes_are_none_however_they_are_turned(points: Points, degrees: float) -> None:
    assert not is_plausible(FACE._replace(points=turned(points, degrees)), SHAPE)


@pytest.mark.parametrize(
    "face",
    [
        FACE._replace(points=FACE.points + np.array([45, 0])),
        FACE._replace(points=FACE.points - 110, box=(-40.0, -35.0, 20.0, 25.0)),
        FACE._replace(points=np.where(np.arange(49)[:, None] == 3, np.nan, FACE.points)),
        FACE._replace(box=(70.0, 75.0, 70.0, 75.0)),
        FACE._replace(disagreement=0.3),
    ],
    ids=["beside the box", "outside of the picture", "not finite", "no box", "stages disagree"],
)
def test_landmarks_that_cannot_be_right_are_refused(face: Found) -> None:
    assert is_plausible(FACE, SHAPE)
    assert not is_plausible(face, SHAPE)


def test_what_cannot_be_a_face_is_passed_over_or_named() -> None:
    picture = np.zeros(SHAPE, np.uint8)
    wrong = FACE._replace(points=flipped(FACE.points), box=(40.0, 40.0, 160.0, 160.0))
    assert plausible_faces(lambda _: [wrong, FACE], picture) == [FACE]
    with pytest.raises(DataError, match="the landmarks found are not those of a face"):
        plausible_faces(lambda _: [wrong], picture)
    with pytest.raises(DataError, match="no face was found in it"):
        plausible_faces(lambda _: [], picture)


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 5])
def test_the_stages_of_the_nets_agree_about_drawn_faces(
    detector: MediaPipeDetector, seed: int
) -> None:
    person = Person.random(np.random.default_rng(seed))
    picture, _ = draw_face(person, person.movement("happiness"))
    (face,) = detector(picture)
    assert 0 < face.disagreement < 0.12
    assert is_plausible(face, picture.shape)


def test_half_a_face_that_the_nets_take_for_a_whole_one_is_refused(
    detector: MediaPipeDetector,
) -> None:
    person = Person.random(np.random.default_rng(5))
    picture, _ = draw_face(person, person.movement("surprise"))
    half = picture[222:385, 226:389]
    assert detector(half)
    with pytest.raises(DataError, match="the landmarks found are not those of a face"):
        plausible_faces(detector, half)


def test_the_search_goes_on_after_what_cannot_be_a_face(
    detector: MediaPipeDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person.random(np.random.default_rng(0))
    picture, _ = draw_face(person, person.movement("happiness"))
    (usual,) = detector(picture)
    seen: list[Found] = []

    def refuse_the_first(face: Found, shape: tuple[int, ...]) -> bool:
        seen.append(face)
        return len(seen) > 1 and is_plausible(face, shape)

    monkeypatch.setattr(mediapipe, "is_plausible", refuse_the_first)
    (other,) = detector(picture)
    np.testing.assert_array_equal(seen[0].points, usual.points)
    assert other is seen[1]
    eyes = np.linalg.norm(usual.points[19] - usual.points[28])
    assert 0 < np.linalg.norm(other.points - usual.points, axis=1).mean() < 0.1 * eyes
