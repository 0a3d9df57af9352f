"""Pictures that a program hands over: files, their content, Pillow images and arrays."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ferlit.data.media.depth import eight_bits
from ferlit.data.media.images import read_image
from ferlit.data.media.pictures import decode, grey_of
from ferlit.errors import DataError

Input = Path | str | bytes | Image.Image | NDArray[Any]
_CHANNELS = (3, 4)
_HINTS = {
    "Tensor": ", such as tensor.permute(1, 2, 0).numpy() of a (3, H, W) tensor of uint8",
    "list": "; recognise_batch takes several",
    "tuple": "; recognise_batch takes several",
}
_EXPECTED = "expected uint8, grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4), or uint16, grey"


def as_grey(image: Input) -> NDArray[np.uint8]:
    """A picture as the grey array that a preparation would read.

    Args:
        image: A file, the content of one as bytes, a Pillow image, or an array: grey (H, W) of
            uint8 or uint16, or RGB (H, W, 3) or RGBA (H, W, 4) of uint8. OpenCV's arrays are BGR,
            which nothing tells: turn them round by ``[..., ::-1]``.

    Returns:
        (H, W) grey.

    Raises:
        DataError: it cannot be read, or is no such picture. Other numbers are refused, as nothing
            tells whether floating-point white is 1 or 255.

    >>> as_grey(np.full((2, 3, 3), 255, np.uint8)).tolist()
    [[255, 255, 255], [255, 255, 255]]
    >>> as_grey(np.ones((48, 48)))
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: an image of shape (48, 48) and type float64; expected ...
    """
    if isinstance(image, (Path, str)):
        path = Path(image)
        return read_image(path.parent, path.name)
    if isinstance(image, np.ndarray):
        return _of_array(image)
    if not isinstance(image, (bytes, bytearray, memoryview, Image.Image)):
        raise DataError(
            f"an image of type {type(image).__name__}; give a file's name or content, a Pillow "
            "image or a NumPy array" + _HINTS.get(type(image).__name__, "")
        )
    try:
        return grey_of(image) if isinstance(image, Image.Image) else decode(bytes(image))
    except Exception as error:
        # Pillow's decoders raise anything from OSError to IndexError on damaged files.
        raise DataError(str(error) or type(error).__name__) from error


def _of_array(image: NDArray[Any]) -> NDArray[np.uint8]:
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        raise DataError("a masked array, whose masked pixels have no value; fill them (filled)")
    is_colour = image.ndim == 3 and image.shape[2] in _CHANNELS and image.dtype == np.uint8
    is_grey = image.ndim == 2 and image.dtype in (np.uint8, np.uint16)
    if image.size == 0 or not (is_colour or is_grey):
        is_first = image.ndim == 3 and image.shape[0] in (1, 3, 4)
        hint = "; the channels come last: transpose it by (1, 2, 0)" if is_first else ""
        raise DataError(
            f"an image of shape {image.shape} and type {image.dtype}; {_EXPECTED}{hint}"
        )
    if is_colour:
        # By Pillow, as files are: OpenCV rounds in another way.
        return grey_of(Image.fromarray(np.ascontiguousarray(image)))
    return eight_bits(image) if image.dtype == np.uint16 else image


def check_batch(images: Sequence[Input]) -> Sequence[Input]:
    """Several pictures, if they are not one that would be taken apart.

    Raises:
        DataError: it is one picture.

    >>> check_batch("portrait.jpg")
    Traceback (most recent call last):
        ...
    ferlit.errors.DataError: recognise_batch takes several pictures, and got one str; ...
    """
    is_one = isinstance(images, (str, bytes, bytearray, Path, Image.Image))
    if is_one or (isinstance(images, np.ndarray) and images.ndim < 4):
        what = f"array of shape {images.shape}" if isinstance(images, np.ndarray) else None
        raise DataError(
            "recognise_batch takes several pictures, and got one "
            f"{what or type(images).__name__}; give a list of pictures, or call recognise"
        )
    if isinstance(images, (Mapping, Set)) or not isinstance(images, Iterable):
        raise DataError(
            f"recognise_batch takes a list of pictures, and got a {type(images).__name__}"
        )
    return images


def name_of_input(image: Input, number: int) -> str:
    """How a message names a picture that was handed over.

    >>> name_of_input(Path("a.png"), 0), name_of_input(b"", 3)
    ('a.png', 'picture 3 (bytes)')
    """
    if isinstance(image, (Path, str)):
        return str(image)
    file = getattr(image, "filename", "")
    if file:
        return str(file)
    return f"picture {number} ({type(image).__name__})"
