import os
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.images import read_image
from ferlit.data.media.video_files import is_video
from ferlit.data.media.video_plan import plan_of
from ferlit.data.media.videos import VideoFrame, read_frames
from tests.ferlit.video_files import (
    KINDS,
    RATE,
    cut,
    flip_bytes,
    number_of,
    packets,
    write_numbered,
    write_with_av,
    zero_frame,
    zero_frame_and_head,
)

ALL = [(ending, codec) for ending, codecs in KINDS.items() for codec in codecs]


def shown(frames: list[VideoFrame]) -> list[int]:
    """The numbers of those that are there; each must show its own."""
    numbers = [frame.number for frame in frames if frame.read is not None]
    assert [number_of(frame.read()) for frame in frames if frame.read is not None] == numbers
    return numbers


def lost(frames: list[VideoFrame]) -> list[int]:
    return [
        frame.number + step
        for frame in frames
        if frame.read is None
        for step in range(frame.length)
    ]


@pytest.mark.parametrize("count", [10, 11, 40])
@pytest.mark.parametrize(("ending", "codec"), ALL)
def test_a_sound_video_has_all_its_frames_and_no_complaint(
    ending: str, codec: str, count: int, tmp_path: Path
) -> None:
    path = write_numbered(tmp_path / f"a.{ending}", codec, count)
    assert is_video(path)
    plan = plan_of(path)
    frames = list(read_frames(path, plan))
    assert shown(frames) == list(range(count))
    assert lost(frames) == []
    assert (plan.frames, plan.complaint) == (count, "")
    assert [frame.time for frame in frames] == pytest.approx(np.arange(count) / RATE)


@pytest.mark.parametrize(("ending", "codec"), ALL)
def test_frames_are_those_of_opencv_to_the_last_bit(
    ending: str, codec: str, tmp_path: Path
) -> None:
    path = write_numbered(tmp_path / f"a.{ending}", codec, 5)
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    for frame in read_frames(path):
        assert frame.read is not None
        assert np.array_equal(frame.read(), video.read()[1])
    assert not video.read()[0]


@pytest.mark.parametrize("damage", [zero_frame, zero_frame_and_head, flip_bytes])
@pytest.mark.parametrize("number", [0, 20, 39])
@pytest.mark.parametrize(("ending", "codec"), [("avi", "MJPG"), ("mov", "MJPG"), ("mkv", "MJPG")])
def test_the_others_keep_their_numbers_where_each_frame_stands_alone(
    ending: str, codec: str, number: int, damage: Callable[[Path, int], None], tmp_path: Path
) -> None:
    path = write_numbered(tmp_path / f"a.{ending}", codec, 40)
    if damage is zero_frame_and_head and number == 0 and ending != "mkv":
        pytest.skip("what stands before the first frame belongs to all of them")
    damage(path, number)
    frames = list(read_frames(path))
    assert shown(frames) + lost(frames) != []
    assert sorted(shown(frames) + lost(frames)) == list(range(40))
    assert number in lost(frames)
    if not (ending == "mkv" and damage is zero_frame_and_head):  # all of its cluster is lost
        assert lost(frames) == [number]


@pytest.mark.parametrize("damage", [zero_frame, zero_frame_and_head, flip_bytes])
@pytest.mark.parametrize(
    ("ending", "codec"),
    [("avi", "XVID"), ("mp4", "mp4v"), ("mov", "mp4v"), ("mkv", "XVID")],
)
def test_what_rests_on_a_lost_frame_is_lost_until_the_next_key_frame(
    ending: str, codec: str, damage: Callable[[Path, int], None], tmp_path: Path
) -> None:
    """OpenCV shows frame 19 as frame 20 here, and wrong pictures behind it."""
    path = write_numbered(tmp_path / f"a.{ending}", codec, 40)  # a key frame every 12
    damage(path, 20)
    frames = list(read_frames(path))
    assert sorted(shown(frames) + lost(frames)) == list(range(40))
    assert {20, 21, 22, 23} <= set(lost(frames))
    assert set(range(19)) | set(range(36, 40)) <= set(shown(frames))


@pytest.mark.parametrize(("ending", "codec"), [("webm", "VP80"), ("webm", "VP90"), ("mkv", "VP80")])
def test_a_damaged_frame_of_a_web_video_is_named(ending: str, codec: str, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / f"a.{ending}", codec, 40)
    zero_frame(path, 20)
    frames = list(read_frames(path))
    assert lost(frames) == [20, 21, 22, 23]
    assert shown(frames) == [*range(20), *range(24, 40)]


def test_frames_that_come_in_another_order_are_numbered_as_they_are_shown(tmp_path: Path) -> None:
    """OpenCV's MPEG-2 has frames that are stored behind those that they are shown before."""
    path = write_numbered(tmp_path / "a.ts", "MPG2", 40)
    zero_frame_and_head(path, 20)
    frames = list(read_frames(path))
    assert sorted(shown(frames) + lost(frames)) == list(range(40))
    assert lost(frames)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.97])
@pytest.mark.parametrize(
    ("ending", "codec"),
    [("avi", "MJPG"), ("avi", "HFYU"), ("avi", "I420"), ("mkv", "MJPG"), ("webm", "VP80"),
     ("webm", "VP90"), ("flv", "FLV1")],
)  # fmt: skip
def test_what_a_cut_takes_away_is_lost(
    ending: str, codec: str, share: float, tmp_path: Path
) -> None:
    path = write_numbered(tmp_path / f"a.{ending}", codec, 40)
    cut(path, share)
    frames = list(read_frames(path))
    assert shown(frames) + lost(frames) == list(range(40))
    assert 0 < len(lost(frames)) < 40
    assert plan_of(path).frames == 40


def test_an_mp4_file_whose_data_end_early_says_so(tmp_path: Path) -> None:
    """Its table of frames stands first, so that it is still read."""
    path = write_with_av(tmp_path / "a.mp4", "mpeg4", 40, options={"movflags": "faststart"})
    cut(path, 0.6)
    frames = list(read_frames(path))
    assert shown(frames) + lost(frames) == list(range(40))
    assert 5 < len(lost(frames)) < 35
    assert "beyond the end" in frames[-1].problem


@pytest.mark.parametrize("ending", ["mp4", "mov"])
def test_without_its_table_a_file_is_not_opened(ending: str, tmp_path: Path) -> None:
    path = write_numbered(tmp_path / f"a.{ending}", "mp4v", 10)
    cut(path, 0.5)
    with pytest.raises(UnreadableImageError, match="moov atom not found"):
        list(read_frames(path))
    path = write_numbered(tmp_path / f"b.{ending}", "mp4v", 10)
    path.write_bytes(path.read_bytes().replace(b"moov", b"xxxx"))
    with pytest.raises(UnreadableImageError, match="moov atom not found"):
        list(read_frames(path))


@pytest.mark.parametrize("ending", ["mp4", "mkv", "webm"])
def test_times_of_a_variable_rate(ending: str, tmp_path: Path) -> None:
    times = [0, 40, 120, 160, 500, 540, 2000, 2040, 2050, 2500]
    codec = "libvpx" if ending == "webm" else "mpeg4"
    path = write_with_av(tmp_path / f"a.{ending}", codec, 10, times=times)
    frames = list(read_frames(path))
    assert shown(frames) == list(range(10))
    assert lost(frames) == []
    assert [frame.time for frame in frames] == pytest.approx([t / 1000 for t in times], abs=2e-3)


def test_empty_chunks_of_an_avi_file_are_no_frames(tmp_path: Path) -> None:
    """They say that the picture stays, as captures write them and FFmpeg does for other rates."""
    times = [0, 40, 120, 160, 500, 540, 2000, 2040, 2050, 2500]
    path = write_with_av(tmp_path / "a.avi", "mjpeg", 10, times=times)
    frames = list(read_frames(path))
    assert shown(frames) == list(range(10))
    assert lost(frames) == []
    assert plan_of(path).frames == 10
    assert [frame.time for frame in frames] == pytest.approx([t / 1000 for t in times])
    assert plan_of(path).rate == pytest.approx(10 / 2.501)
    zero_frame(path, 4)
    assert lost(list(read_frames(path))) == [4]


@pytest.mark.parametrize("ending", ["avi", "mkv", "mov", "mp4"])
@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_frames_of_both_directions(ending: str, codec: str, tmp_path: Path) -> None:
    path = write_with_av(
        *(tmp_path / f"a.{ending}", codec, 40),
        ticks=RATE,
        codec_options={"bf": "2", "g": "12"},
    )
    frames = list(read_frames(path))
    assert shown(frames) == list(range(40))
    assert lost(frames) == []
    zero_frame(path, 20)
    frames = list(read_frames(path))
    assert 0 < len(lost(frames)) < 20
    assert sorted(shown(frames) + lost(frames)) == list(range(40))


@pytest.mark.parametrize(
    ("ending", "codec"), [("mkv", "mpeg4"), ("avi", "mjpeg"), ("mov", "mpeg4")]
)
def test_sound_that_lasts_longer_is_no_loss(ending: str, codec: str, tmp_path: Path) -> None:
    path = write_with_av(tmp_path / f"a.{ending}", codec, 20, ticks=RATE, sound=True)
    frames = list(read_frames(path))
    assert shown(frames) == list(range(20))
    assert lost(frames) == []
    assert plan_of(path).frames == 20


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("webm", {"live": "1"}),
        ("mkv", {"live": "1"}),
        ("mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("mp4", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    ],
)
def test_streams_promise_no_count(ending: str, options: dict[str, str], tmp_path: Path) -> None:
    codec = "libvpx" if ending == "webm" else "mpeg4"
    path = write_with_av(tmp_path / f"a.{ending}", codec, 40, options=options)
    frames = list(read_frames(path))
    assert shown(frames) == list(range(40))
    assert lost(frames) == []
    assert plan_of(path).complaint == ""


@pytest.mark.parametrize(("angle", "shape"), [(90, (128, 96)), (180, (96, 128)), (270, (128, 96))])
def test_a_video_is_turned_as_its_container_says(
    angle: int, shape: tuple[int, int], tmp_path: Path
) -> None:
    path = write_numbered(tmp_path / "a.mp4", "mp4v", 3)
    plain = next(read_frames(path))
    one, zero = 0x10000, 0
    matrix = {
        90: (zero, one, 0, -one, zero, 0),
        180: (-one, zero, 0, zero, -one, 0),
        270: (zero, -one, 0, one, zero, 0),
    }[angle]
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    content[at : at + 24] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    path = tmp_path / "turned.mp4"
    path.write_bytes(content)
    turned = next(read_frames(path))
    assert plain.read is not None
    assert turned.read is not None
    assert turned.read().shape[:2] == shape
    assert np.array_equal(turned.read(), cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).read()[1])
    assert np.array_equal(turned.read(), np.rot90(plain.read(), -angle // 90))


def test_the_header_of_an_avi_file_is_compared_with_its_frames(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.avi", "MJPG", 10)
    content = bytearray(path.read_bytes())
    at = content.index(b"strh") + 8 + 32  # dwLength
    assert content[at : at + 4] == (10).to_bytes(4, "little")
    content[at : at + 4] = (12).to_bytes(4, "little")
    path.write_bytes(content)
    frames = list(read_frames(path))
    assert shown(frames) == list(range(10))
    assert lost(frames) == [10, 11]
    content[at : at + 4] = (2**32 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    assert len(list(read_frames(path))) <= 11  # however many, they are one run


def test_an_index_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """FFmpeg moves the whole index when the first chunk is not found: frames 2, 4, 6, ..."""
    path = write_numbered(tmp_path / "a.avi", "MJPG", 10)
    zero_frame_and_head(path, 0)
    with pytest.raises(UnreadableImageError, match="index of the video does not fit its frames"):
        list(read_frames(path))


def test_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mov", "MJPG", 3)
    path.write_bytes(path.read_bytes().replace(b"jpeg", b"q?pg"))
    with pytest.raises(UnreadableImageError, match="cannot be opened"):
        list(read_frames(path))


def test_a_video_that_grew_is_read_again(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.avi", "MJPG", 3)
    assert plan_of(path).frames == 3
    write_numbered(path, "MJPG", 5)
    assert plan_of(path).frames == 5


def test_a_lost_frame_is_no_picture(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.avi", "MJPG", 5)
    zero_frame(path, 2)
    assert number_of(read_image(tmp_path, "a.avi#3")) == 3
    with pytest.raises(UnreadableImageError, match=r"a\.avi#2: frame 2 is lost: it is damaged"):
        read_image(tmp_path, "a.avi#2")


def test_a_path_is_no_address(tmp_path: Path) -> None:
    folder = tmp_path / "http:" / "a b%20c"
    folder.mkdir(parents=True)
    path = write_numbered(folder / "é#?.avi", "MJPG", 3)
    assert shown(list(read_frames(path))) == [0, 1, 2]
    os.chdir(tmp_path)
    assert shown(list(read_frames(path.relative_to(tmp_path)))) == [0, 1, 2]


def test_threads_may_read_at_once(tmp_path: Path) -> None:
    paths = [write_numbered(tmp_path / f"{k}.avi", "MJPG", 30) for k in range(4)]
    for number, path in enumerate(paths):
        zero_frame(path, number + 5)
    found: dict[int, list[int]] = {}

    def read(number: int) -> None:
        found[number] = lost(list(read_frames(paths[number])))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [number + 5] for number in range(4)}


def test_the_places_of_the_frames_are_real(tmp_path: Path) -> None:
    """What the damage of these tests rests on."""
    path = write_numbered(tmp_path / "a.avi", "MJPG", 5)
    content = path.read_bytes()
    for place, size in packets(path):
        assert content[place : place + 2] == b"\xff\xd8"
        assert content[place - 8 : place - 4] == b"00dc"
        assert int.from_bytes(content[place - 4 : place], "little") == size
