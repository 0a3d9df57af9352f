"""Crops of whole batches of faces."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ferlit.data.loading.draws import Draws


def cut(faces: NDArray[np.uint8], draws: Draws, size: int) -> NDArray[np.uint8]:
    """Crops of turned, enlarged, moved and mirrored faces.

    Args:
        faces: (B, H, W).
        draws: How each is cut; what moves into the picture is its mirror image.
        size: Of the crops, along both axes.

    Returns:
        (B, size, size).
    """
    if draws.maps is not None:
        height, width = faces.shape[1:]
        faces = np.stack(
            [
                cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
                for face, matrix in zip(faces, draws.maps, strict=True)
            ]
        )
    windows = np.lib.stride_tricks.sliding_window_view(faces, (size, size), axis=(1, 2))
    top, left = draws.places.T
    crops: NDArray[np.uint8] = windows[np.arange(len(faces)), top, left]
    crops[draws.flipped] = crops[draws.flipped, :, ::-1]
    return crops


def fixed_places(room: tuple[int, int], crops: int) -> NDArray[np.int64]:
    """(crops, 2) where the crop in the centre begins, with 5 crops also those in the corners.

    Args:
        room: So many rows and columns lie outside of a crop.
        crops: 1 or 5.

    >>> fixed_places((12, 12), 5).tolist()
    [[6, 6], [0, 0], [0, 12], [12, 0], [12, 12]]
    """
    down, right = room
    corners = [(0, 0), (0, right), (down, 0), (down, right)] if crops == 5 else []
    return np.array([(down // 2, right // 2), *corners])
