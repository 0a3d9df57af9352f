"""Sixteen bits to eight, where it is known how much of the sixteen is used.

Cameras of 10, 12 or 14 bits often store their values as they are, in the low bits of 16. Taken for
16 bits, such a picture is black; stretched to its own brightest value, a dark one turns bright.
"""

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ferlit.errors import DataError

_FULL = 65535
# A picture of 16 bits that stays below a quarter of the range is one of 14 bits at most, or so dark
# that its numbers cannot tell.
_LOW = 2**14
_BITS, _PHOTOMETRIC, _FORMAT = 258, 262, 339  # tags of TIFF
_MAXIMA = (281, 341)  # MaxSampleValue, SMaxSampleValue
_WHITE_IS_ZERO = 0
_FORMATS = {2: "signed", 3: "floating-point", 4: "untold", 5: "complex", 6: "complex"}


class Depth(NamedTuple):
    """What a file tells about its values.

    Args:
        most: The value of white, where a file tells it; None where it only has room for 16 bits.
        significant: How many of the 16 bits a PNG file says are significant; 16 where it does not.
        is_reduced: Whether Pillow takes the upper eight of the 16 bits.
        is_inverted: Whether white is zero.
    """

    most: int | None = None
    significant: int = 16
    is_reduced: bool = False
    is_inverted: bool = False

    def check(self, highest: int) -> None:
        """Refuse 16-bit values that may have another range.

        Raises:
            DataError: the file does not tell the range, and the values do not either.
        """
        if self.most is None and highest < _LOW:
            bits = max(8, int(highest).bit_length())
            about = "about " if self.is_reduced else ""
            raise DataError(
                f"its values are low for 16 bits (they end at {about}{highest}): it holds fewer "
                f"bits ({bits}), or is nearly black; multiply the values so that white is {_FULL}, "
                "or save it in 8 bits"
            )


def depth_of(image: Image.Image) -> Depth:
    """What is known of an image's values before it is decoded.

    Raises:
        DataError: signed, floating-point or 32-bit numbers, whose range nobody tells.
    """
    tags = getattr(image, "tag_v2", None)
    if tags is not None:
        return _depth_of_tiff(image, tags)
    arguments = _arguments(image)
    is_grey = image.mode.startswith("I")
    if image.format == "PPM" and len(arguments) > 1:
        maximum = int(arguments[1])
        # Pillow has stretched these values to the range.
        return Depth(
            most=_FULL if maximum < _FULL else None, is_reduced=not is_grey and maximum > 255
        )
    return Depth(
        significant=_significant_bits(image) if image.format == "PNG" and is_grey else 16,
        is_reduced=_is_wide(arguments) and not is_grey,
    )


def eight_bits(values: NDArray[Any], depth: Depth | None = None) -> NDArray[np.uint8]:
    """Grey values of 16 bits in 8.

    Args:
        values: (H, W) whole numbers.
        depth: What the file tells about them.

    Returns:
        (H, W) grey.

    Raises:
        DataError: they are outside of the range, or it is not known how much of it they use.

    >>> eight_bits(np.array([[0, 257, 65535]], np.uint16))
    array([[  0,   1, 255]], dtype=uint8)
    >>> eight_bits(np.array([[0, 512, 1023]], np.uint16))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: its values are low for 16 bits (they end at 1023): it holds ...
    """
    depth = depth or Depth()
    lowest, highest = int(values.min()), int(values.max())
    most = depth.most or _FULL
    if highest < 2**depth.significant <= _FULL and (values % 2 ** (16 - depth.significant)).any():
        # By the standard these bits are the upper ones, and what is below them is empty or repeats.
        most, depth = 2**depth.significant - 1, depth._replace(most=2**depth.significant - 1)
    if lowest < 0 or highest > most:
        raise DataError(f"its values go from {lowest} to {highest}, not from 0 to {most}")
    if depth.is_inverted:
        values = most - values.astype(np.int64)
        highest = most - lowest
    depth.check(highest)
    scaled = np.asarray(values, dtype=np.float64) * (255 / most)
    return np.asarray(scaled.round(), dtype=np.uint8)


def _depth_of_tiff(image: Image.Image, tags: Any) -> Depth:
    bits = max(_numbers(tags.get(_BITS, 1)))
    wrong = [_FORMATS[number] for number in _numbers(tags.get(_FORMAT, 1)) if number in _FORMATS]
    if wrong:
        raise DataError(f"pictures of {wrong[0]} numbers are not supported; save it in 8 bits")
    if bits > 16:
        raise DataError(f"pictures of {bits}-bit numbers are not supported; save it in 8 bits")
    is_grey = image.mode.startswith("I")
    told = [number for tag in _MAXIMA for number in _numbers(tags.get(tag, 0))]
    # Only a power of two is a range; other numbers are the brightest value that there is.
    ranges = [number for number in told if 255 <= number < _FULL and number & (number + 1) == 0]
    return Depth(
        most=2**bits - 1 if 8 < bits < 16 else max(ranges, default=None) if is_grey else None,
        is_reduced=bits == 16 and not is_grey,
        # Pillow turns round the values of 8 bits alone.
        is_inverted=is_grey and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO,
    )


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(int(v) for v in value) if isinstance(value, tuple) else (int(value),)


def _arguments(image: Image.Image) -> tuple[Any, ...]:
    """How Pillow will decode it: the mode of its raw values, and more."""
    tiles = getattr(image, "tile", None) or []
    arguments = tiles[0][3] if tiles else ()
    return arguments if isinstance(arguments, tuple) else (arguments,)


def _is_wide(arguments: tuple[Any, ...]) -> bool:
    return any(isinstance(argument, str) and ";16" in argument for argument in arguments)


def _significant_bits(image: Image.Image) -> int:
    """Of the chunk sBIT, which comes before the pixels."""
    stream = image.fp  # type: ignore[attr-defined]
    if stream is None:
        return 16  # it was decoded before
    place = stream.tell()
    try:
        stream.seek(8)
        while len(head := stream.read(8)) == 8:
            size, name = struct.unpack(">I4s", head)
            if name == b"sBIT":
                return int(stream.read(1)[0])
            if name == b"IDAT":
                return 16
            stream.seek(size + 4, 1)
        return 16
    finally:
        stream.seek(place)
