import itertools
import logging
import shutil
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.databases.kdef import KDEF, PUBLISHED, read_kdef
from ferlit.data.databases.trees.kdef import write_kdef
from ferlit.data.media.images import read_image
from ferlit.data.records import unread_files
from ferlit.data.synthetic.drafts import new_tree
from ferlit.errors import DataError

CODES = {
    "AF": "fear",
    "AN": "anger",
    "DI": "disgust",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people as the generator draws them; not to be changed."""
    root = tmp_path_factory.mktemp("kdef") / "tree"
    write_kdef(root)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One woman in both sessions, to be changed; the reader never opens the pictures."""
    for name in ("AF01AFS", "AF01AFHL", "AF01NES", "BF01AFS"):
        add_picture(tmp_path / "KDEF", name)
    return tmp_path


def add_picture(folder: Path, name: str, suffix: str = ".JPG") -> Path:
    path = folder / name[:4] / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_straight_pictures_are_read(tree: Path) -> None:
    records = KDEF.read(tree)
    # AF01, AM02 and BF01 with seven each, AF31 and AM31 with one; one of BF01 is black.
    assert len(records) == 7 + 7 + 6 + 1 + 1
    assert records["identity"].value_counts().to_dict() == {"F01": 13, "M02": 7, "F31": 1, "M31": 1}
    assert records["expression"].value_counts().to_dict() == {
        "neutral": 3,
        "anger": 3,
        "disgust": 2,
        "fear": 3,
        "happiness": 3,
        "sadness": 4,
        "surprise": 4,
    }
    assert records["image"].str.endswith("S.JPG").all()
    assert records["image"].is_monotonic_increasing


def test_a_record_names_its_file_below_the_root(tree: Path) -> None:
    assert KDEF.read(tree).iloc[0].to_dict() == {
        "image": "KDEF/AF01/AF01AFS.JPG",
        "expression": "fear",
        "identity": "F01",
        "sequence": "",
        "frame": 0,
        "split": "",
        "landmarks": "",
    }


def test_both_sessions_show_the_same_person(tree: Path) -> None:
    records = KDEF.read(tree).set_index("image")
    assert records.loc["KDEF/AF01/AF01HAS.JPG", "identity"] == "F01"
    assert records.loc["KDEF/BF01/BF01HAS.JPG", "identity"] == "F01"
    assert records.loc["KDEF/AM02/AM02HAS.JPG", "identity"] == "M02"
    first, second, other = (
        read_image(tree, f"KDEF/{name}/{name}HAS.JPG").ravel() for name in ("AF01", "BF01", "AM02")
    )
    assert np.corrcoef(first, second)[0, 1] > 0.9 > np.corrcoef(first, other)[0, 1]


@pytest.mark.parametrize(
    ("angle", "images"),
    [("FL", 22), ("HL", 23), ("S", 22), ("HR", 23), ("FR", 23), ("all", 113)],
)
def test_the_angle_is_an_option(angle: str, images: int, tree: Path) -> None:
    assert len(KDEF.read(tree, {"angle": angle})) == images


def test_black_pictures_are_unread(tree: Path) -> None:
    unread = unread_files(KDEF.read(tree, {"angle": "all"}))
    assert unread == dict.fromkeys(
        ("KDEF/AM02/AM02NEFL.JPG", "KDEF/BF01/BF01DIS.JPG"), "a plain black picture"
    )
    for name in unread:
        assert (tree / name).stat().st_size == 12_104
        assert read_image(tree, name).max() == 0


def test_the_misnamed_pictures_are_read_as_what_they_show(tree: Path) -> None:
    records = KDEF.read(tree, {"angle": "all"}).set_index("image")
    woman, man = "KDEF/AF31/AF31V.JPG", "KDEF/AM31/AM31H.JPG"
    assert tuple(records.loc[woman, ["expression", "identity"]]) == ("sadness", "F31")
    assert tuple(records.loc[man, ["expression", "identity"]]) == ("surprise", "M31")
    assert woman in set(KDEF.read(tree, {"angle": "HL"})["image"])
    assert man in set(KDEF.read(tree, {"angle": "HR"})["image"])
    assert not {woman, man} & set(KDEF.read(tree)["image"])


def test_a_picture_under_both_its_names_is_read_once(root: Path) -> None:
    add_picture(root / "KDEF", "AF31SAHL")
    add_picture(root / "KDEF", "AF31V")
    records = KDEF.read(root, {"angle": "all"})
    assert unread_files(records) == {"KDEF/AF31/AF31V.JPG": "the picture is in AF31SAHL.JPG too"}
    assert "KDEF/AF31/AF31SAHL.JPG" in set(records["image"])


@pytest.mark.parametrize("place", ["", "KDEF", "KDEF_and_AKDEF/KDEF"])
def test_the_folders_may_lie_higher_or_lower(place: str, tmp_path: Path) -> None:
    add_picture(tmp_path / place, "AM35SUS", ".jpg")
    (record,) = KDEF.read(tmp_path).to_dict("records")
    assert record["image"] == (Path(place) / "AM35/AM35SUS.jpg").as_posix()
    assert (record["identity"], record["expression"]) == ("M35", "surprise")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("AF01/AF01.JPG", "the name does not tell"),
        ("AF01/AF01XXS.JPG", "the name does not tell"),
        ("AF01/AF01AFL.JPG", "the name does not tell"),
        ("AF01/AF36AFS.JPG", "the name does not tell"),
        ("AF01/CF01AFS.JPG", "the name does not tell"),
        ("AF01/AF01AFS (1).JPG", "the name does not tell"),
        ("AF01/BF01AFS.JPG", "in the folder of another person or session"),
        ("AF01/AF31V.JPG", "in the folder of another person or session"),
        ("AF01/AF01AFS.jpeg", "the picture is in AF01AFS.JPG too"),
    ],
)
def test_a_name_that_breaks_the_pattern_is_unread(name: str, reason: str, root: Path) -> None:
    expected = KDEF.read(root)
    (root / "KDEF" / name).touch()
    records = KDEF.read(root)
    ((unread, found),) = unread_files(records).items()
    assert unread == f"KDEF/{name}"
    assert reason in found
    assert records.equals(expected)


def test_a_dangling_link_is_unread(root: Path) -> None:
    (root / "KDEF" / "AF01" / "AF01SAS.JPG").symlink_to("nowhere")
    assert unread_files(KDEF.read(root)) == {"KDEF/AF01/AF01SAS.JPG": "not a file"}


def test_what_systems_leave_behind_is_passed_over(root: Path) -> None:
    expected = KDEF.read(root)
    (root / "KDEF" / "__MACOSX").mkdir()
    for name in ("README.txt", "Thumbs.db", "AF01/.DS_Store", "AF01/._AF01AFS.JPG", "AF01/a.txt"):
        (root / "KDEF" / name).touch()
    records = KDEF.read(root)
    assert records.equals(expected)
    assert unread_files(records) == {}


def test_a_tree_without_persons_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "KDEF" / "AF36").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no folders of persons \(AF01, \.\.\.\); unpack KDEF_and"):
        KDEF.read(tmp_path)


def test_an_angle_without_pictures_is_an_error(root: Path) -> None:
    with pytest.raises(DataError, match="hold no picture of the angle FR"):
        KDEF.read(root, {"angle": "FR"})


def test_an_unknown_angle_is_an_error(root: Path) -> None:
    with pytest.raises(DataError, match="angle='L'; known are FL, HL, S, HR, FR, all"):
        KDEF.read(root, {"angle": "L"})


@settings(deadline=None)
@given(
    session=st.sampled_from("AB"),
    gender=st.sampled_from("FM"),
    number=st.integers(1, 35),
    code=st.sampled_from(sorted(CODES)),
    angle=st.sampled_from(["FL", "HL", "S", "HR", "FR"]),
    lower=st.booleans(),
)
def test_every_name_of_the_pattern_tells_person_expression_and_angle(
    session: str, gender: str, number: int, code: str, angle: str, lower: bool
) -> None:
    name = f"{session}{gender}{number:02d}{code}{angle}"
    with TemporaryDirectory() as folder:
        add_picture(Path(folder), name.lower() if lower else name)
        (record,) = read_kdef(Path(folder), angle=angle).to_dict("records")
        assert record["identity"] == f"{gender}{number:02d}"
        assert record["expression"] == CODES[code]


@settings(deadline=None)
@given(st.sets(st.text(string.ascii_letters + string.digits + "_-() é", max_size=12), max_size=5))
def test_every_name_of_a_picture_is_read_or_unread(stems: set[str]) -> None:
    with TemporaryDirectory() as folder:
        names = {f"AF01{stem}.JPG" for stem in stems} | {"AF01AFS.JPG"}
        for name in names:
            add_picture(Path(folder), name, "")
        records = read_kdef(Path(folder), angle="all")
        named = [*records["image"], *unread_files(records)]
        assert sorted(named) == sorted(f"AF01/{name}" for name in names)


def test_only_the_size_of_the_files_matters(tree: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tree, tmp_path / "copy")
    whole = KDEF.read(root)
    rng = np.random.default_rng(0)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    for index, damage in itertools.product(rng.choice(len(files), 12), ("random", "empty", "cut")):
        path = files[index]
        content = path.read_bytes()
        cut = content[: len(content) // 2] if damage == "cut" else b""
        path.write_bytes(rng.bytes(300) if damage == "random" else cut)
        records = KDEF.read(root)
        path.write_bytes(content)
        assert path.name == "BF01DIS.JPG" or records.equals(whole)


def test_the_database_says_how_it_is_used(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert KDEF.classes == (
        "neutral",
        "anger",
        "disgust",
        "fear",
        "happiness",
        "sadness",
        "surprise",
    )
    assert not KDEF.is_aligned
    assert (PUBLISHED.total, PUBLISHED.subjects) == (70 * 2 * 7, 70)
    with caplog.at_level(logging.INFO, logger="ferlit"):
        KDEF.read(root)
    line = "kdef: 3 images of 1 subjects; the published database has 980 of 70"
    assert [record.message for record in caplog.records] == [line]


def test_the_generator_makes_the_same_tree_twice(tree: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_kdef(again)
    files = sorted(path.relative_to(tree) for path in tree.rglob("*.JPG"))
    assert len(files) == 3 * 35 + 2 * 5
    assert all((tree / name).read_bytes() == (again / name).read_bytes() for name in files)
    assert read_image(tree, "KDEF/AF01/AF01NEFR.JPG").shape == (762, 562)
    with pytest.raises(DataError, match="exists; choose another folder"):
        write_kdef(again)


def test_an_interrupted_tree_leaves_nothing(tmp_path: Path) -> None:
    def write_half() -> None:
        with new_tree(tmp_path / "tree") as draft:
            (draft / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_pictures_that_is_no_person_is_named(root: Path) -> None:
    add_picture(root / "KDEF", "CF01AFS")
    (root / "KDEF" / "docs").mkdir()
    records = KDEF.read(root)
    assert len(records) == 3
    assert unread_files(records) == {
        "KDEF/CF01": "the folder's name is no session and person, as AF01 is"
    }
