import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferlit.data.databases.fer2013 import FER2013
from ferlit.data.databases.trees.fer2013 import FORMS, write_fer2013
from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.images import read_image
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, damage_each, file_names, sample

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


def write_rows(folder: Path) -> Path:
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
@pytest.mark.parametrize("write", [write_rows, write_icml])
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


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def told(root: Path) -> dict[str, tuple[str, str]]:
    records = FER2013.read(root)
    pairs = zip(records["expression"], records["split"], strict=True)
    return dict(zip(records["image"], pairs, strict=True))


def test_a_csv_file_is_preferred_to_folders_which_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(tmp_path)
    touch(tmp_path, "train/angry/Training_1.jpg", "train.csv", "icml_face_data.csv")
    assert len(FER2013.read(tmp_path)) == 4
    assert "fer2013.csv is read; not used: icml_face_data.csv, train.csv, train" in caplog.text


@pytest.mark.parametrize("val", ["validation", "val", "valid", "Validation", "PublicTest"])
@pytest.mark.parametrize("stems", [("Training_1", "PublicTest_2", "PrivateTest_3"), "123"])
def test_three_folders_are_the_three_splits(
    stems: tuple[str, ...] | str, val: str, tmp_path: Path
) -> None:
    train, public, private = stems
    touch(tmp_path, f"train/angry/{train}.jpg", f"{val}/sad/{public}.png")
    touch(tmp_path, f"test/fear/{private}.jpg")
    assert told(tmp_path) == {
        f"train/angry/{train}.jpg": ("anger", "train"),
        f"{val}/sad/{public}.png": ("sadness", "val"),
        f"test/fear/{private}.jpg": ("fear", "test"),
    }


def test_the_usages_may_be_the_folders(tmp_path: Path) -> None:
    touch(tmp_path, "Training/happy/1.png", "PublicTest/sad/2.png", "PrivateTest/sad/3.png")
    assert [split for _, split in told(tmp_path).values()] == ["train", "val", "test"]


@pytest.mark.parametrize(
    "names",
    [
        ("train/angry/Training_1.jpg", "train/angry/PublicTest_2.jpg"),
        ("train/angry/Training_1.jpg", "validation/angry/Training_2.jpg"),
        ("val/angry/PublicTest_1.jpg", "test/angry/PublicTest_2.jpg"),
        ("train/angry/Training_1.jpg", "test/angry/Training_2.jpg"),
    ],
)
def test_a_name_that_tells_another_split_than_its_folder_is_an_error(
    names: tuple[str, str], tmp_path: Path
) -> None:
    touch(tmp_path, *names)
    message = rf"{names[1]} is of \w+ by its name and of .* by its folder; .*--database folder"
    with pytest.raises(DataError, match=message):
        FER2013.read(tmp_path)


def test_folders_and_images_that_are_not_read_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "train/angry/Training_1.jpg", "train/Training_2.jpg", "dev/angry/1.jpg")
    touch(tmp_path, "train/sad/Training_3.jpg", "train/fear/Training_3.jpg", "docs/index.html")
    records = FER2013.read(tmp_path)
    assert records["image"].tolist() == ["train/angry/Training_1.jpg"]
    unread = unread_files(records)
    assert unread.pop("dev").startswith("no split; known are train, training, val, valid")
    assert unread == {
        "train/Training_2.jpg": "the image lies in no class folder",
        "train/fear/Training_3.jpg": "Training_3 lies in the folders of fear and sadness",
        "train/sad/Training_3.jpg": "Training_3 lies in the folders of fear and sadness",
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7,0 0,Training", r"fer2013\.csv#1: the emotion '7'; known are 0 anger, 1 disgust"),
        ("-1,0 0,Training", r"fer2013\.csv#1: the emotion '-1'"),
        ("happy,0 0,Training", r"fer2013\.csv#1: the emotion 'happy'"),
        (",0 0,Training", r"fer2013\.csv#1: the emotion ''"),
        ("3,0 0,Test", r"fer2013\.csv#1: the Usage 'Test'; known are Training, PublicTest"),
        ("3,0 0", r"fer2013\.csv#1: the Usage ''"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    text = f"emotion,pixels,Usage\n3,0 0,Training\n{row}\n5,0 0,PrivateTest\n"
    (tmp_path / "fer2013.csv").write_text(text)
    records = FER2013.read(tmp_path)
    assert records["image"].tolist() == ["fer2013.csv#0", "fer2013.csv#2"]
    ((image, reason),) = unread_files(records).items()
    assert re.match(message, f"{image}: {reason}")


@pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv", "train.csv", "test.csv"])
def test_emotions_that_are_counted_from_1_are_refused(name: str, tmp_path: Path) -> None:
    lines = [f"{code},0 0,Training" for code in range(1, 8)]
    (tmp_path / "train.csv").write_text("emotion,pixels\n0,0 0\n")
    (tmp_path / name).write_text("\n".join(["emotion,pixels,Usage", *lines]))
    with pytest.raises(DataError, match=r"its emotions go from 1 to 7.*0 anger"):
        FER2013.read(tmp_path)


def test_a_wrong_row_of_the_challenge_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("emotion,pixels\n7,0\n4,0\n")
    records = FER2013.read(tmp_path)
    assert records["image"].tolist() == ["train.csv#1"]
    assert unread_files(records)["train.csv#0"].startswith("the emotion '7'; known are 0 anger")


def test_a_table_whose_rows_are_all_wrong_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n7,0 0,Training\n")
    with pytest.raises(DataError, match=r"no images found; fer2013\.csv#0: the emotion '7'"):
        FER2013.read(tmp_path)


def test_a_quote_that_does_not_end_is_an_error(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
    path.write_text(path.read_text() + '3,"0 0,Training\n')
    with pytest.raises(DataError, match=r"fer2013\.csv: the CSV file cannot be read"):
        FER2013.read(tmp_path)


def test_an_image_whose_name_tells_no_split_is_named(tmp_path: Path) -> None:
    for name in ("train/angry/Training_1.jpg", "train/angry/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    records = FER2013.read(tmp_path)
    assert len(records) == 1
    assert unread_files(records) == {
        "train/angry/1.jpg": "the name does not tell the split, as Training_100.jpg, "
        "PublicTest_100.jpg and PrivateTest_100.jpg do"
    }


def test_a_wrong_number_of_pixels_is_an_error_of_that_image_only(tmp_path: Path) -> None:
    path = write_rows(tmp_path)
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
    write_rows(tmp_path)
    assert set(FER2013.read(tmp_path)["identity"]) == {""}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The synthetic database in every form."""
    folder = tmp_path_factory.mktemp("fer2013")
    for form in FORMS:
        write_fer2013(folder / form, form=form)
    return {form: folder / form for form in FORMS}


@pytest.mark.parametrize("form", ["fer2013.csv", "icml_face_data.csv", "folders"])
def test_the_synthetic_trees_have_six_people_and_one_face_twice(
    form: str, trees: dict[str, Path]
) -> None:
    records = FER2013.read(trees[form])
    assert records["split"].value_counts().to_dict() == {"train": 28, "val": 7, "test": 8}
    counts = dict.fromkeys(FER2013.classes, 6) | {"anger": 7}
    assert records["expression"].value_counts().to_dict() == counts
    assert {read_image(trees[form], image).shape for image in records["image"]} == {(48, 48)}


def test_the_synthetic_challenge_has_no_labels_in_its_test(trees: dict[str, Path]) -> None:
    records = FER2013.read(trees["train.csv"])
    assert records["split"].value_counts().to_dict() == {"train": 28, "test": 15}
    assert (records["expression"] == "").sum() == 15


@pytest.mark.parametrize("form", FORMS)
def test_a_damaged_file_is_named(form: str, trees: dict[str, Path]) -> None:
    index = {form} - {"folders"}
    for outcome in damage_each(FER2013, trees[form], sample(trees[form], "*", most=5)):
        if outcome.file in index:
            assert outcome.file in outcome.error or outcome.kind == "truncated"
            assert outcome.error or 14 <= len(outcome.lost) <= 22  # the second half
        elif outcome.file == "test.csv":
            assert outcome.error == ""
            assert outcome.is_named or outcome.kind == "truncated"
            assert all(image.startswith("test.csv") for image in outcome.lost)
        else:
            assert (outcome.error, outcome.lost, outcome.unread) == ("", set(), {})


@SETTINGS
@given(data=st.binary(max_size=200))
def test_no_bytes_of_the_table_give_another_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    root = tmp_path_factory.mktemp("fer2013")
    (root / "fer2013.csv").write_bytes(b"emotion,pixels,Usage\n3,0,Training\n" + data)
    try:
        first = FER2013.read(root)["image"].iloc[0]
    except DataError as error:
        first = str(error)
    assert "fer2013.csv" in first


@SETTINGS
@given(name=file_names)
def test_no_name_in_a_class_folder_stops_the_reader(trees: dict[str, Path], name: str) -> None:
    path = trees["folders"] / "train" / "happy" / f"{name}.jpg"
    path.touch()
    try:
        records = FER2013.read(trees["folders"])
        is_stray = name[0] == "." or name.lower().startswith("readme")
        assert len(records) + len(unread_files(records)) == 44 - is_stray
    finally:
        path.unlink()


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
