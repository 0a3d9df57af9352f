"""Values, pages and ends of picture files: right, or refused by name."""

import importlib.util
import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from ferlit.data.media.errors import UnreadableImageError
from ferlit.data.media.images import read_image
from ferlit.data.media.kinds import KINDS, kind_of_content
from ferlit.data.media.pictures import decode, grey_of
from ferlit.errors import DataError
from tests.ferlit.data.picture_files import HEIC, encoded, ramp, smooth_noise

has_heif = importlib.util.find_spec("pi_heif") is not None
KINDS_OF_16_BITS = {
    "png": lambda values: encoded(values, "PNG"),
    "tiff": lambda values: encoded(values, "TIFF"),
    "tiff lzw": lambda values: encoded(values, "TIFF", compression="tiff_lzw"),
    "tiff big-endian": lambda values: encoded(values.astype(">u2"), "TIFF"),
    "pgm": lambda values: b"P5 32 24 65535\n" + values.astype(">u2").tobytes(),
    "rgb png": lambda values: cv2.imencode(".png", np.dstack([values] * 3))[1].tobytes(),
    "rgba png": lambda values: cv2.imencode(
        ".png", np.dstack([values] * 3 + [np.full_like(values, 65535)])
    )[1].tobytes(),
    "rgb tiff": lambda values: cv2.imencode(".tiff", np.dstack([values] * 3))[1].tobytes(),
    "rgb raw tiff": lambda values: cv2.imencode(
        ".tiff", np.dstack([values] * 3), [cv2.IMWRITE_TIFF_COMPRESSION, 1]
    )[1].tobytes(),
    "ppm": lambda values: b"P6 32 24 65535\n" + np.dstack([values] * 3).astype(">u2").tobytes(),
}
NEAR = {"rtol": 0, "atol": 1}  # to take the upper byte is not to round


@pytest.mark.parametrize("kind", KINDS_OF_16_BITS)
def test_sixteen_bits_that_use_their_range_are_read(kind: str) -> None:
    content = KINDS_OF_16_BITS[kind](ramp(65535, np.uint16))
    np.testing.assert_allclose(decode(content).astype(int), ramp(255, float), **NEAR)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("kind", KINDS_OF_16_BITS)
def test_fewer_bits_in_sixteen_are_refused_with_their_number(kind: str, bits: int) -> None:
    content = KINDS_OF_16_BITS[kind](ramp(2**bits - 1, np.uint16))
    with pytest.raises(DataError, match=r"low for 16 bits .*multiply the values"):
        decode(content)


def test_a_dark_picture_of_sixteen_bits_is_not_brightened() -> None:
    values = ramp(20_000, np.uint16)
    assert decode(encoded(values, "PNG")).max() == round(20_000 / 257)


def test_a_saturated_blue_of_sixteen_bits_is_no_dark_picture() -> None:
    blue = np.zeros((4, 4, 3), np.uint16)
    blue[..., 0] = 65535  # BGR
    assert decode(cv2.imencode(".png", blue)[1].tobytes()).max() == round(0.114 * 255)


@pytest.mark.parametrize("tag", [281, 341])
def test_a_tiff_that_tells_its_highest_value_is_read_by_it(tag: int) -> None:
    content = encoded(ramp(4095, np.uint16), "TIFF", tiffinfo={tag: 4095})
    np.testing.assert_allclose(decode(content).astype(int), ramp(255, float), **NEAR)


def test_a_highest_value_that_is_no_range_is_only_the_brightest() -> None:
    with pytest.raises(DataError, match="low for 16 bits"):
        decode(encoded(ramp(3000, np.uint16), "TIFF", tiffinfo={281: 3000}))


def tiff(values: np.ndarray, bits: int, packed: bytes, photometric: int = 1) -> bytes:
    """A grey TIFF file with one strip."""
    height, width = values.shape
    entries = [
        (256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8 + 2 + 9 * 12 + 4), (277, 3, 1), (278, 3, height), (279, 4, len(packed)),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + packed


def test_twelve_packed_bits_are_white_at_4095() -> None:
    values = ramp(4095, np.uint16)
    pairs = values.reshape(-1, 2).astype(int)
    joined = pairs[:, 0] << 12 | pairs[:, 1]
    packed = b"".join(int(pair).to_bytes(3, "big") for pair in joined)
    read = decode(tiff(values, 12, packed))
    np.testing.assert_allclose(read.astype(int), ramp(255, float), **NEAR)


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_where_white_is_zero_the_values_are_turned_round(bits: int, kind: type) -> None:
    values = ramp(2**bits - 1, kind)
    read = decode(tiff(values, bits, values.tobytes(), photometric=0))
    np.testing.assert_allclose(read.astype(int), 255 - ramp(255, float), **NEAR)


@pytest.mark.parametrize("maximum", [15, 255, 1023, 4095, 65535])
@pytest.mark.parametrize("magic", [b"P5", b"P6"])
def test_a_pgm_is_read_by_the_maximum_that_it_tells(magic: bytes, maximum: int) -> None:
    values = np.rint(ramp(maximum, float)).astype(">u2" if maximum > 255 else np.uint8)
    pixels = values if magic == b"P5" else np.dstack([values] * 3).astype(values.dtype)
    read = decode(magic + b" 32 24 %d\n" % maximum + pixels.tobytes())
    expected = np.rint(ramp(maximum, float)) * 255 / maximum
    np.testing.assert_allclose(read.astype(int), expected, **NEAR)


def with_significant_bits(png: bytes, bits: int) -> bytes:
    chunk = b"sBIT" + bytes([bits])
    return png[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def test_a_png_that_tells_twelve_bits_is_read_by_them_only_where_they_are_the_lower_ones() -> None:
    low = with_significant_bits(encoded(ramp(4095, np.uint16), "PNG"), 12)
    np.testing.assert_allclose(decode(low).astype(int), ramp(255, float), **NEAR)
    upper = ramp(4095, np.uint16) << 4
    by_the_standard = with_significant_bits(encoded(upper, "PNG"), 12)
    np.testing.assert_allclose(decode(by_the_standard).astype(int), ramp(255, float), **NEAR)
    dark = with_significant_bits(encoded(ramp(255, np.uint16) << 4, "PNG"), 12)
    with pytest.raises(DataError, match="low for 16 bits"):
        decode(dark)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (ramp(4095, np.int32), "numbers are not supported"),
        (ramp(1, np.float32), "floating-point numbers are not supported"),
    ],
)
def test_numbers_whose_range_nobody_tells_are_refused(values: np.ndarray, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode(encoded(values, "TIFF"))


def test_unsigned_numbers_of_32_bits_are_refused() -> None:
    values = ramp(4095, np.uint32)
    with pytest.raises(DataError, match="32-bit numbers are not supported"):
        decode(tiff(values, 32, values.astype("<u4").tobytes()))


def test_lab_is_refused_and_every_usual_mode_is_read_alike() -> None:
    grey = Image.fromarray(ramp())
    with pytest.raises(DataError, match="LAB colours"):
        decode(encoded(Image.new("LAB", (4, 4)), "TIFF"))
    for mode in ("L", "P", "LA", "PA", "RGBA", "CMYK", "YCbCr"):
        np.testing.assert_array_equal(decode(encoded(grey.convert(mode), "TIFF")), ramp())


def frames() -> list[Image.Image]:
    """New ones each time: Pillow leaves notes in what it saves."""
    return [Image.fromarray(np.roll(ramp(), 5 * number, axis=1)) for number in range(3)]


def together(kind: str) -> bytes:
    first, *others = frames()
    return encoded(first, kind, save_all=True, append_images=others)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO", "AVIF"])
def test_several_pictures_in_one_file_are_refused_with_their_number(kind: str) -> None:
    if kind == "AVIF":
        pytest.importorskip("PIL.AvifImagePlugin", reason="needs Pillow 11.3 or later")
    alone = decode(encoded(frames()[0], kind))
    np.testing.assert_allclose(alone.astype(int), ramp(), atol=9)
    with pytest.raises(DataError, match="it holds 3 pictures"):
        decode(together(kind))


def test_the_preview_in_a_jpeg_does_not_count() -> None:
    preview = frames()[1].resize((8, 6))
    content = encoded(frames()[0], "MPO", save_all=True, append_images=[preview])
    assert Image.open(io.BytesIO(content)).n_frames == 2  # type: ignore[attr-defined]
    np.testing.assert_allclose(decode(content).astype(int), ramp(), atol=9)


def test_a_small_copy_behind_the_picture_of_a_tiff_does_not_count_but_one_before_it_does() -> None:
    whole, small = frames()[0], frames()[0].resize((8, 6))
    small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    behind = encoded(whole, "TIFF", save_all=True, append_images=[small])
    np.testing.assert_array_equal(decode(behind), ramp())
    with pytest.raises(DataError, match="its first picture is a small copy"):
        decode(encoded(small, "TIFF", tiffinfo={254: 1}))


def test_the_content_of_a_camera_raw_file_is_no_picture(tmp_path: Path) -> None:
    """They are TIFF files, of which Pillow would take what is shown on the camera."""
    for name, options in (("a.nef", {}), ("a.tif", {"tiffinfo": {50706: b"\1\4\0\0"}})):
        (tmp_path / name).write_bytes(encoded(ramp(), "TIFF", **options))
        with pytest.raises(UnreadableImageError, match="camera raw is not read; develop it"):
            read_image(tmp_path, name)


def test_a_jpeg_whose_data_end_early_is_refused_and_a_grey_frame_is_not() -> None:
    whole = encoded(smooth_noise(), "JPEG", quality=90)
    with pytest.raises(DataError, match=r"its last rows \(\d+ of 64\) are the plain grey"):
        decode(whole[: len(whole) // 2] + b"\xff\xd9")
    framed = np.pad(smooth_noise(), 16, constant_values=128)
    assert decode(encoded(framed, "JPEG")).shape == (96, 96)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_file_that_ends_in_zeros_was_not_copied_whole(kind: str, tmp_path: Path) -> None:
    whole = encoded(smooth_noise(128), kind)
    half = len(whole) // 2
    (tmp_path / "a").write_bytes(whole[:half] + bytes(len(whole) - half))
    with pytest.raises(UnreadableImageError):
        read_image(tmp_path, "a")


@pytest.mark.parametrize("suffix", ["jfif", "jpe", "jif", "pjpeg", "JFIF"])
def test_every_name_of_a_jpeg_is_known(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(encoded(smooth_noise(), "JPEG"))
    assert read_image(tmp_path, f"a.{suffix}").shape == (64, 64)
    assert KINDS[f".{suffix.lower()}"].name == "JPEG"


@pytest.mark.skipif(not has_heif, reason="needs pip install 'ferlit[heic]'")
@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_heic_is_read_whatever_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(HEIC)
    expected = np.tile(np.linspace(20, 230, 16), (16, 1))
    np.testing.assert_allclose(read_image(tmp_path, name).astype(int), expected, atol=6)


def test_heic_without_its_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferlit.data.media.pictures._has_heif", lambda: False)
    with pytest.raises(DataError, match=r"HEIC is not read; install ferlit\[heic\]"):
        decode(HEIC)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\xff\x0a" + bytes(20), "JPEG XL is not read; convert it"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "JPEG 2000 is not read"),
        (b"8BPS\0\1" + bytes(20), "Photoshop is not read"),
        (b"%PDF-1.7\n", "PDF is not read; save it as PNG"),
        (b'<?xml version="1.0"?><svg width="9"></svg>', "SVG is not read"),
        (b"PK\x03\x04" + bytes(20), "archive is not read; unpack it"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "video is not read; save its frames"),
        (b"RIFF\0\0\0\0AVI LIST", "video is not read"),
        (b"DDS " + bytes(20), "DDS is not read"),
        (b"II*\0\x10\0\0\0CR\x02\0" + bytes(20), "camera raw is not read"),
        (b"<html><body>404</body></html>", "a web page, which a failed download leaves"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\x89PNG\r\n\x1a\n", "a damaged PNG file"),
    ],
)
def test_what_lies_under_the_name_of_a_picture_is_named(
    content: bytes, what: str, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UnreadableImageError) as error:
        read_image(tmp_path, "a.jpg")
    assert str(error.value).startswith(f"{tmp_path / 'a.jpg'}: {what}")


@pytest.mark.parametrize("name", ["PNG", "WebP", "BMP", "PPM", "GIF", "TIFF"])
def test_the_content_tells_every_kind_that_is_read(name: str) -> None:
    told = kind_of_content(encoded(ramp(), name.upper()))
    assert told is not None
    assert told.name == name


def test_an_image_of_pillow_is_read_as_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(ramp()).convert("LA").save(path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(grey_of(image), read_image(tmp_path, "a.png"))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["AVIF", "MPO", "HEIC", "PPM", "16 bits", "pages"])
def test_damaged_files_are_read_or_refused_and_nothing_else(kind: str, tmp_path: Path) -> None:
    makers = {
        "HEIC": lambda: HEIC,
        "16 bits": lambda: encoded(ramp(65535, np.uint16), "TIFF", compression="tiff_lzw"),
        "pages": lambda: together("TIFF"),
    }
    content = makers.get(kind, lambda: encoded(frames()[0], kind))()
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(0, len(damaged), 6)] = rng.integers(0, 256, 6)
        (tmp_path / "damaged").write_bytes(damaged[: rng.integers(1, len(damaged) + 1)].tobytes())
        try:
            assert read_image(tmp_path, "damaged").ndim == 2
        except UnreadableImageError as error:
            assert str(tmp_path / "damaged") in str(error)  # noqa: PT017
