"""Faces beside a larger one."""

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ferlit.data.faces.detection import Found
from ferlit.data.faces.detection.blazeface import Detections
from ferlit.data.faces.detection.closer import look_closer
from ferlit.data.faces.detection.mediapipe import MediaPipeDetector
from ferlit.data.synthetic import Person, draw_face
from ferlit.inference.finding import FaceFinder

Picture = NDArray[np.uint8]
Place = tuple[int, int, int]  # left, top, side of the head's square


@lru_cache
def head(seed: int) -> Picture:
    """A square that a drawn head fills."""
    person = Person.random(np.random.default_rng(seed))
    picture, points = draw_face(person, person.movement("happiness"))
    left, top = np.maximum(points.mean(axis=0) - 160, 0).astype(int)
    return picture[top : top + 320, left : left + 320]


def group(shape: tuple[int, int], places: list[Place]) -> Picture:
    canvas = np.full(shape, 120, np.uint8)
    for seed, (left, top, side) in enumerate(places):
        small = cv2.resize(head(seed), (side, side), interpolation=cv2.INTER_AREA)
        canvas[top : top + side, left : left + side] = small
    return canvas


def matches(faces: list[Found], places: list[Place]) -> list[int]:
    """How many of the faces lie in each of the places."""
    middles = [face.points.mean(axis=0) for face in faces]
    return [
        sum(left < x < left + side and top < y < top + side for x, y in middles)
        for left, top, side in places
    ]


BESIDE = [(20, 90, 300)] + [(330 + 100 * (k % 3), 30 + 110 * (k // 3), 80) for k in range(8)]


@pytest.fixture(scope="module")
def everywhere(detector: MediaPipeDetector) -> MediaPipeDetector:
    return replace(detector, everywhere=True)


def test_eight_small_faces_are_found_beside_a_large_one(
    detector: MediaPipeDetector, everywhere: MediaPipeDetector
) -> None:
    picture = group((480, 640), BESIDE)
    faces = everywhere(picture)
    assert matches(faces, BESIDE) == [1] * 9
    assert len(faces) == 9
    assert [face.size for face in faces] == sorted((face.size for face in faces), reverse=True)
    # The one that a preparation takes has the same landmarks to the last bit.
    (largest,) = detector(picture)
    np.testing.assert_array_equal(faces[0].points, largest.points)
    assert faces[0].box == largest.box


def test_recognition_looks_everywhere(everywhere: MediaPipeDetector) -> None:
    models = everywhere.detection_model.parent
    cuts = FaceFinder.of("mediapipe", models)(group((480, 640), BESIDE))
    assert len(cuts) == 9


@pytest.mark.parametrize(
    ("shape", "places"),
    [
        ((960, 1280), [(100, 100, 500)] + [(700 + 110 * k, 200, 100) for k in range(5)]),
        (
            (1200, 480),
            [(90, 40, 300)] + [(40 + 200 * (k % 2), 400 + 200 * k, 90) for k in range(4)],
        ),
        ((400, 6000), [(300 + 900 * k, 60, 250 - 20 * k) for k in range(6)]),
        ((3000, 4000), [(100, 100, 1500), (2200, 300, 400), (3000, 2300, 300)]),
    ],
)
def test_faces_of_many_sizes_are_found_once_each(
    everywhere: MediaPipeDetector, shape: tuple[int, int], places: list[Place]
) -> None:
    faces = everywhere(group(shape, places))
    assert matches(faces, places) == [1] * len(places)
    assert len(faces) == len(places)


def test_faces_at_the_border_are_found(everywhere: MediaPipeDetector) -> None:
    places = [(0, 0, 90), (550, 0, 90), (0, 390, 90), (550, 390, 90), (200, 100, 260)]
    assert matches(everywhere(group((480, 640), places)), places) == [1] * 5


@pytest.mark.parametrize("shape", [(1, 1), (20, 20), (48, 48), (3, 700), (700, 3), (300, 400)])
def test_there_is_no_face_in_noise(everywhere: MediaPipeDetector, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert everywhere(noise) == []


def test_the_border_of_a_large_panorama_fits_into_the_memory(
    everywhere: MediaPipeDetector,
) -> None:
    places = [(k, 200, 1300) for k in (1000, 15000, 30000)]
    faces = everywhere(group((1600, 32000), places))
    assert matches(faces, places) == [1] * 3


def textured(seed: int) -> Picture:
    """What photographs have on average: amplitudes that fall with the frequency."""
    rows, columns = np.fft.fftfreq(480)[:, None], np.fft.fftfreq(640)
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1
    noise = np.random.default_rng(seed).normal(size=(480, 640))
    values = np.fft.ifft2(np.fft.fft2(noise) / frequency).real
    return (255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)


def test_the_second_look_leaves_out_much_of_what_a_texture_seems_to_show(
    detector: MediaPipeDetector,
) -> None:
    pixels = [0, 0]

    def detect(piece: Picture, least: float, look: int) -> Detections:
        pixels[look] += piece.size
        return detector._blazeface(piece, least, look)

    for seed in range(6):
        picture = textured(seed)
        picture[100:320, 200:420] = cv2.resize(head(seed), (220, 220), interpolation=cv2.INTER_AREA)
        look_closer(picture, [detector(picture)[0].box], detect, detector.least_score)
    assert 0 < pixels[0] <= 6 * 192 * 256
    assert 0 < pixels[1] <= 0.6 * 6 * 384 * 512  # 0.7 where large faint sights count as well
