import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ferlit.data.faces.landmarks import LANDMARKS_49
from ferlit.data.faces.registration import (
    FACE_SIZE,
    canonical_landmarks,
    pad_aligned,
    register,
    similarity_transform,
)
from ferlit.errors import DataError

# The landmark that each of the 49 becomes when the picture is mirrored.
MIRRORED = [
    *range(9, -1, -1),
    *range(10, 14),
    *range(18, 13, -1),
    *(28, 27, 26, 25, 30, 29, 22, 21, 20, 19, 24, 23),
    *range(37, 30, -1),
    *range(42, 37, -1),
    *range(45, 42, -1),
    *range(48, 45, -1),
]
EYES = (slice(19, 25), slice(25, 31))


def similarity(angle: float, scale: float, x: float, y: float) -> NDArray[np.float64]:
    """Turn by degrees and scale about the middle of a face, which then lies at (x, y)."""
    turn = math.radians(angle)
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.column_stack([linear, (x, y) - linear @ (29.5, 29.5)])


def apply(transform: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points @ transform[:, :2].T + transform[:, 2]


def umeyama(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Umeyama 1991, Eq. 40-42, as written there."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    covariance = (target - target_mean).T @ (source - source_mean) / len(source)
    u, d, vt = np.linalg.svd(covariance)
    s = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    variance = ((source - source_mean) ** 2).sum() / len(source)
    linear = u @ s @ vt * np.trace(np.diag(d) @ s) / variance
    return np.column_stack([linear, target_mean - linear @ source_mean])


def test_the_canonical_face_is_symmetric_and_fits_the_central_crop() -> None:
    points = canonical_landmarks()
    np.testing.assert_array_equal(points[MIRRORED], [59, 0] + points * [-1, 1])
    assert 12 <= points[:10, 1].min() <= 13
    assert points[31:, 1].max() == 46
    # The central 48 x 48 crop has the pixels 6 to 53.
    assert points.min() >= 6 + 5
    assert points.max() <= 53 - 5


def test_the_canonical_landmarks_are_in_the_order_of_the_49() -> None:
    points = canonical_landmarks()
    assert points.shape == (len(LANDMARKS_49), 2)
    brows, bridge, base, eyes, mouth = np.split(points, [10, 14, 19, 31])
    assert brows[:, 1].max() < eyes[:, 1].min()
    assert eyes[:, 1].max() < bridge[-1, 1] < base[:, 1].min()
    assert base[:, 1].max() < mouth[:, 1].min()
    assert (np.diff(brows[:, 0]) > 0).all()
    assert (np.diff(bridge[:, 1]) > 0).all()
    assert (np.diff(base[:, 0]) > 0).all()
    assert (np.diff(mouth[:7, 0]) > 0).all()  # the upper lip from left to right
    assert (np.diff(mouth[7:12, 0]) < 0).all()  # the lower lip back
    assert (mouth[12:15, 1] < mouth[[17, 16, 15], 1]).all()  # the inner lips


@pytest.mark.parametrize("angle", [-170, -30, 0, 45, 90])
def test_a_similarity_is_recovered(angle: float) -> None:
    points = np.random.default_rng(0).normal(size=(49, 2))
    truth = similarity(angle, 0.3, 200, -50)
    found = similarity_transform(points, apply(truth, points))
    np.testing.assert_allclose(found, truth, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("flip", [1, -1])
def test_the_fit_is_umeyamas(seed: int, flip: int) -> None:
    random = np.random.default_rng(seed)
    source = random.normal(size=(49, 2)) * [3, 1] + [100, 40]
    # A mirrored target asks for a reflection, which must not be given.
    target = apply(similarity(20, 2, 5, 6), source * [flip, 1]) + random.normal(size=(49, 2))
    found = similarity_transform(source, target)
    np.testing.assert_allclose(found, umeyama(source, target), atol=1e-8)
    assert np.linalg.det(found[:, :2]) > 0


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (np.full((49, 2), 321.1), np.ones((49, 2)), "all lie at"),
        (np.full((49, 2), np.nan), np.ones((49, 2)), "not finite"),
        (np.zeros((49, 2)), np.full((49, 2), np.inf), "not finite"),
        (np.zeros((49, 2)), np.zeros((68, 2)), "shapes"),
        (np.zeros((49, 3)), np.zeros((49, 3)), "shapes"),
        (np.zeros((0, 2)), np.zeros((0, 2)), "no landmarks"),
        # A square against its mirror image: no turn is nearer than any other.
        ([(0, 0), (1, 0), (1, 1), (0, 1)], [(1, 0), (0, 0), (0, 1), (1, 1)], "shape of a face"),
    ],
)
def test_degenerate_points_are_an_error(source, target, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=reason):
        similarity_transform(np.array(source), np.array(target))


def face_picture(landmarks: NDArray[np.float64], radius: float) -> NDArray[np.uint8]:
    """A grey picture of 640 x 490 pixels with a bright spot at the centre of each eye."""
    y, x = np.mgrid[:490, :640]
    picture = np.full((490, 640), 40.0)
    for eye in EYES:
        center = landmarks[eye].mean(axis=0)
        picture += 200 * np.exp(-((x - center[0]) ** 2 + (y - center[1]) ** 2) / (2 * radius**2))
    return picture.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("angle", "scale", "x", "y"),
    [
        (0, 1, 320, 245),
        (0, 5, 300, 240),
        (25, 4.3, 330.5, 250.2),
        (-40, 2.7, 200, 300),
        (10, 0.7, 400, 100),
        (180, 3, 320, 240),
    ],
)
def test_the_eyes_land_at_their_canonical_place(
    angle: float, scale: float, x: float, y: float
) -> None:
    landmarks = apply(similarity(angle, scale, x, y), canonical_landmarks())
    face = register(face_picture(landmarks, radius=2 * scale), landmarks).astype(float) - 40
    assert face.shape == (FACE_SIZE, FACE_SIZE)
    rows, columns = np.mgrid[:FACE_SIZE, :FACE_SIZE]
    for eye, half in zip(EYES, (columns < 29.5, columns > 29.5), strict=True):
        weight = face.clip(0) * half
        found = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
        expected = canonical_landmarks()[eye].mean(axis=0)
        assert np.linalg.norm(found - expected) < 0.25


def test_a_face_that_is_in_place_is_left_alone() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    np.testing.assert_array_equal(register(image, canonical_landmarks()), image)


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_pixels_are_averaged_exactly_where_the_face_is_a_multiple(factor: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    large = np.kron(image, np.ones((factor, factor), dtype=np.uint8))
    landmarks = factor * (canonical_landmarks() + 0.5) - 0.5
    np.testing.assert_array_equal(register(large, landmarks), image)


def test_fine_patterns_do_not_alias() -> None:
    stripes = np.zeros((490, 640), dtype=np.uint8)
    stripes[:, ::2] = 255
    landmarks = apply(similarity(7, 5.3, 320, 245), canonical_landmarks())
    face = register(stripes, landmarks)
    transform = similarity_transform(landmarks, canonical_landmarks())
    assert cv2.warpAffine(stripes, transform, (60, 60)).std() > 60
    assert face.std() < 12
    assert face.mean() == pytest.approx(127.5, abs=1)


def test_a_mirrored_picture_gives_the_mirrored_face() -> None:
    image = np.random.default_rng(0).integers(0, 256, (49, 64), dtype=np.uint8)
    image = cv2.resize(image, (640, 490), interpolation=cv2.INTER_CUBIC)
    landmarks = apply(similarity(12, 4, 300, 240), canonical_landmarks())
    face = register(image, landmarks)
    # The order of the landmarks says which side is which, so it is mirrored too.
    points = ([639, 0] + landmarks * [-1, 1])[MIRRORED]
    mirrored = register(np.ascontiguousarray(image[:, ::-1]), points)
    assert np.abs(mirrored.astype(int) - face[:, ::-1]).max() <= 3


def test_beyond_the_border_the_edge_is_repeated() -> None:
    landmarks = apply(similarity(0, 4, 60, 60), canonical_landmarks())
    assert register(np.full((490, 640), 200, np.uint8), landmarks).min() == 200


def test_sixty_eight_landmarks_serve_too() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    points = np.zeros((68, 2))
    points[list(LANDMARKS_49)] = canonical_landmarks()
    np.testing.assert_array_equal(register(image, points), image)


def test_landmarks_of_another_picture_are_an_error() -> None:
    landmarks = apply(similarity(0, 4, 320, 240), canonical_landmarks())
    with pytest.raises(DataError, match="0 of the 49 landmarks lie inside the image of 48 x 48"):
        register(np.zeros((48, 48), np.uint8), landmarks)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((60, 60, 3), np.uint8),
        np.zeros((60, 60), np.float32),
        np.zeros((0, 60), np.uint8),
    ],
)
@pytest.mark.parametrize(
    "make", [pad_aligned, lambda image: register(image, canonical_landmarks())]
)
def test_only_grey_pictures_are_taken(make, image) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match="expected grey uint8"):
        make(image)


def test_a_picture_beyond_what_opencv_addresses_is_an_error() -> None:
    with pytest.raises(DataError, match="40000 x 50 pixels"):
        register(np.zeros((50, 40000), np.uint8), canonical_landmarks())


def test_landmarks_far_apart_do_not_take_all_memory() -> None:
    landmarks = canonical_landmarks()
    landmarks[0] = 1e12
    assert register(np.full((60, 60), 9, np.uint8), landmarks).max() == 9


def test_an_aligned_face_gets_a_reflected_border() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    face = pad_aligned(image)
    assert face.shape == (60, 60)
    np.testing.assert_array_equal(face[6:54, 6:54], image)
    np.testing.assert_array_equal(face[6:54, :6], image[:, 6:0:-1])
    np.testing.assert_array_equal(face[54:, 6:54], image[46:40:-1])


@pytest.mark.parametrize("shape", [(96, 96), (30, 30), (1, 1), (100, 40), (224, 112)])
def test_other_aligned_faces_are_resized(shape: tuple[int, int]) -> None:
    face = pad_aligned(np.full(shape, 77, np.uint8))
    assert face.shape == (60, 60)
    assert face.dtype == np.uint8
    assert (face == 77).all()


def test_a_face_of_the_right_size_is_copied() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    face = pad_aligned(image)
    np.testing.assert_array_equal(face, image)
    assert not np.shares_memory(face, image)
