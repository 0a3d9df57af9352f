import logging
from pathlib import Path

import pytest

from ferlit.data.databases.ckplus import CKPLUS, CODES, PUBLISHED, read_ckplus, read_emotion
from ferlit.data.databases.counts import check_counts
from ferlit.data.records import EXPRESSIONS, record_table
from ferlit.errors import DataError


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
    assert CKPLUS.read(tmp_path)["frame"].tolist() == [2, 9, 10]


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
    "text", ["", " \n", "happy\n", "   8.0000000e+00\n", "-1", "2.5", "nan", "inf", "\x00\x01"]
)
def test_a_wrong_emotion_file_is_named_with_its_text(text: str, root: Path) -> None:
    path = write_emotion(root, "S005_001", 11, text)
    with pytest.raises(DataError) as error:
        CKPLUS.read(root)
    assert str(error.value).startswith(f"{path}: {text!r} is no emotion code; known are 0 neutral")


def test_an_emotion_file_that_is_no_text_is_named(root: Path) -> None:
    path = write_emotion(root, "S005_001", 11, "")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=path.name):
        CKPLUS.read(root)


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
    with pytest.raises(DataError, match=r"2 labelled sequences have no images .*S011_001, S011_00"):
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


def test_two_emotion_files_of_a_sequence_are_an_error(root: Path) -> None:
    write_emotion(root, "S005_001", 10, "   4.0000000e+00\n")
    with pytest.raises(DataError, match=r"001: 2 emotion files"):
        CKPLUS.read(root)


def test_an_emotion_file_in_another_sequences_folder_is_an_error(root: Path) -> None:
    path = root / "Emotion" / "S010" / "002" / "S010_003_00000006_emotion.txt"
    path.write_text("   4.0000000e+00\n")
    with pytest.raises(DataError, match=r"003_00000006_emotion\.txt: .* another sequence"):
        CKPLUS.read(root)


def test_images_of_another_sequence_do_not_count(root: Path) -> None:
    (root / "cohn-kanade-images" / "S005" / "001" / "S010_004_00000099.png").touch()
    assert CKPLUS.read(root)["frame"].max() == 17


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
