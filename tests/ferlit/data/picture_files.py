"""Pictures as files of many kinds, for tests."""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# A grey ramp from 20 to 230, 16 x 16, by libheif; no library that is installed writes this kind.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWl4AAAAAG1pZjFoZWl4bWlhZgAAAXZtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABmgABAAAAAAAAAIEAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABo"
    "dmMxAAAAAA5waXRtAAAAAAABAAAA9mlwcnAAAADWaXBjbwAAAHFodmNDAQQIAAAAn/gAAAAAHvAA/Pz4+AAADwNgAAEA"
    "F0ABDAH//wQIAAADAJ/4AAADAAAeugJAYQABACZCAQEECAAAAwCf+AAAAwAAHsCCBBZbqrprmwIAAAMAMgAAAwACEGIA"
    "AQAGRAHBc8GJAAAAE2NvbHJuY2x4AAEADQAGgAAAABRpc3BlAAAAAAAAAEAAAABAAAAAKGNsYXAAAAAQAAAAAQAAABAA"
    "AAAB////0AAAAAL////QAAAAAgAAAA5waXhpAAAAAAEIAAAAGGlwbWEAAAAAAAAAAQABBYECAwWEAAAAiW1kYXQAAAB9"
    "KAGuDGQzJlHG1utkixEGTZPLK002/bZov4jb5UgrafTuqXxpzO6LOj8lPw2QAlCxqQWenz1PvEhw7rGqEV4bm4bs8bv3"
    "sz0QustsWbh9Bt/4mHDXy+k9WuQtLHqB2/Nw10/D+J4sAJU0fUuTm63weFfWj9kC+BPM/IHz64A="
)


def encoded(picture: Image.Image | NDArray[Any], kind: str, **options: Any) -> bytes:
    """The content of a file."""
    stream = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def ramp(most: int = 255, kind: type = np.uint8) -> NDArray[Any]:
    """(24, 32) from black on the left to white on the right."""
    return np.tile(np.linspace(0, most, 32), (24, 1)).astype(kind)


def smooth_noise(side: int = 64) -> NDArray[np.uint8]:
    """Something with a content everywhere."""
    coarse = np.random.default_rng(0).integers(0, 256, (side // 4, side // 4), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
