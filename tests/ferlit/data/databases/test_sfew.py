import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.databases.sfew import SFEW, clip_of
from ferlit.data.databases.trees.sfew import NOT_A_FACE, write_sfew
from ferlit.data.media.images import read_image
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import file_names


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated tree, which no test may change."""
    root = tmp_path_factory.mktemp("sfew") / "SFEW"
    write_sfew(root)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree of empty images, for the tests that change it."""
    for name in (
        "Train/Train_Aligned_Faces/Angry/Airheads_000519240_00000005.png",
        "Train/Train_Aligned_Faces/Sad/21_001404920_00000004.png",
        "Val/Val_Aligned_Faces/Happy/HarryPotter_Deathly_Hallows_1_005528520_00000001.png",
        "Test/Test_Aligned_Faces/Bridesmaids_000412200_00000012.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    return tmp_path


def test_the_aligned_faces_are_read_by_class_and_split(made: Path) -> None:
    records = SFEW.read(made)
    assert records["split"].value_counts().to_dict() == {"train": 15, "val": 7, "test": 4}
    train, val, test = (records[records["split"] == split] for split in ("train", "val", "test"))
    twice = dict.fromkeys(SFEW.classes, 2)
    assert train["expression"].value_counts().to_dict() == {**twice, "sadness": 3}
    assert val["expression"].value_counts().to_dict() == dict.fromkeys(SFEW.classes, 1)
    assert set(test["expression"]) == {""}
    assert unread_files(records) == {}


def test_nobody_is_named_and_each_image_stands_alone(made: Path) -> None:
    records = SFEW.read(made)
    for column in ("identity", "sequence", "landmarks"):
        assert set(records[column]) == {""}
    assert set(records["frame"]) == {0}
    assert not SFEW.has_identities


def test_a_record_is_as_the_folders_say(made: Path) -> None:
    records = SFEW.read(made).set_index("image")
    name = "Val/Val_Aligned_Faces/Sad/HarryPotter_Deathly_Hallows_1_001130040_00000006.png"
    assert (records.loc[name, "expression"], records.loc[name, "split"]) == ("sadness", "val")
    assert read_image(made, name).shape == (181, 143)


def test_the_films_and_clips_are_told_by_the_names(made: Path) -> None:
    records = SFEW.read(made)
    clips = records.groupby("split")["image"].agg(lambda images: set(map(clip_of, images)))
    assert clips["train"] == {
        ("Airheads", "000519240"),
        ("Airheads", "001404920"),
        ("21", "001404920"),
        ("21", "000230110"),
    }
    assert clips["val"] == {
        ("HarryPotter_Deathly_Hallows_1", "005528520"),
        ("HarryPotter_Deathly_Hallows_1", "001130040"),
    }
    assert clips["test"] == {("Bridesmaids", "000412200")}


FILM = st.from_regex(r"\A[A-Za-z0-9]+(_[A-Za-z0-9]+)*\Z")


@settings(deadline=None)
@given(FILM, st.integers(0, 10**9 - 1), st.integers(0, 10**8 - 1))
def test_any_film_is_told_from_time_and_frame(film: str, time: int, frame: int) -> None:
    assert clip_of(f"Train/Angry/{film}_{time:09d}_{frame:08d}.png") == (film, f"{time:09d}")


@settings(deadline=None)
@given(st.text())
def test_any_text_has_a_clip_or_is_refused(name: str) -> None:
    try:
        film, time = clip_of(name)
    except DataError:
        return
    assert f"{film}_{time}_" in name


@pytest.mark.parametrize(
    "name",
    ["_000519240_00000005.png", "Airheads_00519240_00000005.png", "Airheads_000519240_5.png", ""],
)
def test_a_name_without_film_time_and_frame_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="does not tell film, time and frame"):
        clip_of(name)


@settings(deadline=None, max_examples=50)
@given(name=file_names)
def test_any_name_of_an_image_leaves_the_others_alone(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("names")
    folder = root / "Train/Train_Aligned_Faces/Angry"
    folder.mkdir(parents=True)
    for image in ("21_000000001_00000001", name):
        (folder / f"{image}.png").touch()
    assert (
        "21_000000001_00000001"
        in SFEW.read(root)["image"].map(lambda image: Path(image).stem).tolist()
    )


def test_names_can_be_excluded_with_or_without_the_suffix(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = tmp_path / "names.txt"
    names.write_text(f"{NOT_A_FACE}\r\n\r\nBridesmaids_000412200_00000002\n")
    with caplog.at_level(logging.WARNING):
        records = SFEW.read(made, {"exclude": names})
    assert not caplog.messages
    left_out = set(SFEW.read(made)["image"]) - set(records["image"])
    assert left_out == {
        f"Train/Train_Aligned_Faces/Sad/{NOT_A_FACE}",
        "Test/Test_Aligned_Faces/Bridesmaids_000412200_00000002.png",
    }


def test_a_name_to_exclude_that_is_no_image_is_told(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("Airheads_000000000_00000000.png\n")
    with caplog.at_level(logging.WARNING):
        assert len(SFEW.read(made, {"exclude": names})) == 26
    assert "1 names to exclude are no images: Airheads_000000000_00000000.png" in caplog.text


def test_a_damaged_list_to_exclude_is_an_error(made: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_bytes(bytes(range(256)))
    with pytest.raises(
        DataError, match=r"names\.txt: line \d+ has the byte 0x80, which is not UTF"
    ):
        SFEW.read(made, {"exclude": names})


def test_a_list_to_exclude_that_is_missing_is_an_error(made: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.txt: the list of images to exclude cannot be"):
        SFEW.read(made, {"exclude": Path("absent.txt")})


def test_the_folder_above_will_do(made: Path) -> None:
    assert "SFEW/Test/Test_Aligned_Faces/Bridesmaids_000412200_00000001.png" in set(
        SFEW.read(made.parent)["image"]
    )


def test_the_folders_of_the_archives_may_lie_in_the_root(root: Path) -> None:
    (root / "Train/Train_Aligned_Faces").rename(root / "Train_Aligned_Faces")
    assert len(SFEW.read(root)) == 4


def test_the_new_faces_of_the_validation_replace_the_first(root: Path) -> None:
    new = root / "Val/Val_Aligned_Faces_new/Fear/21_000000001_00000001.png"
    new.parent.mkdir(parents=True)
    new.touch()
    records = SFEW.read(root)
    assert records.loc[records["split"] == "val", "image"].tolist() == [
        new.relative_to(root).as_posix()
    ]


def test_a_split_may_be_missing(root: Path) -> None:
    (root / "Test").rename(root / "elsewhere")
    assert set(SFEW.read(root)["split"]) == {"train", "val"}


def test_what_is_out_of_place_is_unread_and_the_rest_is_read(root: Path) -> None:
    train, test = root / "Train/Train_Aligned_Faces", root / "Test/Test_Aligned_Faces"
    (train / "Angry" / "5.png").touch()
    (train / "Airheads_000519240_00000006.png").touch()
    for folder in (train / "Contempt", train / "Bored", test / "Angry"):
        folder.mkdir()
        (folder / "Airheads_000519240_00000007.png").touch()
    records = SFEW.read(root)
    assert len(records) == 4
    reasons = unread_files(records)
    known = "the folder is no expression of SFEW; known are neutral, anger, disgust"
    assert set(reasons) == {
        "Train/Train_Aligned_Faces/Angry/5.png",
        "Train/Train_Aligned_Faces/Airheads_000519240_00000006.png",
        "Train/Train_Aligned_Faces/Contempt",
        "Train/Train_Aligned_Faces/Bored",
        "Test/Test_Aligned_Faces/Angry",
    }
    assert "'5.png'" in reasons["Train/Train_Aligned_Faces/Angry/5.png"]
    assert reasons["Train/Train_Aligned_Faces/Bored"].startswith(known)
    assert reasons["Train/Train_Aligned_Faces/Contempt"].startswith(known)


def test_stray_files_are_passed_over(root: Path) -> None:
    for folder in ("Train/Train_Aligned_Faces", "Train/Train_Aligned_Faces/Angry"):
        for name in (".DS_Store", "Thumbs.db", "README", "._Airheads_000519240_00000005.png"):
            (root / folder / name).touch()
        (root / folder / "__MACOSX").mkdir()
    records = SFEW.read(root)
    assert len(records) == 4
    assert unread_files(records) == {}


def test_a_folder_without_sfew_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"there is no SFEW 2\.0.*Val_Aligned_Faces_new\.zip"):
        SFEW.read(tmp_path)


def test_folders_without_images_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "Train/Train_Aligned_Faces/Angry").mkdir(parents=True)
    with pytest.raises(DataError, match="no images named as Airheads_000519240_00000005"):
        SFEW.read(tmp_path)


@pytest.mark.parametrize("damage", [b"", bytes(range(256))])
def test_damaged_images_are_left_to_the_preparation(damage: bytes, root: Path) -> None:
    for image in root.rglob("*.png"):
        image.write_bytes(damage)
    assert len(SFEW.read(root)) == 4


def test_the_faces_need_registration_and_have_seven_classes() -> None:
    assert not SFEW.is_aligned
    assert SFEW.classes == tuple(name for name in EXPRESSIONS if name != "contempt")


def test_the_tree_is_fixed_by_its_seed(made: Path, tmp_path: Path) -> None:
    write_sfew(tmp_path / "again")
    write_sfew(tmp_path / "other", seed=1)
    image = SFEW.read(made).loc[0, "image"]
    np.testing.assert_array_equal(read_image(made, image), read_image(tmp_path / "again", image))
    assert (read_image(made, image) != read_image(tmp_path / "other", image)).any()
    with pytest.raises(DataError, match="exists"):
        write_sfew(tmp_path / "again")


LABELS = "image_name,label,emotion,original_split"


def write_labels(root: Path, *rows: str, encoding: str = "utf-8") -> None:
    text = "\n".join([LABELS, *rows]) + "\n"
    (root / "sfew_2.0_labels.csv").write_text(text, encoding=encoding)


def test_a_table_of_labels_that_agrees_changes_nothing(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = SFEW.read(root)
    write_labels(
        root,
        "Airheads_000519240_00000005.png,1,Angry,Train",
        "21_001404920_00000004,6,sad,Train",
        "Somebody_000000000_00000001.png,4,Happy,Val",
        "Bridesmaids_000412200_00000012.png,,,Test",
    )
    records = SFEW.read(root)
    assert records.equals(expected)
    assert "1 images have no row: HarryPotter_Deathly_Hallows_1_005528520_00000001" in caplog.text
    assert "1 rows name no image that is there: Somebody_000000000_00000001" in caplog.text


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            "21_001404920_00000004.png,1,Angry,Train",
            "row 1 .* expression anger, but its folder sad",
        ),
        ("21_001404920_00000004.png,6,Sad,Val", "row 1 .* the split val, but its folder train"),
        ("21_001404920_00000004.png,1,Sad,Train", "row 1 .* code 1, which is anger .* is sadness"),
        ("21_001404920_00000004.png,1,,Train", "row 1 .* code 1, which is anger .* is sadness"),
        ("21_001404920_00000004.png,6,Bored,Train", "row 1 .* unknown expression 'Bored'"),
        ("21_001404920_00000004.png,6,Sad,Tra", "row 1 .* the split 'Tra'; known are"),
        ("Airheads_000519240_00000005.png,1,Angry,Train", "row 1 .* again, as row 0 does"),
    ],
)
def test_a_table_of_labels_that_disagrees_is_refused(row: str, message: str, root: Path) -> None:
    write_labels(root, "Airheads_000519240_00000005.png,1,Angry,Train", row)
    with pytest.raises(DataError, match=message):
        SFEW.read(root)


def test_a_frame_in_two_folders_is_left_out(root: Path) -> None:
    other = root / "Train/Train_Aligned_Faces/Happy/Airheads_000519240_00000005.png"
    other.parent.mkdir()
    other.touch()
    records = SFEW.read(root)
    assert len(records) == 3
    place = "Train/Train_Aligned_Faces"
    assert unread_files(records) == dict.fromkeys(
        (f"{place}/{name}/Airheads_000519240_00000005.png" for name in ("Angry", "Happy")),
        f"the frame is in {place}/Angry and {place}/Happy",
    )


def test_the_faces_of_the_first_edition_beside_the_new_ones_are_named(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "Val/Val_Aligned_Faces").rename(root / "Val/Val_Aligned_Faces_new")
    (root / "Val/Val_Aligned_Faces").mkdir()
    assert len(SFEW.read(root)) == 4
    assert "Val_Aligned_Faces_new is read; not used: Val/Val_Aligned_Faces" in caplog.text
