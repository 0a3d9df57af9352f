import logging
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferlit.data.databases.ckplus import CKPLUS, CODES, PUBLISHED, read_ckplus, read_emotion
from ferlit.data.databases.counts import check_counts
from ferlit.data.databases.fer2013 import CODES as FER2013_CODES
from ferlit.data.databases.fer2013 import PUBLISHED as FER2013_PUBLISHED
from ferlit.data.records import EXPRESSIONS, record_table, unread_files
from ferlit.data.synthetic import write_ckplus
from ferlit.errors import DataError
from tests.ferlit.data.databases.robustness import SETTINGS, damage_each, file_names, sample


def add_sequence(
    root: Path, sequence: str, frames: int, code: int | None = None, *, with_landmarks: bool = True
) -> None:
    """One sequence as the archives have it; the reader never opens the pictures."""
    subject, number = sequence.split("_")
    images = root / "cohn-kanade-images" / subject / number
    landmarks = root / "Landmarks" / subject / number
    facs = root / "FACS" / subject / number
    for folder in (images, landmarks, facs):
        folder.mkdir(parents=True)
    for frame in range(1, frames + 1):
        (images / f"{sequence}_{frame:08d}.png").touch()
        if with_landmarks:
            (landmarks / f"{sequence}_{frame:08d}_landmarks.txt").touch()
    # Intensity 0: the action unit is there, its intensity was not given.
    facs_text = "   9.0000000e+00   0.0000000e+00\n"
    (facs / f"{sequence}_{frames:08d}_facs.txt").write_text(facs_text)
    if code is not None:
        write_emotion(root, sequence, frames, f"   {code:.7e}\n")


def write_emotion(root: Path, sequence: str, frame: int, text: str) -> Path:
    folder = root.joinpath("Emotion", *sequence.split("_"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{sequence}_{frame:08d}_emotion.txt"
    path.write_text(text)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four subjects: six sequences, of which four are labelled."""
    add_sequence(tmp_path, "S005_001", 11, 3)
    add_sequence(tmp_path, "S010_001", 6)  # no folder in Emotion
    add_sequence(tmp_path, "S010_002", 6)  # an empty one
    (tmp_path / "Emotion" / "S010" / "002").mkdir(parents=True)
    add_sequence(tmp_path, "S010_004", 17, 5, with_landmarks=False)
    add_sequence(tmp_path, "S999_001", 2, 7)  # fewer than three frames
    add_sequence(tmp_path, "S999_003", 6, 2)
    for folder in ("cohn-kanade-images", "Emotion", "cohn-kanade-images/S005", "Emotion/S005"):
        (tmp_path / folder / ".DS_Store").touch()
    (tmp_path / "Emotion" / "S005" / "001" / "._S005_001_00000011_emotion.txt").touch()
    (tmp_path / "cohn-kanade-images" / "S005" / "001" / ".DS_Store").touch()
    (tmp_path / "cohn-kanade-images" / "S005" / "001" / "Thumbs.db").touch()
    (tmp_path / "Emotion" / "ReadMe").mkdir()
    return tmp_path


def test_the_last_three_frames_of_each_labelled_sequence_are_read(root: Path) -> None:
    records = CKPLUS.read(root)
    assert len(records) == 3 + 3 + 2 + 3
    frames = records.groupby("sequence")["frame"].apply(list).to_dict()
    assert frames == {
        "S005_001": [9, 10, 11],
        "S010_004": [15, 16, 17],
        "S999_001": [1, 2],
        "S999_003": [4, 5, 6],
    }
    expressions = records.groupby("sequence")["expression"].first().to_dict()
    assert expressions == {
        "S005_001": "disgust",
        "S010_004": "happiness",
        "S999_001": "surprise",
        "S999_003": "contempt",
    }


def test_a_record_names_its_files_below_the_root(root: Path) -> None:
    record = CKPLUS.read(root).iloc[2].to_dict()
    assert record == {
        "image": "cohn-kanade-images/S005/001/S005_001_00000011.png",
        "expression": "disgust",
        "identity": "S005",
        "sequence": "S005_001",
        "frame": 11,
        "split": "",
        "landmarks": "Landmarks/S005/001/S005_001_00000011_landmarks.txt",
    }


def test_landmarks_and_facs_are_optional(root: Path) -> None:
    records = CKPLUS.read(root).set_index("sequence")
    assert (records.loc["S010_004", "landmarks"] == "").all()
    assert (records.loc["S005_001", "landmarks"] != "").all()
    (root / "Landmarks").rename(root / "elsewhere")
    (root / "FACS").rename(root / "elsewhere too")
    assert (CKPLUS.read(root)["landmarks"] == "").all()


def test_the_order_of_the_files_on_disk_does_not_matter(tmp_path: Path) -> None:
    add_sequence(tmp_path, "S999_001", 3, 1)
    add_sequence(tmp_path, "S005_002", 3, 1)
    add_sequence(tmp_path, "S005_001", 3, 1)
    assert CKPLUS.read(tmp_path)["image"].is_monotonic_increasing


def test_frames_are_ordered_by_number_whatever_their_digits(tmp_path: Path) -> None:
    add_sequence(tmp_path, "S005_001", 2, 1)
    folder = tmp_path / "cohn-kanade-images" / "S005" / "001"
    for frame in ("0000009", "10"):
        (folder / f"S005_001_{frame}.JPG").touch()
    (folder / "S005_001_08.png").touch()
    emotion = tmp_path / "Emotion" / "S005" / "001"
    (emotion / "S005_001_00000002_emotion.txt").rename(emotion / "S005_001_010_emotion.txt")
    (tmp_path / "FACS").rename(tmp_path / "elsewhere")
    assert CKPLUS.read(tmp_path)["frame"].tolist() == [8, 9, 10]


def renamed(root: Path, name: str, old: str, new: str) -> Path:
    path = root / name
    return path.rename(path.with_name(path.name.replace(old, new)))


IMAGE = "cohn-kanade-images/S010/004/S010_004_000000{}.png"
EMOTION = "Emotion/S010/004/S010_004_00000017_emotion.txt"


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ([17], "its name tells that frame 17 is the peak, but the last image is that of frame 16"),
        (range(4, 18), "its name tells that frame 17 is the peak, but the last image is .* 3;"),
        ([16], "the image of frame 16, one of the last 3, is missing; unpack the archives"),
        ([15], "the image of frame 15, one of the last 3, is missing"),
        ([15, 16], "the image of frame 15, one of the last 3, is missing"),
    ],
)
def test_other_frames_never_take_the_place_of_the_peak(
    lost: list[int], reason: str, root: Path
) -> None:
    for frame in lost:
        (root / f"cohn-kanade-images/S010/004/S010_004_{frame:08d}.png").unlink()
    records = CKPLUS.read(root)
    assert set(records["sequence"]) == {"S005_001", "S999_001", "S999_003"}
    ((name, why),) = unread_files(records).items()
    assert name == EMOTION
    assert re.match(reason, why)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("FACS/S010/004/S010_004_00000017_facs.txt", "the folder FACS has frame 19"),
        (EMOTION, "the last image is that of frame 17"),
        (IMAGE.format(17), "the last image is that of frame 19"),
    ],
)
def test_names_that_tell_another_peak_cost_the_sequence(name: str, reason: str, root: Path) -> None:
    path = renamed(root, name, "17", "19")
    records = CKPLUS.read(root)
    assert "S010_004" not in set(records["sequence"])
    assert len(records) == 8
    ((place, why),) = unread_files(records).items()
    assert place == (path.relative_to(root).as_posix() if "Emotion" in name else EMOTION)
    assert reason in why


def test_landmarks_after_the_peak_cost_the_sequence(root: Path) -> None:
    path = root / "Landmarks/S005/001/S005_001_00000012_landmarks.txt"
    path.touch()
    records = CKPLUS.read(root)
    assert "S005_001" not in set(records["sequence"])
    (why,) = unread_files(records).values()
    assert "frame 11 is the peak, but the folder Landmarks has frame 12" in why


def test_frames_missing_before_the_last_three_are_warned_of(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / IMAGE.format("09")).unlink()
    records = CKPLUS.read(root)
    assert records.loc[records["sequence"] == "S010_004", "frame"].tolist() == [15, 16, 17]
    assert "1 sequences lack frames before their last three, which are read: S010_004" in (
        caplog.text
    )


@pytest.mark.parametrize("code", range(8))
def test_an_emotion_file_holds_a_code(code: int, tmp_path: Path) -> None:
    path = tmp_path / "emotion.txt"
    path.write_text(f"   {code}.0000000e+00\n")
    assert read_emotion(path) == code


def test_the_codes_are_those_of_the_database() -> None:
    assert (CODES[1], CODES[2], CODES[5], CODES[7]) == (
        "anger",
        "contempt",
        "happiness",
        "surprise",
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "happy\n",
        "   8.0000000e+00\n",
        "-1",
        "2.5",
        "nan",
        "inf",
        "\x00\x01",
        "3.0 5.0\n",
    ],
)
def test_a_wrong_emotion_file_is_named_with_its_text_and_costs_its_sequence(
    text: str, root: Path
) -> None:
    path = write_emotion(root, "S005_001", 11, text)
    records = CKPLUS.read(root)
    assert set(records["sequence"]) == {"S010_004", "S999_001", "S999_003"}
    ((name, reason),) = unread_files(records).items()
    assert root / name == path
    assert reason.startswith(f"{text!r} is no emotion code; known are 0 neutral")
    with pytest.raises(DataError) as error:
        read_emotion(path)
    assert str(error.value) == f"{path}: {reason}"


def test_an_emotion_file_that_is_no_text_is_named(root: Path) -> None:
    path = write_emotion(root, "S005_001", 11, "")
    path.write_bytes(b"\xff\xfe\x00")
    assert [Path(name).name for name in unread_files(CKPLUS.read(root))] == [path.name]


def test_an_emotion_file_that_is_a_folder_is_named(root: Path) -> None:
    path = write_emotion(root, "S005_001", 11, "")
    path.unlink()
    path.mkdir()
    ((name, reason),) = unread_files(CKPLUS.read(root)).items()
    assert root / name == path
    assert reason.startswith("the file cannot be read")


def test_neutral_sequences_are_left_out(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_emotion(root, "S005_001", 11, "   0.0000000e+00\n")
    records = CKPLUS.read(root)
    assert "S005_001" not in set(records["sequence"])
    assert "1 sequences are labelled neutral" in caplog.text
    assert "S005_001" in caplog.text


def test_a_labelled_sequence_without_images_is_named(root: Path) -> None:
    write_emotion(root, "S011_001", 5, "   1.0000000e+00\n")  # no folder
    (root / "cohn-kanade-images" / "S011" / "002").mkdir(parents=True)  # an empty one
    write_emotion(root, "S011_002", 5, "   1.0000000e+00\n")
    records = CKPLUS.read(root)
    assert len(records) == 11
    assert unread_files(records) == dict.fromkeys(
        (f"Emotion/S011/00{k}/S011_00{k}_00000005_emotion.txt" for k in (1, 2)),
        "the labelled sequence has no images in cohn-kanade-images; unpack "
        "extended-cohn-kanade-images.zip completely, or remove the emotion file",
    )


def test_labels_without_any_images_are_an_error_that_names_the_archive(root: Path) -> None:
    shutil.rmtree(root / "cohn-kanade-images")
    (root / "cohn-kanade-images").mkdir()
    with pytest.raises(DataError, match=r"no images in cohn-.*unpack extended-cohn-kanade-images"):
        CKPLUS.read(root)


@pytest.mark.parametrize(
    ("folder", "archive"),
    [
        ("cohn-kanade-images", "extended-cohn-kanade-images.zip"),
        ("Emotion", "Emotion_labels.zip"),
    ],
)
def test_a_missing_folder_is_named_with_its_archive(folder: str, archive: str, root: Path) -> None:
    (root / folder).rename(root / "elsewhere")
    with pytest.raises(DataError, match=f"no folder {folder}; unpack {archive}"):
        CKPLUS.read(root)


def test_a_tree_without_labels_is_an_error(tmp_path: Path) -> None:
    add_sequence(tmp_path, "S010_001", 6)
    (tmp_path / "Emotion" / "S010" / "001").mkdir(parents=True)
    with pytest.raises(DataError, match="Emotion holds no label"):
        CKPLUS.read(tmp_path)


def test_a_sequence_with_two_emotion_files_is_left_out_and_both_are_named(root: Path) -> None:
    write_emotion(root, "S005_001", 10, "   4.0000000e+00\n")
    records = CKPLUS.read(root)
    assert "S005_001" not in set(records["sequence"])
    assert unread_files(records) == dict.fromkeys(
        (f"Emotion/S005/001/S005_001_000000{k}_emotion.txt" for k in (10, 11)),
        "2 emotion files, there must be one",
    )


def test_an_emotion_file_in_another_sequences_folder_is_named(root: Path) -> None:
    path = root / "Emotion" / "S010" / "002" / "S010_003_00000006_emotion.txt"
    path.write_text("   4.0000000e+00\n")
    records = CKPLUS.read(root)
    assert len(records) == 11
    assert unread_files(records) == {
        path.relative_to(root).as_posix(): "the file lies in the folder of another sequence"
    }


def test_labels_whose_names_are_not_understood_are_named(root: Path) -> None:
    renamed(root, "Emotion/S010/004/S010_004_00000017_emotion.txt", "_00000017", "")
    (root / "Emotion/S5/001").mkdir(parents=True)
    (root / "Emotion/S010/4").mkdir()
    records = CKPLUS.read(root)
    assert "S010_004" not in set(records["sequence"])
    assert set(unread_files(records)) == {
        "Emotion/S010/004/S010_004_emotion.txt",
        "Emotion/S5",
        "Emotion/S010/4",
    }


@pytest.mark.parametrize("name", ["S010_004_00000099.png", "S005_001.png", "peak.jpg"])
def test_images_that_are_no_frames_of_their_sequence_are_named(name: str, root: Path) -> None:
    (root / "cohn-kanade-images" / "S005" / "001" / name).touch()
    records = CKPLUS.read(root)
    assert len(records) == 11
    ((image, reason),) = unread_files(records).items()
    assert image == f"cohn-kanade-images/S005/001/{name}"
    assert reason.startswith("the name is not that of a frame of S005_001, as S005_001_0")


def test_a_second_picture_of_a_frame_is_named(root: Path) -> None:
    (root / "cohn-kanade-images" / "S005" / "001" / "S005_001_0011.png").touch()
    records = CKPLUS.read(root)
    assert len(records) == 11
    (reason,) = unread_files(records).values()
    assert reason.startswith("the frame is in S005_001_")


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people with two labelled sequences each, 12 images."""
    root = tmp_path_factory.mktemp("ckplus") / "tree"
    write_ckplus(root, subjects=2, expressions_per_subject=2, frames=3)
    return root


def test_a_damaged_file_costs_its_own_sequence_at_most(small_tree: Path) -> None:
    labels = sample(small_tree, "*_emotion.txt")
    others = [
        path
        for part in ("*.png", "*_facs.txt", "*_landmarks.txt", ".DS_Store")
        for path in sample(small_tree, part, most=2)
    ]
    outcomes = list(damage_each(CKPLUS, small_tree, labels))
    assert len(outcomes) == 4 * 3
    for outcome in outcomes:
        assert outcome.error == ""
        assert len(outcome.lost) == (3 if outcome.is_named else 0)
        assert outcome.is_named or outcome.kind == "truncated"  # "   3.000" is whole enough
    for outcome in damage_each(CKPLUS, small_tree, others):
        assert (outcome.error, outcome.lost, outcome.unread) == ("", set(), {})


@SETTINGS
@given(data=st.binary(max_size=60))
def test_no_bytes_of_an_emotion_file_stop_the_reader(small_tree: Path, data: bytes) -> None:
    path = sample(small_tree, "*_emotion.txt")[0]
    content = path.read_bytes()
    path.write_bytes(data)
    try:
        assert len(CKPLUS.read(small_tree)) in (9, 12)
    finally:
        path.write_bytes(content)


@SETTINGS
@given(name=file_names)
def test_no_name_in_an_image_folder_stops_the_reader(small_tree: Path, name: str) -> None:
    folder = small_tree / "cohn-kanade-images" / "S005" / "001"
    before = set(folder.iterdir())
    path = folder / f"{name}.png"
    path.touch()
    try:
        records = CKPLUS.read(small_tree)
        assert len(records) == 12
        assert len(unread_files(records)) == (
            path not in before and name[0] != "." and not name.lower().startswith("readme")
        )
    finally:
        if path not in before:
            path.unlink()


def test_the_classes_are_the_canonical_ones_without_neutral() -> None:
    assert CKPLUS.classes == EXPRESSIONS[1:]
    assert CKPLUS.sequence_rule == "max"
    assert not CKPLUS.is_aligned


def published(anger: int = 45) -> list[dict[str, object]]:
    """A row a sequence, in the published numbers, spread over 118 subjects."""
    counts = {"anger": anger, "contempt": 18, "disgust": 59, "fear": 25}
    counts |= {"happiness": 69, "sadness": 28, "surprise": 83}
    names = [name for name, count in counts.items() for _ in range(count)]
    return [
        {"expression": name, "identity": f"S{index % 118:03d}", "sequence": f"s{index}"}
        for index, name in enumerate(names)
    ]


def test_the_published_counts_agree_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ferlit"):
        assert check_counts(record_table(published()), PUBLISHED, "ckplus") == ""
    assert caplog.text == ""


def test_other_counts_of_a_whole_copy_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    check_counts(record_table(published(anger=43)), PUBLISHED, "ckplus")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.message == (
        "ckplus: 325 sequences of 118 subjects; the published database has 327 of 118; "
        "anger 43 instead of 45"
    )


@pytest.mark.parametrize("by", [1, 3])
def test_labels_with_the_counts_of_others_are_refused(by: int) -> None:
    rows = published()
    names = list(PUBLISHED.expressions)
    shifted = {name: names[(k + by) % len(names)] for k, name in enumerate(names)}
    for row in rows:
        row["expression"] = shifted[str(row["expression"])]
    message = r"counts are those of other expressions \(anger has \d+ as .* should.*exchanged"
    with pytest.raises(DataError, match=message):
        check_counts(record_table(rows), PUBLISHED, "ckplus")
    check_counts(record_table(rows[:280]), PUBLISHED, "ckplus")  # a part has any counts


def test_a_whole_copy_of_another_database_shows_exchanged_labels_too() -> None:
    """FER2013's codes read in the order of its class folders, with some rows lost."""
    order = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
    read_as = dict(zip(FER2013_CODES, order, strict=True))
    rows = [
        {"image": f"{name}{k}", "expression": read_as[name], "split": "train"}
        for name, count in FER2013_PUBLISHED.expressions.items()
        for k in range(count - 9)
    ]
    with pytest.raises(DataError, match="sadness has 3,993 as surprise should"):
        check_counts(record_table(rows), FER2013_PUBLISHED, "fer2013")


def test_a_part_of_the_database_gets_one_line(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ferlit"):
        CKPLUS.read(root)
    (record,) = caplog.records
    assert record.levelno == logging.INFO
    assert record.message == (
        "ckplus: 4 sequences of 3 subjects; the published database has 327 of 118"
    )


def test_the_layout_alone_is_not_held_against_the_counts(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ferlit"):
        assert len(read_ckplus(root)) == 11
    assert caplog.text == ""
