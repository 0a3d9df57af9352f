import os
from pathlib import Path

import numpy as np
import pytest

from ferlit.data.databases.fer2013 import FER2013
from ferlit.data.images import UnreadableImageError, read_image
from ferlit.data.records import EXPRESSIONS
from ferlit.errors import DataError

REAL = os.environ.get("FERLIT_FER2013", "")
needs_real = pytest.mark.skipif(
    not REAL, reason="set FERLIT_FER2013 to the unzipped folder of FER2013 to run this"
)

# Row k has all its pixels at the value 10 k; the codes are angry, happy, neutral and disgust.
ROWS = [(0, "Training"), (3, "Training"), (6, "PublicTest"), (1, "PrivateTest")]
EXPECTED = [
    ("anger", "train"),
    ("happiness", "train"),
    ("neutral", "val"),
    ("disgust", "test"),
]


def pixels(row: int) -> str:
    return " ".join([str(10 * row)] * 2304)


def write_fer2013(folder: Path) -> Path:
    lines = [f"{emotion},{pixels(row)},{usage}" for row, (emotion, usage) in enumerate(ROWS)]
    path = folder / "fer2013.csv"
    path.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    return path


def write_icml(folder: Path) -> Path:
    lines = [f"{emotion},{usage},{pixels(row)}" for row, (emotion, usage) in enumerate(ROWS)]
    path = folder / "icml_face_data.csv"
    path.write_text("\n".join(["emotion, Usage, pixels", *lines]) + "\n")
    return path


@pytest.mark.parametrize("below", ["", "fer2013"])
@pytest.mark.parametrize("write", [write_fer2013, write_icml])
def test_csv_files_with_a_usage(write, below: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / below).mkdir(exist_ok=True)
    path = write(tmp_path / below)
    records = FER2013.read(tmp_path)
    assert list(zip(records["expression"], records["split"], strict=True)) == EXPECTED
    name = path.relative_to(tmp_path).as_posix()
    assert records["image"].tolist() == [f"{name}#{row}" for row in range(4)]
    for row, image in enumerate(records["image"]):
        np.testing.assert_array_equal(read_image(tmp_path, image), np.full((48, 48), 10 * row))


def test_the_files_of_the_challenge_withhold_the_labels_of_the_test(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(f"emotion,pixels\n5,{pixels(0)}\n4,{pixels(1)}\n")
    (tmp_path / "test.csv").write_text(f"pixels\n{pixels(2)}\n")
    records = FER2013.read(tmp_path)
    assert records[["image", "expression", "split"]].to_numpy().tolist() == [
        ["train.csv#0", "surprise", "train"],
        ["train.csv#1", "sadness", "train"],
        ["test.csv#0", "", "test"],
    ]
    assert read_image(tmp_path, "test.csv#0")[0, 0] == 20


def test_folders_tell_the_class_and_names_tell_the_split(tmp_path: Path) -> None:
    names = {
        "train/angry/Training_100.jpg": ("anger", "train"),
        "train/neutral/Training_7.jpg": ("neutral", "train"),
        "test/happy/PublicTest_11.jpg": ("happiness", "val"),
        "test/happy/PrivateTest_10077120.jpg": ("happiness", "test"),
    }
    strays = ["train/.DS_Store", "train/angry/.DS_Store", "test/happy/._PublicTest_11.jpg", "a.txt"]
    for name in [*names, *strays]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "train" / ".ipynb_checkpoints").mkdir()
    records = FER2013.read(tmp_path).set_index("image")
    found = {image: (row["expression"], row["split"]) for image, row in records.iterrows()}
    assert found == names


def test_a_csv_file_is_preferred_to_folders(tmp_path: Path) -> None:
    write_fer2013(tmp_path)
    (tmp_path / "train" / "angry").mkdir(parents=True)
    (tmp_path / "train" / "angry" / "Training_1.jpg").touch()
    assert len(FER2013.read(tmp_path)) == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7,0 0,Training", r"fer2013\.csv#1: the emotion '7'; known are 0 anger, 1 disgust"),
        ("-1,0 0,Training", r"fer2013\.csv#1: the emotion '-1'"),
        ("happy,0 0,Training", r"fer2013\.csv#1: the emotion 'happy'"),
        (",0 0,Training", r"fer2013\.csv#1: the emotion ''"),
        ("3,0 0,Test", r"fer2013\.csv#1: the Usage 'Test'; known are Training, PublicTest"),
        ("3,0 0", r"fer2013\.csv#1: the Usage ''"),
        ('3,"0 0,Training', r"fer2013\.csv: the CSV file cannot be read"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text(f"emotion,pixels,Usage\n3,0 0,Training\n{row}\n")
    with pytest.raises(DataError, match=message):
        FER2013.read(tmp_path)


def test_a_wrong_number_of_pixels_is_an_error_of_that_image_only(tmp_path: Path) -> None:
    path = write_fer2013(tmp_path)
    path.write_text(path.read_text().replace("3,10 ", "3,"))
    records = FER2013.read(tmp_path)
    assert len(records) == 4
    with pytest.raises(UnreadableImageError, match=r"fer2013\.csv#1: 2303 pixels instead of 48 x"):
        read_image(tmp_path, records.loc[1, "image"])
    assert read_image(tmp_path, records.loc[2, "image"])[0, 0] == 20


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("fer2013.csv", "emotion,pixels\n", "no column Usage"),
        ("fer2013.csv", "", "the CSV file cannot be read"),
        ("fer2013.csv", "emotion,pixels,Usage\n", "no images found"),
        ("train.csv", "pixels\n0\n", "no column emotion"),
        ("test.csv", "pixels\n0\n", "there is no FER2013, that is fer2013.csv"),
        ("train/angry/1.jpg", "", r"1\.jpg: the name does not tell the split"),
        ("train/bored/Training_1.jpg", "", "bored: unknown expression 'bored'"),
        ("train/contempt/Training_1.jpg", "", "the expression 'contempt'"),
    ],
)
def test_what_is_not_fer2013_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        FER2013.read(tmp_path)


def test_the_classes_are_seven_without_contempt_and_nobody_is_named(tmp_path: Path) -> None:
    assert FER2013.classes == tuple(name for name in EXPRESSIONS if name != "contempt")
    assert FER2013.is_aligned
    assert not FER2013.has_identities
    write_fer2013(tmp_path)
    assert set(FER2013.read(tmp_path)["identity"]) == {""}


@needs_real
def test_the_real_database_is_read() -> None:
    root = Path(REAL)
    records = FER2013.read(root)
    assert set(records["expression"]) == set(FER2013.classes)
    assert set(records["split"]) == {"train", "val", "test"}
    images = records["image"].iloc[:: max(1, len(records) // 500)]
    for image in images:
        face = read_image(root, image)
        assert face.shape == (48, 48)
        assert face.dtype == np.uint8
