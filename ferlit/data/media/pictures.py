"""One picture file, or a Pillow image, as a grey array: right, or refused with the reason.

Only kinds whose content is known to be decoded rightly are read. What has several pictures in it,
numbers whose range nobody tells, and a file that ends too early are refused.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from ferlit.data.media.depth import depth_of, eight_bits
from ferlit.data.media.kinds import (
    HEAD,
    Kind,
    kind_of_content,
    kind_of_name,
    not_read,
    what_lies_there,
)
from ferlit.errors import DataError

T = TypeVar("T")

# The kind is told from the content. EPS is not among them: Pillow would start Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF")
_MOST_PIXELS = 2**26  # below the size at which Pillow warns of decompression bombs
_SUBFILE, _DNG = 254, 50706  # tags of TIFF
_REDUCED, _MASK = 1, 4  # bits of the former
_EMPTY_END = 64  # bytes
_GREY_OF_NOTHING = 128  # what libjpeg fills in where a file has no more data
_BLOCK = 8
_SINGLE = "save the one that is meant as a file of its own"


def decode(file: Path | bytes) -> NDArray[np.uint8]:
    """Read a picture file.

    Args:
        file: Its path or its content.

    Returns:
        (H, W) grey.

    Raises:
        DataError: it is no picture, of a kind that is not read, or its values cannot be trusted.
    """
    with opened_picture(file) as image:
        return grey_of(image)


@contextmanager
def opened_picture(file: Path | bytes) -> Iterator[Image.Image]:
    """A picture file as a Pillow image.

    Args:
        file: Its path or its content.

    Yields:
        The image, of which nothing is decoded yet.

    Raises:
        DataError: it is of a kind that is not read, or too large.
    """
    with BytesIO(file) if isinstance(file, bytes) else file.open("rb") as stream:
        head = stream.read(HEAD)
        stream.seek(0)
        kind = kind_of_name(file.name) if isinstance(file, Path) else None
        if kind is not None and kind.name == "camera raw":
            raise DataError(not_read(kind))  # most are TIFF files, with a small copy at first
        try:
            image = Image.open(stream, formats=_formats(head))
        except UnidentifiedImageError:
            raise DataError(_why_not(head, kind)) from None
        with image:
            width, height = image.size
            if width * height > _MOST_PIXELS:
                raise DataError(f"{width} x {height} pixels are too many")
            _check_end(stream, image.format)
            yield image


def grey_of(image: Image.Image) -> NDArray[np.uint8]:
    """A Pillow image in grey, upright, on black where it is transparent, and in 8 bits.

    Args:
        image: Opened or made.

    Returns:
        (H, W) grey.

    Raises:
        DataError: it has several pictures, or values whose range is not known.

    >>> grey_of(Image.new("RGB", (3, 2), (255, 0, 0))).tolist()
    [[76, 76, 76], [76, 76, 76]]
    """
    _check_single(image)
    depth = depth_of(image)  # known only before the picture is decoded
    is_jpeg = image.format in ("JPEG", "MPO")
    upright = ImageOps.exif_transpose(image)
    if is_jpeg:
        _check_whole(image)
    if upright.mode == "F":
        raise DataError("pictures of floating-point numbers are not supported")
    if upright.mode in ("LAB", "HSV"):
        raise DataError(f"{upright.mode} colours are not supported; save it as RGB")
    if upright.mode.startswith("I"):
        return eight_bits(np.asarray(upright), depth)
    colours = upright
    if upright.has_transparency_data:
        black = Image.new("RGBA", upright.size, "black")
        colours = Image.alpha_composite(black, upright.convert("RGBA")).convert("RGB")
    elif upright.mode != "L":
        colours = upright.convert("RGB")
    if depth.is_reduced:
        depth.check(max(256 * int(np.asarray(colours).max()) - 1, 0))
    return np.array(colours.convert("L"), dtype=np.uint8)


def check_grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image, if it is a grey one.

    Raises:
        DataError: another shape or type.

    >>> check_grey(np.zeros((2, 3), np.float32))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: an image of shape (2, 3) and type float32; expected grey uint8 (H, W)
    """
    if image.ndim != 2 or image.dtype != np.uint8 or image.size == 0:
        raise DataError(
            f"an image of shape {image.shape} and type {image.dtype}; expected grey uint8 (H, W)"
        )
    return image


def is_read(kind: Kind) -> bool:
    """Whether files of a kind are read, as far as the libraries for it are installed."""
    if kind.name == "HEIC":
        return _has_heif()
    return kind.name.upper() in _known()


@cache
def _known() -> tuple[str, ...]:
    Image.init()
    return (*_FORMATS, *(["AVIF"] if "AVIF" in Image.OPEN else []))


@cache
def _has_heif() -> bool:
    for name in ("pi_heif", "pillow_heif"):
        try:
            plugin = import_module(name)
        except ImportError:
            continue
        plugin.register_heif_opener()
        return True
    return False


def _formats(head: bytes) -> tuple[str, ...]:
    """What Pillow may try; the reader of HEIC is looked for only where there is such a file."""
    kind = kind_of_content(head)
    is_heif = kind is not None and kind.name == "HEIC"
    return (*_known(), "HEIF") if is_heif and _has_heif() else _known()


def _why_not(head: bytes, meant: Kind | None) -> str:
    kind = kind_of_content(head)
    if kind is not None and is_read(kind):
        return f"a damaged {kind.name} file"
    if kind is None and meant is not None and not is_read(meant):
        return not_read(meant)
    return what_lies_there(head)


def _check_single(image: Image.Image) -> None:
    """One picture and no more: an animation, pages or views have no first that speaks for all."""
    count = getattr(image, "n_frames", 1)
    if image.format == "MPO":
        # What else a JPEG carries are previews and maps for the screen: the first is the picture.
        sizes = _of_each(image, count, lambda: image.size)
        count = sizes.count(sizes[0])
    tags = getattr(image, "tag_v2", None)
    if tags is not None and _DNG in tags:
        raise DataError("camera raw is not read; develop it, and save it as PNG or JPEG")
    if tags is not None and tags.get(_SUBFILE, 0) & (_REDUCED | _MASK):
        raise DataError("its first picture is a small copy or a mask; save the picture alone")
    if tags is not None and count > 1:
        count = _count_pages(image, count)
    if count > 1:
        raise DataError(f"it holds {count} pictures; {_SINGLE}")


def _count_pages(image: Image.Image, count: int) -> int:
    """The pages of a TIFF file but for small copies and masks."""
    subfiles = _of_each(image, count, lambda: image.tag_v2.get(_SUBFILE, 0))  # type: ignore[attr-defined]
    return sum(not subfile & (_REDUCED | _MASK) for subfile in subfiles)


def _of_each(image: Image.Image, count: int, value: Callable[[], T]) -> list[T]:
    """Something of each of an image's pictures."""
    current = image.tell()
    values = []
    for number in range(count):
        image.seek(number)
        values.append(value())
    image.seek(current)
    return values


def _check_end(stream: BinaryIO, kind: str | None) -> None:
    """The rest of a file that was not written whole may be zeros, which decode to something."""
    place = stream.tell()
    if kind == "PNG":
        stream.seek(0)
        Image.open(stream, formats=("PNG",)).verify()
    elif kind in ("GIF", "WEBP"):
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _EMPTY_END))
        if not any(stream.read()):
            raise DataError("its end is empty: the file was not written or copied whole")
    stream.seek(place)


def _check_whole(image: Image.Image) -> None:
    """A JPEG whose data end early decodes without an error; the rest is one certain grey."""
    values = np.asarray(image)
    if len(values) > 2 * _BLOCK and image.mode in ("L", "RGB"):
        is_nothing = values == _GREY_OF_NOTHING
        if is_nothing[-_BLOCK:].all() and not is_nothing[:_BLOCK].all():
            is_lost = is_nothing.reshape(len(values), -1).all(axis=1)
            lost = len(values) - 1 - int(np.flatnonzero(~is_lost)[-1])
            raise DataError(
                f"its last rows ({lost} of {len(values)}) are the plain grey that stands for "
                "missing data; the file is damaged"
            )
