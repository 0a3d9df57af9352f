from pathlib import Path

import pytest

from ferlit.data.databases.ck48 import CK48
from ferlit.data.records import EXPRESSIONS
from ferlit.errors import DataError


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


def test_a_name_that_tells_no_subject_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "anger" / "17.png").touch()
    with pytest.raises(DataError, match=r"17\.png: the name does not tell subject"):
        CK48.read(tmp_path)


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
