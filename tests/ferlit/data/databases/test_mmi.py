import itertools
import logging
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferlit.data.databases.mmi import MMI, PUBLISHED, read_mmi
from ferlit.data.databases.mmi.annotations import read_emotion
from ferlit.data.databases.trees.mmi import write_mmi
from ferlit.data.media.images import read_image
from ferlit.data.records import EXPRESSIONS, unread_files
from ferlit.data.synthetic import Person, draw_face
from ferlit.errors import DataError
from tests.ferlit.video_files import (
    flip_bytes,
    number_of,
    write_numbered,
    zero_frame,
    zero_frame_and_head,
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen sessions as the generator writes them; not to be changed."""
    root = tmp_path_factory.mktemp("mmi") / "tree"
    write_mmi(root)
    return root


@pytest.fixture
def root(tree: Path, tmp_path: Path) -> Path:
    """Five of the sessions, to be changed."""
    for session in ("1", "20", "110", "112", "1200"):
        shutil.copytree(tree / "Sessions" / session, tmp_path / "Sessions" / session)
    shutil.copy(tree / "Sessions" / ".DS_Store", tmp_path / "Sessions")
    return tmp_path


def annotation(emotion: str | None) -> str:
    tag = "" if emotion is None else f'<MetaTag Name="Emotion" Value="{emotion}"/>'
    return f'<Session><MetaTag Name="AUCoding" Value="1"/>{tag}</Session>'


def add_session(root: Path, number: str, video: str, text: str, frames: int = 3) -> Path:
    folder = root / "Sessions" / number
    folder.mkdir(parents=True)
    path = folder / f"{video}.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 24, (32, 32))
    for _ in range(frames):
        writer.write(np.zeros((32, 32, 3), dtype=np.uint8))
    writer.release()
    path.with_suffix(".xml").write_text(text)
    return path


def test_the_middle_three_frames_of_each_labelled_video_are_read(tree: Path) -> None:
    records = MMI.read(tree)
    assert len(records) == 27
    frames = records.groupby("sequence")["frame"].apply(list).to_dict()
    assert frames == {
        "S001-100": [2, 3, 4],
        "S001-101": [2, 3, 4],
        "S001-102": [3, 4, 5],
        "S002-110": [2, 3, 4],
        "S003-001": [2, 3, 4],
        "S003-003": [2, 3, 4],
        "S030-001": [2, 3, 4],
        "S030-002": [2, 3, 4],
        "S053-001": [2, 3, 4],
    }
    sequences = records.drop_duplicates("sequence")
    assert sequences["expression"].value_counts().to_dict() == {
        "anger": 1,
        "disgust": 2,
        "fear": 1,
        "happiness": 2,
        "sadness": 1,
        "surprise": 2,
    }
    assert sequences["identity"].value_counts().to_dict() == {
        "S001": 3,
        "S002": 1,
        "S003": 2,
        "S030": 2,
        "S053": 1,
    }


def test_a_record_names_its_frame(tree: Path) -> None:
    assert MMI.read(tree).iloc[0].to_dict() == {
        "image": "Sessions/1/S001-100.avi#2:right",
        "expression": "anger",
        "identity": "S001",
        "sequence": "S001-100",
        "frame": 2,
        "split": "",
        "landmarks": "",
    }


@pytest.mark.parametrize(
    ("video", "view", "shape"),
    [
        ("S001-100", ":right", (576, 360)),
        ("S003-001", ":left", (576, 360)),
        ("S030-001", ":clockwise", (720, 576)),
        ("S053-001", "", (576, 720)),
    ],
)
def test_the_face_stands_upright_in_the_middle_of_every_picture(
    video: str, view: str, shape: tuple[int, int], tree: Path
) -> None:
    records = MMI.read(tree).set_index("sequence")
    record = records.loc[video].iloc[1]
    assert record["image"].endswith(f"#3{view}")
    picture = read_image(tree, record["image"])
    assert picture.shape == shape
    person = Person.random(np.random.default_rng((0, int(record["identity"][1:]))))
    drawn, _ = draw_face(person, person.movement(record["expression"]))
    margin = round((640 - 490 * shape[1] / shape[0]) / 2)
    drawn = np.asarray(drawn)[:, max(0, margin) : 640 - max(0, margin)]
    small = [cv2.resize(np.asarray(image), (60, 60)).ravel() for image in (picture, drawn)]
    assert np.corrcoef(small[0], small[1])[0, 1] > 0.9


@pytest.mark.parametrize(
    ("person", "view"),
    [
        *((person, ":right") for person in ("S001", "S002", "S017")),
        *((person, ":left") for person in ("S003", "S005", "S006", "S015", "S016")),
        *((person, ":clockwise") for person in ("S021", "S028", "S050", "S055")),
        *((person, "") for person in ("S053", "S054")),
    ],
)
def test_the_person_tells_the_view(person: str, view: str, tmp_path: Path) -> None:
    add_session(tmp_path, "1", f"{person}-100", annotation("1"))
    images = MMI.read(tmp_path, {"exclude": ""})["image"]
    assert list(images) == [f"Sessions/1/{person}-100.avi#{k}{view}" for k in range(3)]


@pytest.mark.parametrize(("count", "middle"), [(3, [0, 1, 2]), (4, [1, 2, 3]), (5, [1, 2, 3])])
def test_the_middle_of_short_videos(count: int, middle: list[int], tmp_path: Path) -> None:
    add_session(tmp_path, "1", "S030-001", annotation("1"), frames=count)
    assert MMI.read(tmp_path)["frame"].tolist() == middle


def test_a_video_of_two_frames_is_unread(tree: Path) -> None:
    assert unread_files(MMI.read(tree)) == {
        "Sessions/113/S030-004.avi": "only 2 frames; the middle three are needed"
    }


@pytest.mark.parametrize(
    ("exclude", "sequences", "persons"),
    [
        ("S021,S002-106", 9, 5),
        ("", 11, 6),
        ("S021", 10, 5),
        ("S002-106", 10, 6),
        (" s001 , S021,S003-001,", 6, 4),
        ("S999", 11, 6),
    ],
)
def test_who_is_left_out_is_an_option(
    exclude: str, sequences: int, persons: int, tree: Path
) -> None:
    records = MMI.read(tree, {"exclude": exclude})
    assert records["sequence"].nunique() == sequences
    assert records["identity"].nunique() == persons


def test_a_name_to_leave_out_that_is_not_there_is_warned_of(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    MMI.read(root)
    assert "to exclude" not in caplog.text  # the usual ones may be missing from a part
    present = MMI.read(root)["identity"].iloc[0]
    MMI.read(root, {"exclude": f"S021,{present},S999,S001-999"})
    assert "2 names to exclude are no persons or videos there: S001-999, S999" in caplog.text


@pytest.mark.parametrize("name", ["S21", "S021-", "106", "S021;S002-106"])
def test_something_else_cannot_be_left_out(name: str, root: Path) -> None:
    with pytest.raises(DataError, match=f"{name!r} is neither a person, as S021, nor a video"):
        MMI.read(root, {"exclude": f"S001,{name}"})


def test_other_labels_and_none_are_left_out_with_a_line(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ferlit"):
        records = MMI.read(tree)
    assert not {"S003-002", "S030-003"} & set(records["sequence"])
    assert "2 videos have no label or another one" in caplog.text
    assert "mmi: 9 sequences of 5 subjects; the published database has 208 of 31" in caplog.text


@pytest.mark.parametrize("place", range(4))
def test_the_emotion_is_found_by_its_name(place: int, tmp_path: Path) -> None:
    tags = ['<MetaTag Name="AUCoding" Value="1"/>', '<a Name="emotion" Value="2"/>', "<b/>"]
    tags.insert(place, '<MetaTag Value=" 6 " Name="Emotion"><c/></MetaTag>')
    path = tmp_path / "S001-100.xml"
    path.write_text(f"<Session Value='3'>{''.join(tags)}</Session>")
    assert read_emotion(path) == 6


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (1, "anger"),
        (2, "disgust"),
        (3, "fear"),
        (4, "happiness"),
        (5, "sadness"),
        (6, "surprise"),
    ],
)
def test_the_codes_are_those_of_the_database(code: int, name: str, tmp_path: Path) -> None:
    add_session(tmp_path, "1", "S030-001", annotation(str(code)))
    assert set(MMI.read(tmp_path)["expression"]) == {name}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an XML file"),
        ("<Session>", "not an XML file"),
        ('<a><b File="S003-001.avi"/></a>', "it speaks of the video S003-001.avi, not of S001-100"),
        ('<?xml version="1.0" encoding="hex"?><a/>', "not an XML file"),
        (annotation("4").replace("/>", ">"), "not an XML file"),
        (annotation(""), "'' is no code; known are 1 anger"),
        (annotation("happy"), "'happy' is no code"),
        (annotation("0"), "'0' is no code"),
        (annotation("-1"), "'-1' is no code"),
        (annotation("4.0"), "'4.0' is no code"),
        (annotation("٤"), "is no code"),
        (annotation("9" * 5000), "is no code"),
        ('<a Name="Emotion"/>', "'' is no code"),
        ('<a><b Name="Emotion" Value="1"/><b Name="Emotion" Value="2"/></a>', "several values"),
        ('<!DOCTYPE a [<!ENTITY e "4">]><a Name="Emotion" Value="&e;"/>', "document type"),
        ('<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><a/>', "document type"),
    ],
)
def test_a_wrong_annotation_is_unread(text: str, reason: str, root: Path) -> None:
    (root / "Sessions" / "1" / "S001-100.xml").write_text(text, encoding="utf-8")
    records = MMI.read(root)
    (path, found), *others = unread_files(records).items()
    assert (path, others) == ("Sessions/1/S001-100.xml", [])
    assert reason in found
    assert set(records["sequence"]) == {"S003-001", "S030-001", "S053-001"}


def test_growing_entities_are_not_expanded(root: Path) -> None:
    entities = "".join(f'<!ENTITY e{k} "{f"&e{k - 1};" * 10}">' for k in range(1, 12))
    text = f'<!DOCTYPE a [<!ENTITY e0 "x">{entities}]><a>&e11;</a>'
    (root / "Sessions" / "1" / "S001-100.xml").write_text(text)
    assert "document type" in unread_files(MMI.read(root))["Sessions/1/S001-100.xml"]


def test_a_missing_annotation_is_unread(root: Path) -> None:
    (root / "Sessions" / "1" / "S001-100.xml").unlink()
    assert unread_files(MMI.read(root)) == {"Sessions/1/S001-100.xml": "there is no such file"}


def test_endings_in_capitals_are_read(root: Path) -> None:
    folder = root / "Sessions" / "1"
    (folder / "S001-100.avi").rename(folder / "S001-100.AVI")
    (folder / "S001-100.xml").rename(folder / "S001-100.XML")
    assert "Sessions/1/S001-100.AVI#3:right" in set(MMI.read(root)["image"])


@pytest.mark.parametrize("count", [0, 2])
def test_a_session_without_exactly_one_video_is_unread(count: int, root: Path) -> None:
    folder = root / "Sessions" / "7"
    folder.mkdir()
    for number in range(count):
        shutil.copy(root / "Sessions" / "1" / "S001-100.avi", folder / f"S007-{number}.avi")
    records = MMI.read(root)
    assert unread_files(records) == {"Sessions/7": f"{count} videos (.avi) instead of one"}
    assert records["sequence"].nunique() == 4


def test_a_session_with_a_hash_in_its_name_is_unread(root: Path) -> None:
    (root / "Sessions" / "1").rename(root / "Sessions" / "1#2")
    records = MMI.read(root)
    assert "stands for a frame" in unread_files(records)["Sessions/1#2"]
    assert not records["image"].str.startswith("Sessions/1#2").any()


def test_a_video_that_is_there_twice_is_read_once(root: Path) -> None:
    shutil.copytree(root / "Sessions" / "1", root / "Sessions" / "30")
    records = MMI.read(root)
    assert unread_files(records) == {"Sessions/30/S001-100.avi": "the video is in Sessions/1 too"}
    assert records["sequence"].nunique() == 4


def test_what_systems_leave_behind_is_passed_over(root: Path) -> None:
    expected = MMI.read(root)
    for name in ("__MACOSX", ".Trashes"):
        (root / "Sessions" / name).mkdir()
    for name in ("README.txt", "Thumbs.db", "1/.DS_Store", "1/._S001-100.avi", "1/desktop.ini"):
        (root / "Sessions" / name).touch()
    records = MMI.read(root)
    assert records.equals(expected)
    assert unread_files(records) == {}


def test_a_tree_without_sessions_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(DataError, match="no folder Sessions; unpack the sessions"):
        MMI.read(tmp_path)


def test_without_any_labelled_video_the_first_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "Sessions").mkdir()
    with pytest.raises(DataError, match=r"six expressions$"):
        MMI.read(tmp_path)
    add_session(tmp_path, "1", "S030-001", "")
    with pytest.raises(DataError, match=r"expressions; Sessions/1/S030-001\.xml: not an XML"):
        MMI.read(tmp_path)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=100).map(annotation).map(str.encode))
def test_no_annotation_gives_another_error(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "S001-100.xml")
        path.write_bytes(content)
        try:
            code = read_emotion(path)
        except DataError:
            return
        assert code is None or code >= 1


@settings(deadline=None)
@given(code=st.integers(1, 9999), before=st.lists(st.sampled_from(["AUCoding", "View", ""])))
def test_every_code_is_read_whatever_stands_before_it(code: int, before: list[str]) -> None:
    tags = "".join(f'<MetaTag Name="{name}" Value="1"/>' for name in before)
    with TemporaryDirectory() as folder:
        path = Path(folder, "S001-100.xml")
        path.write_text(annotation(str(code)).replace("<Session>", f"<Session>{tags}"))
        assert read_emotion(path) == code


@pytest.fixture(scope="module")
def small_video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = add_session(tmp_path_factory.mktemp("small"), "1", "S030-001", "")
    return path.read_bytes()


@settings(deadline=None, max_examples=40)
@given(
    name=st.from_regex(r"S\d{3}-\d+", fullmatch=True)
    | st.text(string.ascii_letters + string.digits + "-_ ()é", min_size=1, max_size=20)
)
def test_every_name_of_a_video_is_read_or_unread(name: str, small_video: bytes) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        add_session(root, "1", "S030-001", annotation("1"))
        (root / "Sessions" / "2").mkdir()
        (root / "Sessions" / "2" / f"{name[:99]}.avi").write_bytes(small_video)
        (root / "Sessions" / "2" / f"{name[:99]}.xml").write_text(annotation("2"))
        records = read_mmi(root, exclude="")
        named = {image.partition("#")[0] for image in records["image"]} | set(unread_files(records))
        assert named == {"Sessions/1/S030-001.avi", f"Sessions/2/{name[:99]}.avi"}
        person = records.loc[records["expression"] == "disgust", "identity"]
        assert set(person) <= {name[:4].upper()}


def put(root: Path, video: Path, emotion: str = "1") -> Path:
    """A session of S030 with a video whose frames show their numbers."""
    folder = root / "Sessions" / "1"
    folder.mkdir(parents=True)
    path = folder / "S030-001.avi"
    shutil.copy(video, path)
    path.with_suffix(".xml").write_text(annotation(emotion))
    add_session(root, "2", "S031-001", annotation("2"))
    return path


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("numbered")
    return {
        codec: write_numbered(folder / f"{codec}.avi", codec, 40)
        for codec in ("MJPG", "XVID", "HFYU", "I420")
    }


def pictures(root: Path) -> list[int]:
    """What the records of S030 show."""
    records = MMI.read(root)
    names = records.loc[records["identity"] == "S030", "image"]
    turned = [np.rot90(read_image(root, name)) for name in names]
    return [number_of(picture) for picture in turned]


@pytest.mark.parametrize("codec", ["MJPG", "XVID", "HFYU", "I420"])
def test_a_cut_video_is_left_out_or_shows_its_true_middle(
    codec: str, numbered: dict[str, Path], tmp_path: Path
) -> None:
    path = put(tmp_path, numbered[codec])
    assert pictures(tmp_path) == [19, 20, 21]
    content = path.read_bytes()
    for share in (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        unread = unread_files(MMI.read(tmp_path))
        assert pictures(tmp_path) in ([], [19, 20, 21])
        assert pictures(tmp_path) or "Sessions/1/S030-001.avi" in unread
        if share < 0.6:
            assert pictures(tmp_path) == []
        if share < 0.9 and codec != "XVID":
            assert "its header tells 40 frames" in unread["Sessions/1/S030-001.avi"]


@pytest.mark.parametrize("damage", [zero_frame, zero_frame_and_head, flip_bytes])
@pytest.mark.parametrize(("codec", "number"), [("MJPG", 20), ("XVID", 20), ("XVID", 14)])
def test_a_video_whose_middle_is_damaged_is_left_out(
    codec: str,
    number: int,
    damage: Callable[[Path, int], None],
    numbered: dict[str, Path],
    tmp_path: Path,
) -> None:
    """Frames 19 to 21 of XVID rest on frame 14."""
    damage(put(tmp_path, numbered[codec]), number)
    records = MMI.read(tmp_path)
    assert set(records["identity"]) == {"S031"}
    reason = unread_files(records)["Sessions/1/S030-001.avi"]
    assert "of 40, one of the middle three, is lost: it" in reason


@pytest.mark.parametrize("damage", [zero_frame, zero_frame_and_head, flip_bytes])
@pytest.mark.parametrize(
    ("codec", "number"), [("MJPG", 3), ("MJPG", 30), ("XVID", 3), ("XVID", 39)]
)
def test_other_frames_that_are_damaged_are_named_and_move_nothing(
    codec: str,
    number: int,
    damage: Callable[[Path, int], None],
    numbered: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(put(tmp_path, numbered[codec]), number)
    assert pictures(tmp_path) == [19, 20, 21]
    assert "of 40 frames are lost, but none of the middle three; the first is" in caplog.text


@pytest.mark.parametrize(("told", "is_kept"), [(30, False), (38, False), (41, True), (42, False)])
def test_the_count_of_the_header_is_compared(
    told: int, is_kept: bool, numbered: dict[str, Path], tmp_path: Path
) -> None:
    path = put(tmp_path, numbered["MJPG"])
    content = bytearray(path.read_bytes())
    at = content.index(b"strh") + 40  # dwLength
    content[at : at + 4] = told.to_bytes(4, "little")
    path.write_bytes(content)
    assert pictures(tmp_path) == ([19, 20, 21] if is_kept else [])
    if not is_kept:
        reason = unread_files(MMI.read(tmp_path))["Sessions/1/S030-001.avi"]
        assert f"its header tells {told} frames and its index 40" in reason


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('Subject="S031"', "it is of the person S031, but the video's name says S030"),
        ('Session="7" Subject="S030"', "it is of the session 7, but lies in the folder 1"),
    ],
)
def test_an_annotation_of_another_session_is_unread(
    attributes: str, reason: str, numbered: dict[str, Path], tmp_path: Path
) -> None:
    path = put(tmp_path, numbered["MJPG"])
    text = annotation("1")
    path.with_suffix(".xml").write_text(text.replace("<Session>", f"<Session {attributes}>"))
    assert unread_files(MMI.read(tmp_path)) == {"Sessions/1/S030-001.xml": reason}


@pytest.mark.parametrize("attributes", ['Subject="s030" Session="001"', 'Subject="30"', ""])
def test_other_ways_to_tell_the_session_are_no_contradiction(
    attributes: str, numbered: dict[str, Path], tmp_path: Path
) -> None:
    path = put(tmp_path, numbered["MJPG"])
    text = annotation("1")
    path.with_suffix(".xml").write_text(text.replace("<Session>", f"<Session {attributes}>"))
    assert pictures(tmp_path) == [19, 20, 21]


@pytest.mark.parametrize(("marker", "is_warned"), [(40, False), (41, True)])
def test_action_units_behind_the_last_frame_are_warned_of(
    marker: int,
    is_warned: bool,
    numbered: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = put(tmp_path, numbered["MJPG"])
    units = f'<a><ActionUnit Number="4"><Marker Frame="{marker}"/></ActionUnit></a>'
    (path.parent / "S030-001-oao_aucs.xml").write_text(units)
    MMI.read(tmp_path)
    assert ("it marks frame 41, but the video has 40" in caplog.text) == is_warned


def test_one_damaged_file_spoils_only_its_own_session(root: Path) -> None:
    whole = MMI.read(root)
    rng = np.random.default_rng(0)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    assert len(files) == 12
    for path, damage in itertools.product(files, ("random", "empty", "truncated")):
        content = path.read_bytes()
        cut = content[: rng.integers(1, len(content) - 3)] if damage == "truncated" else b""
        path.write_bytes(rng.bytes(300) if damage == "random" else cut)
        name = path.relative_to(root).as_posix()
        records = MMI.read(root)
        path.write_bytes(content)
        session = f"{path.parent.relative_to(root).as_posix()}/"
        elsewhere = ~whole["image"].str.startswith(session)
        kept = records[~records["image"].str.startswith(session)].reset_index(drop=True)
        assert kept.equals(whole[elsewhere].reset_index(drop=True))
        if path.name.endswith("oao_aucs.xml") or path.name == ".DS_Store":
            assert records.equals(whole)
        elif path.suffix == ".xml":
            assert set(unread_files(records)) == {name}
        elif session == "Sessions/112/":  # has no label, so its video is not opened
            assert records.equals(whole)
        else:
            is_read = records["image"].str.startswith(session).any()
            assert is_read != (name in unread_files(records))


def test_the_database_says_how_it_is_used() -> None:
    assert MMI.classes == ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
    assert set(MMI.classes) < set(EXPRESSIONS)
    assert MMI.sequence_rule == "mean"
    assert not MMI.is_aligned
    assert sum(PUBLISHED.expressions.values()) == PUBLISHED.total == 208


def test_the_generator_makes_the_same_tree_twice(tree: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    write_mmi(again)
    write_mmi(other, seed=1)
    video = "Sessions/1/S001-100.avi"
    assert (again / video).read_bytes() == (tree / video).read_bytes()
    assert (other / video).read_bytes() != (tree / video).read_bytes()
    with pytest.raises(DataError, match="exists; choose another folder"):
        write_mmi(again)
