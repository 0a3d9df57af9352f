from pathlib import Path

import numpy as np
import pytest

from ferlit.data.faces.landmarks import LANDMARKS_49, read_landmarks, select_49
from ferlit.errors import DataError

LINE = "   2.2512089e+02   2.3452567e+02 \n"


def test_a_landmark_file_is_read(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 640, (68, 2))
    path = tmp_path / "landmarks.txt"
    path.write_text("".join(f"   {x:.7e}   {y:.7e}\n" for x, y in points) + "\n")
    read = read_landmarks(path)
    assert read.shape == (68, 2)
    assert read.dtype == np.float64
    np.testing.assert_allclose(read, points, rtol=1e-7)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 lines instead of 68"),
        (LINE * 67, "67 lines instead of 68"),
        (LINE * 69, "69 lines instead of 68"),
        (LINE * 67 + "1 2 3\n", "landmark 68 is '1 2 3', not an x and y"),
        ("1\n" + LINE * 67, "landmark 1 is '1', not an x and y"),
        (LINE * 4 + "a b\n" + LINE * 63, "landmark 5 is 'a b', not an x and y"),
        (LINE * 4 + "nan 1\n" + LINE * 63, "landmark 5 is 'nan 1', not a finite x and y"),
        (LINE * 67 + "1 inf\n", "landmark 68 is '1 inf', not a finite"),
    ],
)
def test_a_wrong_landmark_file_is_named(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "landmarks.txt"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_landmarks(path)
    assert str(error.value).startswith(f"{path}: {reason}")


def test_a_missing_landmark_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"landmarks\.txt: .*No such file"):
        read_landmarks(tmp_path / "landmarks.txt")


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.txt"
    path.write_bytes(b"\xff\xfe\x00\n" * 68)
    with pytest.raises(DataError, match="landmark 1 is"):
        read_landmarks(path)


def test_the_jaw_and_the_inner_corners_of_the_mouth_are_left_out() -> None:
    assert len(LANDMARKS_49) == 49
    assert set(range(68)) - set(LANDMARKS_49) == {*range(17), 60, 64}
    points = np.arange(136.0).reshape(68, 2)
    assert select_49(points)[:, 0].tolist() == [2.0 * index for index in LANDMARKS_49]
    np.testing.assert_array_equal(select_49(select_49(points)), select_49(points))


@pytest.mark.parametrize("shape", [(67, 2), (68, 3), (68,), (0, 2)])
def test_another_number_of_points_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="expected"):
        select_49(np.zeros(shape))
