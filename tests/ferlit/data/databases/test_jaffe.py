from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.databases.jaffe import CODES, JAFFE
from ferlit.data.databases.trees.jaffe import write_jaffe
from ferlit.data.media.images import read_image
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import file_names


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated tree, which no test may change."""
    root = tmp_path_factory.mktemp("jaffe") / "tree"
    write_jaffe(root)
    return root


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_expressions_and_subjects_come_from_the_names(made: Path) -> None:
    records = JAFFE.read(made)
    once = dict.fromkeys(JAFFE.classes, 3)
    assert records["expression"].value_counts().to_dict() == {**once, "anger": 4, "happiness": 4}
    assert records["identity"].value_counts().to_dict() == {"KA": 8, "KL": 8, "SA": 7}
    for column in ("sequence", "split", "landmarks"):
        assert set(records[column]) == {""}
    assert records["image"].is_monotonic_increasing
    assert unread_files(records) == {}


def test_a_subject_that_is_called_like_an_expression_keeps_its_expressions(made: Path) -> None:
    records = JAFFE.read(made)
    shown = records.loc[records["identity"] == "SA", "expression"]
    assert sorted(shown) == sorted(JAFFE.classes)


@pytest.mark.parametrize("below", ["", "jaffe", "jaffedbase"])
def test_the_folder_may_be_the_root_or_below_it(below: str, tmp_path: Path) -> None:
    fill(tmp_path / below, "KA.AN1.39.tiff", "NM.NE2.93.TIFF")
    records = JAFFE.read(tmp_path)
    rows = records[["image", "expression", "identity"]].to_numpy().tolist()
    assert rows == [
        [(Path(below) / "KA.AN1.39.tiff").as_posix(), "anger", "KA"],
        [(Path(below) / "NM.NE2.93.TIFF").as_posix(), "neutral", "NM"],
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("KA.AN.39.tiff", "does not tell subject and expression"),
        ("KA.AN1.tiff", "does not tell subject and expression"),
        ("ka.an1.39.tiff", "does not tell subject and expression"),
        ("copy of KA.AN1.39.tiff", "does not tell subject and expression"),
        ("KA.XX1.39.tiff", "the expression 'XX'; known are AN anger, DI disgust"),
    ],
)
def test_an_unexpected_name_is_unread_and_the_rest_is_read(
    name: str, reason: str, tmp_path: Path
) -> None:
    fill(tmp_path / "jaffe", "KA.AN1.39.tiff", name)
    records = JAFFE.read(tmp_path)
    assert records["image"].tolist() == ["jaffe/KA.AN1.39.tiff"]
    assert reason in unread_files(records)[f"jaffe/{name}"]


@settings(deadline=None, max_examples=30)
@given(
    subject=st.from_regex(r"\A[A-Z]{2}\Z"),
    code=st.sampled_from(sorted(CODES)),
    take=st.integers(1, 99),
    serial=st.integers(0, 9999),
)
def test_the_fields_are_told_apart_whatever_they_are(
    subject: str, code: str, take: int, serial: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("names")
    fill(root, f"{subject}.{code}{take}.{serial}.tiff")
    record = JAFFE.read(root).iloc[0]
    assert (record["identity"], record["expression"]) == (subject, CODES[code])


@settings(deadline=None, max_examples=50)
@given(name=file_names)
def test_any_name_of_a_picture_leaves_the_others_alone(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = fill(tmp_path_factory.mktemp("names"), "KA.AN1.39.tiff", f"{name}.tiff")
    assert "KA.AN1.39.tiff" in JAFFE.read(root)["image"].tolist()


def test_stray_files_are_passed_over(tmp_path: Path) -> None:
    fill(tmp_path / "jaffe", "KA.AN1.39.tiff", "README", ".DS_Store", "._KA.AN1.39.tiff", "a.txt")
    fill(tmp_path / "__MACOSX", "._KA.AN1.39.tiff")
    records = JAFFE.read(tmp_path)
    assert len(records) == 1
    assert unread_files(records) == {}


def test_a_folder_without_jaffe_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path / "jaffe", "README")
    with pytest.raises(DataError, match=r"there is no JAFFE.*unpack jaffedbase\.zip"):
        JAFFE.read(tmp_path)


@pytest.mark.parametrize("damage", [b"", bytes(range(256))])
def test_damaged_pictures_are_left_to_the_preparation(damage: bytes, tmp_path: Path) -> None:
    (fill(tmp_path, "KA.AN1.39.tiff") / "KA.AN1.39.tiff").write_bytes(damage)
    assert len(JAFFE.read(tmp_path)) == 1


def test_the_pictures_are_whole_grey_heads_that_need_registration(made: Path) -> None:
    assert not JAFFE.is_aligned
    assert JAFFE.has_identities
    assert JAFFE.classes == tuple(name for name in EXPRESSIONS if name != "contempt")
    for image in JAFFE.read(made)["image"]:
        assert read_image(made, image).shape == (256, 256)


def test_the_tree_is_fixed_by_its_seed(made: Path, tmp_path: Path) -> None:
    write_jaffe(tmp_path / "again")
    write_jaffe(tmp_path / "other", seed=1)
    image = JAFFE.read(made).loc[0, "image"]
    np.testing.assert_array_equal(read_image(made, image), read_image(tmp_path / "again", image))
    assert (read_image(made, image) != read_image(tmp_path / "other", image)).any()
    with pytest.raises(DataError, match="exists"):
        write_jaffe(tmp_path / "again")


def test_a_picture_that_is_there_twice_and_a_serial_number_of_two_pictures_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("KA.AN1.39.tiff", "KA.AN1.39.png", "KA.HA1.40.tiff", "KL.SA1.40.tiff"):
        (tmp_path / name).touch()
    records = JAFFE.read(tmp_path)
    assert records["image"].tolist() == ["KA.AN1.39.png", "KA.HA1.40.tiff", "KL.SA1.40.tiff"]
    assert unread_files(records) == {"KA.AN1.39.tiff": "the picture is in KA.AN1.39.png too"}
    assert "KA.HA1.40.tiff and KL.SA1.40.tiff have one serial number" in caplog.text
