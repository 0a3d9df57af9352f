from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.images import read_image
from ferlit.data.media.video_files import is_video
from ferlit.inference.recognise.sources import find_sources, frames_of
from ferlit.inference.videos import grey_frame, read_video
from tests.ferlit.inference.faces import write_video

GREY = np.full((48, 64), 90, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "media"
    for name in ("b.png", "a.JPG", "deep/[1].png", ".hidden/c.png", "annotated/b.png"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY).save(path)
    write_video(str(top / "film.avi"), [GREY, GREY])
    (top / "film.avi").rename(top / "film without ending")
    (top / "list.csv").write_text("pixels\n0")
    return top


def names(arguments: list[str], folder: Path, exclude: list[Path] | None = None) -> list[str]:
    sources, missing = find_sources(arguments, exclude or [])
    assert missing == []
    return [Path(source.name).relative_to(folder).as_posix() for source in sources]


def test_a_folder_gives_all_pictures_below_it_and_then_the_videos(folder: Path) -> None:
    pictures = ["a.JPG", "annotated/b.png", "b.png", "deep/[1].png"]
    assert names([str(folder)], folder) == [*pictures, "film without ending"]


def test_annotated_copies_of_an_earlier_run_are_left_out(folder: Path) -> None:
    found = names([str(folder)], folder, [folder / "annotated"])
    assert found == ["a.JPG", "b.png", "deep/[1].png", "film without ending"]
    assert "b.png" in names([str(folder)], folder, [folder])


def test_patterns_and_names_that_look_like_patterns_are_found_once(folder: Path) -> None:
    assert names([str(folder / "*.png")], folder) == ["b.png"]
    assert names([str(folder / "**" / "b.png")], folder) == ["annotated/b.png", "b.png"]
    both = [str(folder / "deep" / "[1].png"), str(folder / "deep" / "*")]
    assert names(both, folder) == ["deep/[1].png"]


def test_a_number_is_a_camera_unless_there_is_such_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [source.kind for source in find_sources(["0", "1"])[0]] == ["camera", "camera"]
    Image.fromarray(GREY).save("1", format="png")
    assert [source.kind for source in find_sources(["0", "1"])[0]] == ["picture", "camera"]


def test_frames_are_numbered_in_their_video(folder: Path) -> None:
    sources, _ = find_sources([str(folder / "b.png"), str(folder / "film without ending")])
    frames = list(frames_of(sources))
    assert [frame.number for frame in frames] == [None, 0, 1]
    assert [frame.rate for frame in frames] == [0, 10, 10]
    assert [frame.time for frame in frames] == [None, 0, 0.1]
    assert {source.sequence for source in sources} == {str(folder), sources[1].name}
    for frame in frames:
        assert frame.grey is not None
        assert np.abs(frame.grey.astype(int) - 90).max() <= 2


def test_a_playlist_is_no_video(tmp_path: Path) -> None:
    """FFmpeg would open whatever it names."""
    playlist = tmp_path / "list.avi"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    assert not is_video(playlist)
    with pytest.raises(UnreadableImageError, match="not a video of a known kind"):
        next(read_video(playlist))


def test_a_frame_is_grey_as_a_preparation_reads_it(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 64), dtype=np.uint8)
    write_video(str(tmp_path / "noise.avi"), list(noise))
    (_, second) = read_video(tmp_path / "noise.avi")
    assert second.read is not None
    assert np.array_equal(grey_frame(second.read()), read_image(tmp_path, "noise.avi#1"))
