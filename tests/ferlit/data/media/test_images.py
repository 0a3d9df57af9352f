import os
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ferlit.data.media import images
from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.images import read_image
from ferlit.data.texts import csv_rows

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def noise(height: int = 40, width: int = 30) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)
    return Image.fromarray(values)


def png_header(width: int, height: int) -> bytes:
    """A PNG file that promises many pixels and has none."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b""), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in chunks
    )


def test_grey_values_are_kept(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    image = read_image(tmp_path, "a.png")
    assert image.dtype == np.uint8
    assert image.flags.writeable
    np.testing.assert_array_equal(image, GREY)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_pictures_in_colour_modes_stay_the_same(mode: str, tmp_path: Path) -> None:
    Image.fromarray(GREY).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path, "a.png"), GREY)


def test_colours_are_weighted_by_their_luminance(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_image(tmp_path, "red.png")[0, 0] == round(0.299 * 255)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8))
    picture.putpalette([10, 10, 10, 200, 200, 200, 90, 90, 90])
    assert picture.mode == "P"
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path, "a.png"), [[10, 200], [90, 200]])
    picture.save(tmp_path / "b.png", transparency=1)
    np.testing.assert_array_equal(read_image(tmp_path, "b.png"), [[10, 0], [90, 0]])


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 257, 65535], [128, 129, 32896]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path, "a.png"), [[0, 1, 255], [0, 1, 128]])


def test_a_cmyk_jpeg_is_not_inverted(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (240, 240, 240)).convert("CMYK").save(tmp_path / "a.jpg")
    assert read_image(tmp_path, "a.jpg").mean() == pytest.approx(240, abs=3)


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (2, 1), (200, 200, 200, 255))
    picture.putpixel((1, 0), (200, 200, 200, 0))
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path, "a.png"), [[200, 0]])


def test_the_camera_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the left: a quarter turn to the right sets it upright
    Image.fromarray(GREY).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path, "a.png"), np.rot90(GREY, -1))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "PPM"])
def test_the_content_decides_on_the_kind_and_not_the_name(kind: str, tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg", format=kind)
    np.testing.assert_array_equal(read_image(tmp_path, "a.jpg"), GREY)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF"])
def test_truncated_files_are_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "whole"
    noise().save(path, format=kind)
    (tmp_path / "cut").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImageError, match="cut: "):
        read_image(tmp_path, "cut")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_damaged_files_give_a_picture_or_the_error_and_nothing_else(
    kind: str, tmp_path: Path
) -> None:
    noise(20, 20).save(tmp_path / "whole", format=kind)
    whole = np.frombuffer((tmp_path / "whole").read_bytes(), dtype=np.uint8)
    random = np.random.default_rng(0)
    for _ in range(30):
        damaged = whole.copy()
        damaged[random.integers(0, len(whole), 8)] = random.integers(0, 256, 8)
        (tmp_path / "damaged").write_bytes(damaged.tobytes())
        try:
            assert read_image(tmp_path, "damaged").ndim == 2
        except UnreadableImageError as error:
            assert str(tmp_path / "damaged") in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no picture at all", "not a picture of a known kind"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript is not read; save"),
        (png_header(9000, 8000), "9000 x 8000 pixels are too many"),
        (png_header(60000, 60000), "decompression bomb"),
        (png_header(8, 8), "a.png: "),
    ],
)
def test_what_is_no_picture_is_named_with_the_reason(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UnreadableImageError) as error:
        read_image(tmp_path, "a.png")
    assert str(error.value).startswith(f"{tmp_path / 'a.png'}: ")
    assert reason in str(error.value)


@pytest.mark.parametrize("name", ["../a.png", "b/../../a.png", "/a.png", "../t.csv#0"])
def test_names_that_leave_the_folder_are_refused(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    Image.fromarray(GREY).save(tmp_path / "a.png")
    with pytest.raises(UnreadableImageError, match="out of the database's folder"):
        read_image(root, name.replace("/a.png", f"{tmp_path}/a.png") if name[0] == "/" else name)


@pytest.mark.parametrize("name", ["none.png", "folder", "", "none.csv#0", "a\x00.png", "pipe"])
def test_what_is_no_file_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableImageError, match=r"no such file|null"):
        read_image(tmp_path, name)


def write_csv(path: Path, *rows: str, header: str = "emotion,pixels") -> None:
    path.write_text("\n".join([header, *(f"0,{row}" for row in rows)]) + "\n")


def test_rows_of_a_csv_file_are_pictures(tmp_path: Path) -> None:
    expected = np.random.default_rng(0).integers(0, 256, (3, 48, 48))
    rows = [" ".join(map(str, picture.ravel())) for picture in expected]
    write_csv(tmp_path / "t.csv", *rows, header="emotion, pixels")
    for row in (2, 0, 1):
        image = read_image(tmp_path, f"t.csv#{row}")
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, expected[row])
        image[:] = 0  # a caller's change must not reach the next reader
        np.testing.assert_array_equal(read_image(tmp_path, f"t.csv#{row}"), expected[row])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0 " * 2303, "2303 pixels instead of 48 x 48"),
        ("0 " * 2305, "2305 pixels instead of 48 x 48"),
        ("", "0 pixels instead of 48 x 48"),
        ("0 " * 2303 + "256", "pixels from 0 to 256, not from 0 to 255"),
        ("0 " * 2303 + "-1", "pixels from -1 to 0, not from 0 to 255"),
        ("x " + "0 " * 2303, "a pixel is no whole number"),
        ("0.5 " + "0 " * 2303, "a pixel is no whole number"),
    ],
)
def test_a_wrong_row_fails_alone(row: str, reason: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "7 " * 2304, row, "8 " * 2304)
    with pytest.raises(UnreadableImageError) as error:
        read_image(tmp_path, "t.csv#1")
    assert str(error.value) == f"{tmp_path / 't.csv#1'}: {reason}"
    assert read_image(tmp_path, "t.csv#2").max() == 8


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("t.csv#1", "the file has only 1 rows"),
        ("t.csv#-1", "'-1' is no number of a row"),
        ("t.csv#", "'' is no number of a row"),
        ("t.csv#1.0", "'1.0' is no number of a row"),
        ("t.png#0", "only a CSV file has pictures that are numbered"),
        ("other.csv#0", "there is no column pixels"),
        ("broken.csv#0", "the CSV file cannot be read"),
    ],
)
def test_a_row_that_is_not_there_is_an_error(name: str, reason: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "7 " * 2304)
    write_csv(tmp_path / "other.csv", "7 " * 2304, header="emotion,picture")
    (tmp_path / "broken.csv").write_text('emotion,pixels\n"0,1\n')
    (tmp_path / "t.png").write_bytes(b"RIFF")
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(tmp_path, name)


def test_a_csv_file_is_parsed_once_for_all_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parses = []

    def counted(path: Path, columns: tuple[str, ...]):  # type: ignore[no-untyped-def]
        parses.append(threading.get_ident())
        yield from csv_rows(path, columns)

    monkeypatch.setattr(images, "csv_rows", counted)
    write_csv(tmp_path / "t.csv", *(f"{row} " * 2304 for row in range(20)))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda row: read_image(tmp_path, f"t.csv#{row}"), range(20)))
    assert [int(image[0, 0]) for image in read] == list(range(20))
    assert len(parses) == 1


def test_a_csv_file_that_changed_is_parsed_again(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "7 " * 2304)
    assert read_image(tmp_path, "t.csv#0").max() == 7
    write_csv(tmp_path / "t.csv", "7 " * 2304, "9 " * 2304)
    assert read_image(tmp_path, "t.csv#1").max() == 9


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Five frames of 40 x 20: frame k is 40 k on the left half and 40 k + 20 on the right."""
    path = tmp_path / "S001-100.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 24, (40, 20))
    for number in range(5):
        frame = np.full((20, 40, 3), 40 * number, dtype=np.uint8)
        frame[:, 20:] += 20
        writer.write(frame)
    writer.release()
    return path


@pytest.mark.parametrize(
    ("place", "shape", "grey"),
    [
        ("3:left", (20, 20), 120),
        ("3:right", (20, 20), 140),
        ("0:left", (20, 20), 0),
        ("4:right", (20, 20), 180),
    ],
)
def test_a_frame_of_a_video(video: Path, place: str, shape: tuple[int, int], grey: int) -> None:
    picture = read_image(video.parent, f"{video.name}#{place}")
    assert picture.shape == shape
    assert abs(float(picture[:, 4:-4].mean()) - grey) < 3


def test_a_turned_frame(video: Path) -> None:
    """Clockwise: what was on the left comes to the top."""
    picture = read_image(video.parent, f"{video.name}#3:clockwise")
    assert picture.shape == (40, 20)
    assert picture[:16].mean() < picture[24:].mean()


@pytest.mark.parametrize(
    ("place", "message"),
    [("5", "only 5 frames"), ("x", "no number"), ("1:up", "the view 'up'"), ("", "no number")],
)
def test_a_frame_that_is_not_there(video: Path, place: str, message: str) -> None:
    with pytest.raises(UnreadableImageError, match=message):
        read_image(video.parent, f"{video.name}#{place}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"RIFF, but no more than that", "not an AVI video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n", "not an AVI video"),
        (b"RIFF\0\0\0\0AVI and then nothing", "the video cannot be opened"),
    ],
)
def test_a_file_that_is_no_video(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(UnreadableImageError, match=message):
        read_image(tmp_path, "a.avi#0")
