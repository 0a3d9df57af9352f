from pathlib import Path

import pytest
from hypothesis import given

from ferlit.data.databases.ck48 import CK48
from ferlit.data.databases.ckplus import CKPLUS
from ferlit.data.databases.trees.ck48 import write_ck48
from ferlit.data.media.images import read_image
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.data.synthetic import write_ckplus
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, damage_each, file_names, sample


def fill(folder: Path) -> None:
    """Three sequences of two subjects, nine images."""
    names = {
        "anger": ["S010_004_00000017", "S010_004_00000018", "S010_004_00000019"],
        "happy": ["S010_006_00000013", "S010_006_00000014", "S010_006_00000015"],
        "sadness": ["S999_002_00000016", "S999_002_00000017", "S999_002_00000018"],
    }
    for expression, stems in names.items():
        (folder / expression).mkdir(parents=True)
        for stem in stems:
            (folder / expression / f"{stem}.png").touch()


@pytest.mark.parametrize("below", ["", "CK+48"])
def test_classes_come_from_the_folders_and_the_rest_from_the_names(
    below: str, tmp_path: Path
) -> None:
    fill(tmp_path / below)
    records = CK48.read(tmp_path)
    assert records["expression"].value_counts().to_dict() == {
        "anger": 3,
        "happiness": 3,
        "sadness": 3,
    }
    last = records.iloc[-1]
    assert last["image"] == (Path(below) / "sadness/S999_002_00000018.png").as_posix()
    assert (last["identity"], last["sequence"], last["frame"]) == ("S999", "S999_002", 18)
    assert set(records["split"]) == set(records["landmarks"]) == {""}


def test_stray_names_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "__MACOSX" / "anger").mkdir(parents=True)
    (tmp_path / "README.txt").touch()
    (tmp_path / "anger" / ".DS_Store").touch()
    (tmp_path / "anger" / "._S010_004_00000017.png").touch()
    (tmp_path / "anger" / "notes.txt").touch()
    assert len(CK48.read(tmp_path)) == 9


def test_a_name_that_tells_no_subject_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "anger" / "17.png").touch()
    records = CK48.read(tmp_path)
    assert len(records) == 9
    assert unread_files(records) == {
        "anger/17.png": "the name does not tell subject, sequence and frame, as "
        "S010_004_00000017.png does"
    }


def test_names_that_all_tell_no_subject_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "anger").mkdir()
    (tmp_path / "anger" / "17.png").touch()
    with pytest.raises(DataError, match=r"hold no images; anger/17\.png: the name does not tell"):
        CK48.read(tmp_path)


def test_a_sequence_in_two_class_folders_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "anger" / "S010_006_00000013.png").touch()
    records = CK48.read(tmp_path)
    assert records.groupby("expression").size().to_dict() == {"anger": 3, "sadness": 3}
    unread = unread_files(records)
    assert len(unread) == 4
    assert set(unread.values()) == {"the sequence S010_006 lies in the folders anger and happy"}


def test_a_second_picture_of_a_frame_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "happy" / "S010_006_13.jpg").touch()
    records = CK48.read(tmp_path)
    assert len(records) == 9
    assert unread_files(records) == {
        "happy/S010_006_13.jpg": "the frame is in S010_006_00000013.png too"
    }


def test_a_sequence_with_more_than_its_last_three_frames_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    (tmp_path / "happy" / "S010_006_00000001.png").touch()
    (tmp_path / "sadness" / "S999_002_00000017.png").unlink()
    records = CK48.read(tmp_path)
    assert set(records["sequence"]) == {"S010_004", "S999_002"}
    unread = unread_files(records)
    assert len(unread) == 4
    assert unread["happy/S010_006_00000015.png"].startswith("the sequence S010_006 has 4 frames, ")
    assert "1 sequences lack one of their three last frames: S999_002" in caplog.text


def test_a_folder_that_is_no_class_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "happyness").mkdir()
    (tmp_path / "happyness" / "S010_007_00000013.png").touch()
    (tmp_path / "docs").mkdir()
    records = CK48.read(tmp_path)
    assert len(records) == 9
    ((folder, reason),) = unread_files(records).items()
    assert (folder, reason[:29]) == ("happyness", "the folder is no expression; ")


def test_a_folder_without_classes_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        CK48.read(tmp_path)


def test_empty_class_folders_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "anger").mkdir()
    with pytest.raises(DataError, match="hold no images"):
        CK48.read(tmp_path)


def test_neutral_is_no_class(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "anger").rename(tmp_path / "neutral")
    with pytest.raises(DataError, match="'neutral'"):
        CK48.read(tmp_path)


def test_the_faces_are_aligned_and_vote_by_the_maximum() -> None:
    assert CK48.is_aligned
    assert CK48.has_identities
    assert CK48.sequence_rule == "max"
    assert CK48.classes == EXPRESSIONS[1:]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ck48") / "tree"
    write_ck48(root)
    return root


def test_the_synthetic_tree_has_three_people_with_seven_sequences_of_three(tree: Path) -> None:
    records = CK48.read(tree)
    assert records["expression"].value_counts().to_dict() == dict.fromkeys(CK48.classes, 9)
    assert records["identity"].value_counts().to_dict() == {"S005": 21, "S010": 21, "S011": 21}
    assert records["sequence"].value_counts().to_list() == [3] * 21
    assert {read_image(tree, image).shape for image in records["image"]} == {(48, 48)}
    assert unread_files(records) == {}


def test_the_twin_of_a_ckplus_tree_has_the_same_records(tmp_path: Path) -> None:
    write_ckplus(tmp_path / "ckplus", subjects=2, expressions_per_subject=2, frames=4)
    write_ck48(tmp_path / "ck48", tree=tmp_path / "ckplus")
    columns = ["expression", "identity", "sequence", "frame"]
    tables = [
        database.read(tmp_path / name)[columns].sort_values(["sequence", "frame"])
        for database, name in ((CKPLUS, "ckplus"), (CK48, "ck48"))
    ]
    assert tables[0].to_numpy().tolist() == tables[1].to_numpy().tolist()
    assert len(tables[0]) == 12


def test_damaged_images_are_left_to_the_preparation(tree: Path) -> None:
    for outcome in damage_each(CK48, tree, sample(tree, "*", most=5)):
        assert (outcome.error, outcome.lost, outcome.unread) == ("", set(), {})


@SETTINGS
@given(name=file_names)
def test_no_name_in_a_class_folder_stops_the_reader(tree: Path, name: str) -> None:
    path = tree / "CK+48" / "fear" / f"{name}.png"
    path.touch()
    try:
        records = CK48.read(tree)
        assert len(records) == 63
        is_stray = name[0] == "." or name.lower().startswith("readme")
        assert len(unread_files(records)) == (not is_stray)
    finally:
        path.unlink()
