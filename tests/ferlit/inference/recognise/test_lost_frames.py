import csv
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from ferlit.cli import main
from ferlit.inference import videos
from ferlit.inference.recogniser import Recogniser
from tests.ferlit.inference.conftest import Trained
from tests.ferlit.inference.faces import portrait
from tests.ferlit.video_files import (
    KINDS,
    cut,
    write_numbered,
    write_with_av,
    zero_frame,
    zero_frame_and_head,
)

ALL = [(ending, codec) for ending, codecs in KINDS.items() for codec in codecs]


def recognise(trained: Trained, *options: str | Path) -> int:
    """Every picture is taken for a face."""
    model = ["recognise", "--model", str(trained.checkpoint), "--aligned"]
    return main([*model, *map(str, options)])


def json_rows(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    levels = ("face", "sequence")
    faces, answers = ([row for row in rows if row["level"] == level] for level in levels)
    return faces, answers


@pytest.mark.parametrize(("ending", "codec"), ALL)
def test_a_sound_video_is_read_without_a_word(
    ending: str,
    codec: str,
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = write_numbered(tmp_path / f"a.{ending}", codec, 11)
    capsys.readouterr()
    assert recognise(trained, film, "--output", tmp_path / "a.jsonl") == 0
    assert "a." not in capsys.readouterr().err.replace("a.jsonl", "")
    faces, (answer,) = json_rows(tmp_path / "a.jsonl")
    assert [row["frame"] for row in faces] == list(range(11))
    assert [row["time"] for row in faces] == pytest.approx(np.arange(11) / 10)
    assert (answer["frames"], answer["frames_lost"]) == (11, 0)


@pytest.mark.parametrize("damage", [zero_frame, zero_frame_and_head])
@pytest.mark.parametrize("number", [20, 38])
@pytest.mark.parametrize(
    ("ending", "codec", "behind"),
    [
        ("avi", "MJPG", False),
        ("mov", "MJPG", False),
        ("avi", "XVID", True),
        ("mp4", "mp4v", True),
        ("webm", "VP80", True),
    ],
)
def test_a_damaged_frame_takes_no_other_with_it(
    ending: str,
    codec: str,
    behind: bool,
    number: int,
    damage: Callable[[Path, int], None],
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """But for those that rest on it."""
    if codec == "VP80" and damage is not zero_frame:
        pytest.skip("VP8 has no checks; its container is told by another test")
    if codec == "VP80" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("VP8 has no checks, and on one core its frames have one part, which zeros fit")
    film = write_numbered(tmp_path / f"a.{ending}", codec, 40)
    damage(film, number)
    rows = tmp_path / "a.jsonl"
    assert recognise(trained, film, "--output", rows, "--output", tmp_path / "a.csv") == 1
    errors = capsys.readouterr().err
    faces, (answer,) = json_rows(rows)
    numbers = [row["frame"] for row in faces]
    last = 39 if number == 38 else 23
    gone = set(range(number, last + 1)) if behind else {number}
    assert gone <= set(range(40)) - set(numbers) <= {number - 1, *gone}
    assert [row["time"] for row in faces] == pytest.approx(np.array(numbers) / 10)
    assert f"{film}: {40 - len(numbers)} of 40 frames are lost: " in errors
    assert "1 of 1 sources lost frames, see above" in errors
    assert (answer["frames"], answer["frames_lost"]) == (len(numbers), 40 - len(numbers))
    with (tmp_path / "a.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["frame"] for row in table] == [*map(str, numbers), ""]
    assert [float(row["time"]) for row in table[:-1]] == [row["time"] for row in faces]
    assert [row["frames_lost"] for row in table[-2:]] == ["", str(40 - len(numbers))]


@pytest.mark.parametrize("share", [0.4, 0.98])
@pytest.mark.parametrize(
    ("ending", "codec"), [("avi", "MJPG"), ("avi", "I420"), ("mkv", "MJPG"), ("webm", "VP80")]
)
def test_a_file_that_is_cut_off_ends_with_1(
    ending: str,
    codec: str,
    share: float,
    trained: Trained,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = write_numbered(tmp_path / f"a.{ending}", codec, 40)
    cut(film, share)
    options = ("--output", tmp_path / "a.jsonl", "--sequence", "mean")
    assert recognise(trained, film, *options) == 1
    faces, (answer,) = json_rows(tmp_path / "a.jsonl")
    count = len(faces)
    assert [row["frame"] for row in faces] == list(range(count))
    assert 0 < count < 40
    assert f"{40 - count} of 40 frames are lost: {count}" in capsys.readouterr().err
    assert (answer["frames"], answer["frames_lost"], answer["rule"]) == (count, 40 - count, "mean")


def test_the_table_says_what_a_sequence_is_without(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = write_numbered(tmp_path / "a.avi", "MJPG", 12)
    zero_frame(film, 3)
    zero_frame(film, 4)
    assert recognise(trained, film) == 1
    printed = capsys.readouterr()
    assert "max of 10 of 10 frames, 2 lost" in printed.out
    assert "0.50 s" in printed.out
    assert "2 of 12 frames are lost: 3-4 (it is damaged); all others" in printed.err


def test_several_sources_are_told_apart(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_numbered(tmp_path / "good.avi", "MJPG", 5)
    bad = write_numbered(tmp_path / "bad.avi", "MJPG", 5)
    none = write_numbered(tmp_path / "none.mp4", "mp4v", 5)
    zero_frame(bad, 2)
    cut(none, 0.5)
    assert recognise(trained, good, bad, none, "--output", tmp_path / "a.jsonl") == 1
    errors = capsys.readouterr().err
    assert "none.mp4: the video cannot be opened (moov atom not found)" in errors
    assert f"{bad}: 1 of 5 frames are lost: 2 (it is damaged)" in errors
    assert "1 of 3 sources could not be read, and 1 lost frames, see above" in errors
    assert "good.avi" not in errors
    faces, answers = json_rows(tmp_path / "a.jsonl")
    assert len(faces) == 9
    assert [row["frames_lost"] for row in answers] == [0, 1]


@pytest.mark.parametrize("lost", [[0, 1], [5], [11], [0, 5, 6, 11]])
@pytest.mark.parametrize("output", ["out.avi", "folder"])
def test_an_annotated_video_keeps_a_place_for_each_frame(
    output: str, lost: list[int], trained: Trained, tmp_path: Path
) -> None:
    film = write_numbered(tmp_path / "a.avi", "MJPG", 12)
    for number in lost:
        zero_frame(film, number)
    assert recognise(trained, film, "--output", tmp_path / output) == 1
    path = tmp_path / output
    copy = cv2.VideoCapture(str(path / "a.avi" if output == "folder" else path))
    means = []
    while True:
        is_read, frame = copy.read()
        if not is_read:
            break
        means.append(float(np.median(frame[:10])))
    assert len(means) == 12 - (11 in lost)  # nothing is shown behind the last one
    for number, mean in enumerate(means):
        assert (100 < mean < 150) == (number in lost)


def test_frames_of_another_size_are_not_dropped_from_the_annotated_video(
    trained: Trained, tmp_path: Path
) -> None:
    """OpenCV would; a stream may change its size, as a broadcast does."""
    from ferlit.inference.recognise.annotated import AnnotatedVideo
    from ferlit.inference.recognise.results import FrameResult
    from ferlit.inference.recognise.sources import Frame, Source

    source = Source("video", tmp_path / "a.ts", Path("a.ts"))
    output = AnnotatedVideo(tmp_path / "b.avi")
    for number, size in enumerate(((400, 480), (480, 640), (400, 480))):
        colour = np.full((*size, 3), 90, np.uint8)
        output.write(FrameResult(Frame(source, number, colour[..., 0], colour, 10.0, 0.0), []))
    output.close()
    copy = cv2.VideoCapture(str(tmp_path / "b.avi"))
    assert [copy.read()[0] for _ in range(4)] == [True, True, True, False]


def test_missing_and_damaged_pictures_of_a_sequence_are_named(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (1, 2, 4, 5, 7, 8):
        Image.fromarray(portrait(0, "fear", 48)).save(folder / f"frame_{number:03}.png")
    assert recognise(trained, folder, "--sequence", "max", "--format", "jsonl") == 0
    printed = capsys.readouterr()
    said = "the answer is without 2 frames whose numbers are missing: "
    assert f"{folder}: {said}frame_003.png, frame_006.png" in printed.err
    bad = folder / "frame_005.png"
    bad.write_bytes(bad.read_bytes()[:100])
    assert recognise(trained, folder, "--sequence", "max", "--format", "jsonl") == 1
    printed = capsys.readouterr()
    assert "frame_005.png" in printed.err
    answer = json.loads(printed.out.splitlines()[-1])
    assert (answer["level"], answer["frames"], answer["frames_lost"]) == ("sequence", 5, 1)
    # Pictures that are no sequence are not asked for their numbers.
    assert recognise(trained, folder, "--format", "csv") == 1
    assert "numbers are missing" not in capsys.readouterr().err


class Unplugged:
    """A camera that gives three pictures; no test has a real one."""

    def __init__(self, _: int) -> None:
        self.left = 3

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return self.left >= 0, np.full((96, 128, 3), 90, np.uint8)

    def release(self) -> None: ...


def test_a_camera_that_stops_is_no_success(
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(videos.cv2, "VideoCapture", Unplugged)
    assert recognise(trained, "0", "--output", tmp_path / "a.jsonl") == 1
    errors = capsys.readouterr().err
    assert "camera 0: it gives no picture any more, after 3 frames in" in errors
    faces, _ = json_rows(tmp_path / "a.jsonl")
    assert [row["frame"] for row in faces] == [0, 1, 2]
    times = [row["time"] for row in faces]
    assert times == sorted(times)
    assert times[0] == 0


def test_a_picture_has_no_time(trained: Trained, tmp_path: Path) -> None:
    Image.fromarray(portrait(0, "fear", 48)).save(tmp_path / "a.png")
    options = ("--output", tmp_path / "a.jsonl", "--output", tmp_path / "a.csv")
    assert recognise(trained, tmp_path / "a.png", *options) == 0
    (face,), _ = json_rows(tmp_path / "a.jsonl")
    assert (face["frame"], face["time"]) == (None, None)
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["frame"], row["time"]) == ("", "")


def test_the_frames_of_a_video_are_counted_by_its_library_too(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = write_numbered(tmp_path / "a.avi", "MJPG", 20)
    zero_frame(film, 7)
    cut(film, 0.8)
    recogniser = Recogniser(trained.checkpoint, landmarks="none")
    with caplog.at_level(logging.WARNING):
        faces = list(recogniser.recognise_video(film))
    assert [len(each) for each in faces] == [int(number != 7) for number in range(len(faces))]
    assert 10 < len(faces) < 18
    assert "1 frames from number 7 are lost: it is damaged" in caplog.text
    assert f"frames from number {len(faces) + 1} are lost" in caplog.text


def test_what_a_damaged_container_lost_may_be_unknown(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Matroska tells no count, and at a variable rate no frame has to be at any time."""
    times = [0, 40, 120, 160, 500, 540, 2000, 2040, 2050, 2500, 2900, 2950, 3400, 3410]
    film = write_with_av(tmp_path / "a.mkv", "mpeg4", 14, times=times)
    assert recognise(trained, film, "--output", tmp_path / "a.jsonl") == 0
    faces, _ = json_rows(tmp_path / "a.jsonl")
    assert [row["time"] for row in faces] == pytest.approx([each / 1000 for each in times])
    zero_frame_and_head(film, 12)
    capsys.readouterr()
    assert recognise(trained, film, "--output", tmp_path / "a.jsonl") == 1
    errors = capsys.readouterr().err
    assert "the container is damaged (" in errors
    assert "frames may be missing unseen and the numbers after them be too low" in errors
    faces, _ = json_rows(tmp_path / "a.jsonl")
    numbers = [row["frame"] for row in faces]
    assert numbers == list(range(len(numbers)))
    assert 10 < len(numbers) < 13


def test_a_stream_that_ends_within_a_packet_was_cut_off(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MPEG-TS tells neither a count nor an end, but has packets of one size."""
    film = write_numbered(tmp_path / "a.ts", "mp4v", 20)
    assert recognise(trained, film, "--output", tmp_path / "a.jsonl") == 0
    content = film.read_bytes()
    film.write_bytes(content[: 188 * (len(content) * 6 // 10 // 188) + 100])
    capsys.readouterr()
    assert recognise(trained, film, "--output", tmp_path / "a.jsonl") == 1
    assert "the container is damaged (the file ends within a packet)" in capsys.readouterr().err
