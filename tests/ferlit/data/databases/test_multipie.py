import logging
from pathlib import Path

import cv2
import pytest
from hypothesis import given

from ferlit.data.databases.counts import check_counts
from ferlit.data.databases.multipie import CAMERA_SETS, CAMERAS, MULTIPIE, PUBLISHED
from ferlit.data.databases.trees.multipie import write_multipie
from ferlit.data.records import record_table, unread_files
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, damage_each, file_names, sample

# The recordings of the synthetic people: 001 came to all four sessions, 002 to the first two and
# 346 to the last two.
RECORDINGS = {"neutral": 10, "happiness": 4, "disgust": 2, "surprise": 2}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("multipie") / "tree"
    write_multipie(root)
    return root


def touch(root: Path, name: str) -> None:
    path = root / "session01" / "multiview" / "001" / "01" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_session_and_recording_tell_the_expression_and_the_subject_the_identity(
    tree: Path,
) -> None:
    records = MULTIPIE.read(tree)
    counts = {name: 7 * count for name, count in RECORDINGS.items()}
    assert records["expression"].value_counts().to_dict() == counts
    assert records["identity"].value_counts().to_dict() == {"001": 63, "002": 28, "346": 35}
    shown = records.set_index("image")["expression"]
    for recording, expression in (
        ("session01/multiview/001/01/05_1/001_01_01_051_07.png", "neutral"),
        ("session01/multiview/001/02/05_1/001_01_02_051_07.png", "happiness"),
        ("session02/multiview/002/02/13_0/002_02_02_130_07.png", "surprise"),
        ("session03/multiview/346/03/04_1/346_03_03_041_07.png", "disgust"),
        ("session04/multiview/346/02/05_1/346_04_02_051_19.png", "neutral"),
    ):
        assert shown[recording] == expression
    assert not any("highres" in image for image in shown.index)
    assert shown.index.is_monotonic_increasing
    assert unread_files(records) == {}


def test_squint_and_scream_are_left_out_and_counted(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ferlit"):
        MULTIPIE.read(tree)
    assert "14 of scream and 14 of squint are left out" in caplog.text


@pytest.mark.parametrize(
    ("options", "images"),
    [
        ({"cameras": "frontal7"}, 18 * 9),
        ({"cameras": "all"}, 18 * 11),
        ({"cameras": "05_1"}, 18 * 3),
        ({"cameras": "14_0, 11_0"}, 18 * 2),
        ({"illuminations": "07"}, 18 * 5),
        ({"illuminations": "7,07,0"}, 18 * 6),
        ({"sessions": "1"}, 4 * 7),
        ({"sessions": "02,3"}, 10 * 7),
        ({"cameras": "08_1", "illuminations": "07", "sessions": "4"}, 4),
    ],
)
def test_options_choose_cameras_illuminations_and_sessions(
    options: dict[str, str], images: int, tree: Path
) -> None:
    assert len(MULTIPIE.read(tree, options)) == images


def test_the_default_is_five_cameras_within_30_degrees() -> None:
    assert CAMERA_SETS["frontal5"] == ("13_0", "14_0", "05_1", "05_0", "04_1")
    assert CAMERA_SETS["frontal7"] == ("08_0", *CAMERA_SETS["frontal5"], "19_0")
    assert len(set(CAMERAS)) == 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cameras": "05_1,5"}, "no camera '5'; give frontal5, frontal7, all, or some of 11_0"),
        ({"illuminations": "20"}, "no illumination '20'; give all, or some of 00, 01"),
        ({"sessions": "first"}, "no session 'first'; give all, or some of 01, 02, 03, 04"),
        ({"sessions": "1,"}, "no session ''"),
        ({"illuminations": ""}, "no illumination ''"),
        ({"cameras": "24_0"}, "no images of the cameras 24_0, the sessions all"),
        ({"illuminations": "05"}, "no images of the cameras 13_0, .* and the illuminations 05"),
    ],
)
def test_an_option_that_finds_nothing_is_an_error(
    options: dict[str, str], message: str, tree: Path
) -> None:
    with pytest.raises(DataError, match=message):
        MULTIPIE.read(tree, options)


def test_the_sessions_may_lie_in_a_folder_data(tmp_path: Path) -> None:
    touch(tmp_path / "data", "05_1/001_01_01_051_07.png")
    assert MULTIPIE.read(tmp_path)["image"].tolist() == [
        "data/session01/multiview/001/01/05_1/001_01_01_051_07.png"
    ]


def test_a_root_without_sessions_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "multiview").mkdir()
    with pytest.raises(DataError, match="no folder session01/multiview"):
        MULTIPIE.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "unread", "reason"),
    [
        ("05_1/face.png", "05_1/face.png", "the name does not tell subject, session, recording"),
        ("05_1/001_01_01_051_20.png", "05_1/001_01_01_051_20.png", "the name does not tell"),
        ("05_1/001_01_01_051_07.txt", "05_1/001_01_01_051_07.txt", "the name does not tell"),
        ("05_1/002_01_01_051_08.png", "05_1/002_01_01_051_08.png", "the name is that of another"),
        ("05_1/001_01_01_050_08.png", "05_1/001_01_01_050_08.png", "the name is that of another"),
        ("06_1/001_01_01_061_08.png", "06_1", "there is no such camera; known are 11_0"),
        ("../03/05_1/a.png", "../03", "session 01 has no such recording"),
        ("../new/05_1/a.png", "../new", "the name is no recording, as 01 is"),
        ("../../new/05_1/a.png", "../../new", "the name is no subject, as 001 is"),
    ],
)
def test_what_breaks_the_pattern_is_named(
    name: str, unread: str, reason: str, tmp_path: Path
) -> None:
    touch(tmp_path, "05_1/001_01_01_051_07.png")
    touch(tmp_path, name)
    records = MULTIPIE.read(tmp_path)
    assert len(records) == 1
    ((path, why),) = unread_files(records).items()
    recording = tmp_path / "session01" / "multiview" / "001" / "01"
    assert (tmp_path / path).resolve() == (recording / unread).resolve()
    assert why.startswith(reason)


@pytest.mark.parametrize("name", ["05_1/Thumbs.db", "05_1/._001_01_01_051_07.png", ".DS_Store"])
def test_stray_files_are_passed_over(name: str, tmp_path: Path) -> None:
    touch(tmp_path, "05_1/001_01_01_051_07.png")
    touch(tmp_path, name)
    records = MULTIPIE.read(tmp_path)
    assert (len(records), unread_files(records)) == (1, {})


def test_the_published_counts_are_those_of_the_default(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert sum(PUBLISHED.expressions.values()) == PUBLISHED.total == 204_156
    with caplog.at_level(logging.INFO, logger="ferlit.data.databases.counts"):
        MULTIPIE.read(tree, {"cameras": "all"})
        assert caplog.text == ""
        MULTIPIE.read(tree)
    assert "126 images of 3 subjects; the published database has 204156 of 337" in caplog.text


def test_a_copy_with_all_images_agrees_with_the_published_counts() -> None:
    rows = [
        {"image": f"{name}{k}", "expression": name, "identity": str(k % 337)}
        for name, count in PUBLISHED.expressions.items()
        for k in range(count)
    ]
    assert check_counts(record_table(rows), PUBLISHED, "multipie") == ""


def test_the_pictures_are_colour_and_darker_without_a_flash(tree: Path) -> None:
    folder = tree / "session01" / "multiview" / "001" / "01" / "05_1"
    pictures = [cv2.imread(str(folder / f"001_01_01_051_{light}.png")) for light in ("07", "00")]
    assert [picture.shape for picture in pictures] == [(480, 640, 3)] * 2
    assert pictures[1].mean() < 0.8 * pictures[0].mean()


def test_damaged_images_are_left_to_the_preparation(tree: Path) -> None:
    for outcome in damage_each(MULTIPIE, tree, sample(tree, "*", most=3)):
        assert (outcome.error, outcome.lost, outcome.unread) == ("", set(), {})


@SETTINGS
@given(name=file_names)
def test_no_name_in_any_folder_stops_the_reader(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    root = tmp_path_factory.mktemp("multipie")
    touch(root, "05_1/001_01_01_051_07.png")
    for place in ("05_1", ".", "..", "../.."):
        path = root / "session01" / "multiview" / "001" / "01" / place / name
        if not path.exists():
            path.mkdir()
    touch(root, f"05_1/{name}.png")
    records = MULTIPIE.read(root)
    assert len(records) == 1
    is_stray = name[0] == "." or name.lower().startswith("readme")
    assert bool(unread_files(records)) == (not is_stray)


def test_people_in_a_session_that_they_did_not_come_to_are_warned_of(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    MULTIPIE.read(tree)
    assert "subject_list.txt" not in caplog.text
    touch(tmp_path, "05_1/001_01_01_051_07.png")
    (tmp_path / "meta").mkdir()
    people = tmp_path / "meta" / "subject_list.txt"
    people.write_text("001 1979 Female 0 1 1 1\n002 1980 Male 0 0 0 0\n")
    assert len(MULTIPIE.read(tmp_path)) == 1
    assert "1 people of the images did not come to their session" in caplog.text
    assert "somebody else: 001 in 01" in caplog.text
    people.write_bytes(b"\xe9")
    assert len(MULTIPIE.read(tmp_path)) == 1
    assert "not compared with the images" in caplog.text
