from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import ferlit
from ferlit.data.faces.detection import Found
from ferlit.data.faces.registration import canonical_landmarks
from ferlit.data.loading.transforms import FaceTransform
from ferlit.errors import DataError, UsageError
from ferlit.inference.finding import FaceFinder, choose_finder
from ferlit.inference.inputs import as_grey
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.inference.conftest import Brightness, Trained
from tests.ferlit.inference.faces import portrait, scene, write_video


@pytest.fixture(scope="module")
def recogniser(landmark_models: Path) -> Recogniser:
    return Recogniser(Brightness(), landmark_models=landmark_models)


def test_training_and_recognition_see_the_same_pixels(trained: Trained) -> None:
    recogniser = Recogniser(trained.checkpoint)
    transform = FaceTransform(train=False)
    records = trained.store.records
    assert len(records) > 50
    for row in range(0, len(records), 10):
        picture = as_grey(trained.tree / records["image"][row])
        seen = recogniser.inputs(recogniser.find_faces(picture)[:1])
        trained_on = transform(trained.store.faces[row])[None].numpy()
        assert seen.dtype == trained_on.dtype
        assert np.array_equal(seen, trained_on)


def test_labels_and_probabilities_are_those_of_the_test(trained: Trained) -> None:
    predictions = pd.read_csv(trained.run / "predictions.csv").iloc[::3]
    recogniser = Recogniser(str(trained.checkpoint))
    faces = recogniser.recognise_batch([trained.tree / name for name in predictions["image"]])
    assert [face[0].label for face in faces] == predictions["predicted"].tolist()
    classes = list(recogniser.classes)
    probabilities = [list(face[0].probabilities.values()) for face in faces]
    np.testing.assert_allclose(probabilities, predictions[classes].to_numpy(), atol=1e-6)


def test_an_aligned_face_is_seen_as_in_training(store_like: np.ndarray) -> None:
    recogniser = Recogniser(Brightness(), landmarks="none")
    cuts = recogniser.find_faces(store_like)
    expected = FaceTransform(train=False)(np.pad(store_like, 6, mode="reflect"))
    assert np.array_equal(recogniser.inputs(cuts)[0], expected.numpy())
    (face,) = recogniser.recognise(store_like)
    assert face.box == (-0.5, -0.5, 47.5, 47.5)
    assert face.points is None
    assert face.score is None


@pytest.fixture
def store_like() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)


def test_each_face_of_a_picture_has_its_own_place_and_probabilities(
    recogniser: Recogniser,
) -> None:
    left, right = portrait(0, "happiness"), portrait(1, "surprise", 260)
    both = recogniser.recognise(scene(left, right))
    assert len(both) == 2
    assert both[0].box[2] < 330 < both[1].box[0]  # the larger face first
    for face, alone in zip(both, (scene(left), scene(right)), strict=True):
        (single,) = recogniser.recognise(alone)
        assert face.label == single.label
        assert face.probability == pytest.approx(single.probability, abs=0.05)
        assert face.points is not None
        assert face.points.shape == (49, 2)
        inside = (face.points > face.box[:2]) & (face.points < face.box[2:])
        assert inside.mean() > 0.9
        assert face.score is not None
        assert 0.5 <= face.score <= 1


def test_a_picture_without_a_face_has_none(recogniser: Recogniser) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8)
    flat = np.full((100, 100), 128, np.uint8)
    face = scene(portrait(0, "happiness"))
    assert [len(found) for found in recogniser.recognise_batch([noise, face, flat])] == [0, 1, 0]


def test_a_file_and_its_rgb_array_are_the_same_picture(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    grey = scene(portrait(0, "happiness"))
    colour = np.stack([grey, grey // 2, 255 - grey], axis=2)
    Image.fromarray(colour).save(tmp_path / "a.png")
    assert np.array_equal(as_grey(tmp_path / "a.png"), as_grey(colour))


def test_averaging_over_the_mirror_image_makes_an_answer_that_mirrors(
    store_like: np.ndarray, trained: Trained
) -> None:
    plain = Recogniser(trained.checkpoint, landmarks="none")
    averaged = Recogniser(trained.checkpoint, landmarks="none", flip=True)
    pair = [store_like, np.ascontiguousarray(store_like[:, ::-1])]
    first, second = (list(f[0].probabilities.values()) for f in plain.recognise_batch(pair))
    assert first != pytest.approx(second, abs=1e-6)
    for faces in averaged.recognise_batch(pair):
        mean = np.mean([first, second], axis=0)
        np.testing.assert_allclose(list(faces[0].probabilities.values()), mean, atol=1e-5)


def test_the_frames_of_a_video_are_recognised_in_order(
    recogniser: Recogniser, tmp_path: Path
) -> None:
    empty = np.full((480, 640), 90, np.uint8)
    frames = [scene(portrait(0, "happiness")), empty, scene(portrait(0, "happiness"))] * 4
    write_video(str(tmp_path / "film.avi"), frames)
    counts = [len(faces) for faces in recogniser.recognise_video(tmp_path / "film.avi")]
    assert counts == [1, 0, 1] * 4


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)],
)
def test_an_array_that_is_no_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(DataError, match="expected uint8, grey"):
        Recogniser(Brightness(), landmarks="none").recognise(image)


def test_a_name_with_a_number_sign_is_a_file(tmp_path: Path, store_like: np.ndarray) -> None:
    Image.fromarray(store_like).save(tmp_path / "take #3.png")
    assert np.array_equal(as_grey(tmp_path / "take #3.png"), store_like)


@pytest.mark.parametrize(
    ("trained_with", "wanted", "found"),
    [
        ("mediapipe", None, "mediapipe"),
        ("dlib", None, "dlib"),
        ("dlib", "mediapipe", "mediapipe"),
        ("mediapipe", "none", "none"),
    ],
)
def test_faces_are_found_as_in_training_unless_told_otherwise(
    trained_with: str, wanted: str | None, found: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "ferlit"):
        assert choose_finder(trained_with, wanted) == found
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("trained_with", "message"),
    [("database", "trained with the database's landmarks"), ("none", "trained on cropped faces")],
)
def test_where_the_landmarks_of_training_cannot_be_had_it_is_said(
    trained_with: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "ferlit"):
        assert choose_finder(trained_with) == "mediapipe"
    assert message in caplog.text


def test_unknown_landmarks_are_bad_usage() -> None:
    with pytest.raises(UsageError, match="landmarks='database'"):
        Recogniser(Brightness(), landmarks="database")


def test_landmarks_that_cannot_be_those_of_a_face_get_no_label() -> None:
    points = canonical_landmarks()
    whole = Found(points, 0.9, (0, 0, 60, 60))
    outside = Found(points + 45, 0.9, (45, 45, 105, 105))
    upside_down = Found(points * (1, -1) + (0, 60), 0.9, (0, 0, 60, 60))
    finder = FaceFinder(lambda picture: [outside, upside_down, whole])
    picture = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    (cut,) = finder(picture)
    assert cut.points is points
    assert finder(np.zeros((60, 60), np.uint8)) == []  # nothing is there


def test_a_detector_that_fails_is_no_picture_without_a_face() -> None:
    def fails(picture: np.ndarray) -> list[Found]:
        raise DataError("the model is gone")

    with pytest.raises(DataError, match="the model is gone"):
        FaceFinder(fails)(np.zeros((60, 60), np.uint8))


def test_the_package_offers_the_recogniser() -> None:
    assert ferlit.Recogniser is Recogniser
    with pytest.raises(AttributeError, match="no attribute 'Recognizer'"):
        _ = ferlit.Recognizer  # type: ignore[attr-defined]
