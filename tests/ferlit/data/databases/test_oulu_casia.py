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

from ferlit.data.databases.oulu_casia import OULU_CASIA, PUBLISHED, read_oulu_casia
from ferlit.data.databases.trees.oulu_casia import write_oulu_casia
from ferlit.data.media.images import read_image
from ferlit.data.records import unread_files
from ferlit.errors import DataError

STRONG = "OriginalImg/VL/Strong"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people as the generator draws them; not to be changed."""
    root = tmp_path_factory.mktemp("oulu_casia") / "tree"
    write_oulu_casia(root)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two people with three sequences, to be changed; the reader never opens the pictures."""
    add_sequence(tmp_path / STRONG / "P001" / "Anger", range(5))
    add_sequence(tmp_path / STRONG / "P001" / "Surprise", range(4))
    add_sequence(tmp_path / STRONG / "P080" / "Fear", range(3))
    return tmp_path


def add_sequence(folder: Path, frames: range) -> None:
    folder.mkdir(parents=True)
    for frame in frames:
        (folder / f"{frame:03d}.jpeg").touch()


def test_the_last_three_frames_under_strong_visible_light_are_read(tree: Path) -> None:
    records = OULU_CASIA.read(tree)
    assert len(records) == 3 * 6 * 3
    assert records["expression"].value_counts().to_dict() == dict.fromkeys(OULU_CASIA.classes, 9)
    assert records["identity"].value_counts().to_dict() == {"P001": 18, "P002": 18, "P080": 18}
    assert records["sequence"].nunique() == 18
    assert set(records.groupby("sequence")["frame"].apply(tuple)) == {(2, 3, 4)}
    assert unread_files(records) == {}


def test_a_record_names_its_file_below_the_root(tree: Path) -> None:
    assert OULU_CASIA.read(tree).iloc[-1].to_dict() == {
        "image": "OriginalImg/VL/Strong/P080/Surprise/004.jpeg",
        "expression": "surprise",
        "identity": "P080",
        "sequence": "P080_Surprise",
        "frame": 4,
        "split": "",
        "landmarks": "",
    }


@pytest.mark.parametrize("spectrum", ["VL", "NI"])
@pytest.mark.parametrize("light", ["Strong", "Weak", "Dark"])
def test_spectrum_and_light_are_options(spectrum: str, light: str, tree: Path) -> None:
    records = OULU_CASIA.read(tree, {"spectrum": spectrum, "light": light})
    assert records["image"].str.startswith(f"OriginalImg/{spectrum}/{light}/").all()
    # Shorter sequences give the frames that they have.
    frames = 2 if spectrum == "NI" or light == "Dark" else 3
    assert len(records) == 18 * frames
    assert records["identity"].nunique() == 3


@pytest.mark.parametrize(("frames", "images"), [(1, 18), (2, 36), (5, 90), (99, 90)])
def test_the_number_of_frames_is_an_option(frames: int, images: int, tree: Path) -> None:
    records = OULU_CASIA.read(tree, {"frames": frames})
    assert len(records) == images
    assert records.groupby("sequence")["frame"].max().eq(4).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spectrum": "IR"}, "spectrum='IR'; known are VL, NI"),
        ({"light": "strong"}, "light='strong'; known are Strong, Weak, Dark"),
        ({"frames": 0}, "frames=0; at least 1"),
        ({"angle": "S"}, "unknown option 'angle'; known are spectrum, light, frames"),
    ],
)
def test_a_wrong_option_is_an_error(options: dict[str, object], message: str, root: Path) -> None:
    with pytest.raises(DataError, match=message):
        OULU_CASIA.read(root, options)


@pytest.mark.parametrize("place", ["", "B_OriginalImg", "B_OriginalImg/OriginalImg"])
def test_the_tree_may_lie_higher_or_lower(place: str, tmp_path: Path) -> None:
    add_sequence(tmp_path / place / "VL" / "Strong" / "P001" / "Anger", range(3))
    records = OULU_CASIA.read(tmp_path)
    first = (Path(place) / "VL/Strong/P001/Anger/000.jpeg").as_posix()
    assert records["image"].iloc[0] == first


def test_frames_are_ordered_by_number_whatever_their_digits(tmp_path: Path) -> None:
    folder = tmp_path / STRONG / "P001" / "Anger"
    folder.mkdir(parents=True)
    for name in ("9.jpeg", "10.JPG", "011.jpg", "008.jpeg"):
        (folder / name).touch()
    assert OULU_CASIA.read(tmp_path)["frame"].tolist() == [9, 10, 11]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("P001/Anger/peak.jpeg", "the name tells no frame"),
        ("P001/Anger/005 (1).jpeg", "the name tells no frame"),
        ("P001/Anger/\u0665.jpeg", "the name tells no frame"),
        ("P001/Anger/004.png", "the name tells no frame"),
        ("P001/Anger/04.jpg", "the frame is in 004.jpeg too"),
        ("P1/Anger/000.jpeg", "the folder's name tells no person"),
        ("P001/Bored/000.jpeg", "no expression; known are anger"),
        ("P001/Contempt/000.jpeg", "no expression; known are anger"),
        ("P001/Neutral/000.jpeg", "no expression; known are anger"),
    ],
)
def test_what_the_names_do_not_tell_is_unread(name: str, reason: str, root: Path) -> None:
    expected = OULU_CASIA.read(root)
    path = root / STRONG / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    records = OULU_CASIA.read(root)
    ((unread, found),) = unread_files(records).items()
    # Without frame, the file's name is at fault; without person or expression, the folder's.
    assert f"{STRONG}/{name}".startswith(unread)
    assert reason in found
    assert records.equals(expected)


def test_an_empty_folder_and_a_dangling_link_are_unread(root: Path) -> None:
    (root / STRONG / "P080" / "Sadness").mkdir()
    (root / STRONG / "P001" / "Anger" / "005.jpeg").symlink_to("nowhere")
    records = OULU_CASIA.read(root)
    assert unread_files(records) == {
        f"{STRONG}/P080/Sadness": "the folder holds no images",
        f"{STRONG}/P001/Anger/005.jpeg": "not a file",
    }
    assert records["frame"].tolist() == [2, 3, 4, 1, 2, 3, 0, 1, 2]


def test_what_systems_leave_behind_is_passed_over(root: Path) -> None:
    expected = OULU_CASIA.read(root)
    (root / STRONG / "__MACOSX" / "P001").mkdir(parents=True)
    (root / STRONG / "P001" / "__MACOSX").mkdir()
    for name in ("Thumbs.db", "P001/.DS_Store", "P001/Anger/Thumbs.db", "P001/Anger/._004.jpeg"):
        (root / STRONG / name).touch()
    records = OULU_CASIA.read(root)
    assert records.equals(expected)
    assert unread_files(records) == {}


def test_a_light_that_is_not_there_is_an_error(root: Path) -> None:
    with pytest.raises(DataError, match=r"no folder OriginalImg/NI/Dark; unpack B_OriginalImg\."):
        OULU_CASIA.read(root, {"spectrum": "NI", "light": "Dark"})


def test_a_light_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / STRONG / "P001" / "Anger").mkdir(parents=True)
    with pytest.raises(DataError, match="there are no images, such as P001/Anger"):
        OULU_CASIA.read(tmp_path)


@settings(deadline=None)
@given(first=st.integers(0, 10**8), count=st.integers(1, 12), frames=st.integers(1, 9))
def test_the_last_frames_are_those_with_the_highest_numbers(
    first: int, count: int, frames: int
) -> None:
    numbers = range(first, first + count)
    with TemporaryDirectory() as folder:
        sequence = Path(folder, "VL", "Strong", "P001", "Fear")
        sequence.mkdir(parents=True)
        for number in numbers:
            (sequence / f"{number:03d}.jpeg").touch()
        records = read_oulu_casia(Path(folder), frames=frames)
        assert records["frame"].tolist() == sorted(numbers)[-frames:]


def test_a_sequence_of_whose_last_frames_one_is_missing_is_left_out(root: Path) -> None:
    (root / STRONG / "P001" / "Anger" / "003.jpeg").unlink()
    (root / STRONG / "P001" / "Surprise" / "000.jpeg").unlink()  # before the last three
    records = OULU_CASIA.read(root)
    assert set(records["sequence"]) == {"P001_Surprise", "P080_Fear"}
    assert unread_files(records) == {
        f"{STRONG}/P001/Anger": "the image of frame 3, one of the last 3, is missing; unpack "
        "B_OriginalImg.zip anew"
    }
    assert len(OULU_CASIA.read(root, {"frames": 1})) == 3


@settings(deadline=None)
@given(
    st.sets(st.text(string.ascii_letters + string.digits + "_-() é", max_size=12), max_size=5),
    st.sampled_from([".jpeg", ".JPG", ".txt", ""]),
)
def test_every_name_of_an_image_is_read_or_unread(stems: set[str], ending: str) -> None:
    with TemporaryDirectory() as folder:
        sequence = Path(folder, "VL", "Strong", "P001", "Fear")
        add_sequence(sequence, range(1))
        names = {f"x{stem}{ending}" for stem in stems} | {f"1{ending}"}
        for name in names:
            (sequence / name).touch()
        records = read_oulu_casia(Path(folder), frames=99)
        images = {name for name in names if ending in (".jpeg", ".JPG")} | {"000.jpeg"}
        named = [*records["image"], *unread_files(records)]
        assert sorted(named) == sorted(f"VL/Strong/P001/Fear/{name}" for name in images)


def test_the_content_of_the_files_does_not_matter(tree: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tree, tmp_path / "copy")
    whole = OULU_CASIA.read(root)
    rng = np.random.default_rng(0)
    files = sorted(path for path in (root / STRONG).rglob("*") if path.is_file())
    for index, damage in itertools.product(rng.choice(len(files), 8), ("random", "empty", "cut")):
        path = files[index]
        content = path.read_bytes()
        cut = content[: len(content) // 2] if damage == "cut" else b""
        path.write_bytes(rng.bytes(300) if damage == "random" else cut)
        records = OULU_CASIA.read(root)
        path.write_bytes(content)
        assert records.equals(whole)
        assert unread_files(records) == {}


def test_a_file_in_place_of_a_folder_spoils_only_that_folder(root: Path) -> None:
    folder = root / STRONG / "P001" / "Surprise"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_bytes(b"no folder")
    assert set(OULU_CASIA.read(root)["sequence"]) == {"P001_Anger", "P080_Fear"}


def test_the_database_says_how_it_is_used(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert OULU_CASIA.classes == ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    assert OULU_CASIA.sequence_rule == "max"
    assert not OULU_CASIA.is_aligned
    assert sum(PUBLISHED.expressions.values()) == PUBLISHED.total == 480
    with caplog.at_level(logging.INFO, logger="ferlit"):
        OULU_CASIA.read(root)
    line = "oulu_casia: 3 sequences of 2 subjects; the published database has 480 of 80"
    assert [record.message for record in caplog.records] == [line]


def test_the_pictures_are_those_of_the_database(tree: Path) -> None:
    visible = read_image(tree, f"{STRONG}/P001/Anger/004.jpeg")
    dark = read_image(tree, "OriginalImg/NI/Dark/P001/Anger/001.jpeg")
    assert visible.shape == dark.shape == (240, 320)
    assert visible.mean() > 2 * dark.mean()


def test_the_generator_makes_the_same_tree_twice(tree: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    write_oulu_casia(again)
    files = sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
    # Thumbs.db is there three times; 5 frames of VL/Strong, 4 of VL/Weak, 2 of the other four.
    assert len(files) == 3 + 18 * (5 + 4 + 4 * 2)
    assert all((tree / name).read_bytes() == (again / name).read_bytes() for name in files)
    with pytest.raises(DataError, match="exists; choose another folder"):
        write_oulu_casia(again)
