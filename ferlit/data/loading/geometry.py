"""Random crops, flips and affine maps of whole batches of faces, each fixed by its own seed.

The numbers are drawn as albumentations draws them, whose every step has a generator of its own
that begins with the same seed: the pixels are those of its ``Affine``, ``RandomCrop`` and
``HorizontalFlip`` (tested), at a fifth of the price of a call for each face.
"""

import random
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray


def random_crops(faces: NDArray[np.uint8], seeds: Sequence[int], size: int) -> NDArray[np.uint8]:
    """Crops at random places.

    Args:
        faces: (B, H, W).
        seeds: B of them.
        size: Of the crops, along both axes.

    Returns:
        (B, size, size).
    """
    windows = np.lib.stride_tricks.sliding_window_view(faces, (size, size), axis=(1, 2))
    generator = random.Random()
    draws = np.empty((len(faces), 2))
    for row, seed in enumerate(seeds):
        generator.seed(seed)
        draws[row] = generator.random(), generator.random()
    top, left = (draws * windows.shape[1:3]).astype(int).T
    crops: NDArray[np.uint8] = windows[np.arange(len(faces)), top, left]
    return crops


def happens(seeds: Sequence[int], probability: float) -> NDArray[np.bool_]:
    """(B,) what a step of that probability is drawn for.

    >>> happens([0, 1, 2], 0.5)
    array([False,  True, False])
    """
    generator = random.Random()
    drawn = np.empty(len(seeds), bool)
    for row, seed in enumerate(seeds):
        generator.seed(seed)
        drawn[row] = generator.random() < probability
    return drawn


def random_affine(
    faces: NDArray[np.uint8], seeds: Sequence[int], *, rotation: float, zoom: float, shift: int
) -> NDArray[np.uint8]:
    """Turn, enlarge and move faces; what moves into the picture is its mirror image.

    Args:
        faces: (B, H, W).
        seeds: B of them.
        rotation: By up to so many degrees to either side.
        zoom: By up to this share of the size, along each axis.
        shift: By up to so many pixels along each axis.

    Returns:
        (B, H, W).
    """
    generator = random.Random()
    draws = np.empty((len(faces), 5))
    for row, seed in enumerate(seeds):
        generator.seed(seed)
        moved = generator.randint(-shift, shift), generator.randint(-shift, shift)
        _ = generator.random(), generator.random()  # of shears, which there are none of
        scales = generator.uniform(1 - zoom, 1 + zoom), generator.uniform(1 - zoom, 1 + zoom)
        draws[row] = *moved, *scales, generator.uniform(-rotation, rotation)
    height, width = faces.shape[1:]
    maps = _affine_maps(draws, ((width - 1) / 2, (height - 1) / 2))
    return np.stack(
        [
            cv2.warpAffine(face, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
            for face, matrix in zip(faces, maps, strict=True)
        ]
    )


def _affine_maps(draws: NDArray[np.float64], centre: tuple[float, float]) -> NDArray[np.float64]:
    """(B, 2, 3) maps about the centre from (B, 5) shifts, scales and degrees."""
    right, down, wide, high, degrees = draws.T
    angle = np.deg2rad(degrees % 360)
    turned = np.zeros((len(draws), 3, 3))
    turned[:, 0, 0] = turned[:, 1, 1] = np.cos(angle)
    turned[:, 0, 1] = np.sin(angle)
    turned[:, 1, 0] = -turned[:, 0, 1]
    turned[:, 2, 2] = 1
    scaled = np.zeros_like(turned)
    scaled[:, 0, 0], scaled[:, 1, 1], scaled[:, 2, 2] = wide, high, 1
    moved = np.broadcast_to(np.eye(3), turned.shape).copy()
    moved[:, 0, 2], moved[:, 1, 2] = right, down
    to_centre = np.eye(3)
    to_centre[:2, 2] = centre
    from_centre = np.eye(3)
    from_centre[:2, 2] = -np.array(centre)
    maps: NDArray[np.float64] = to_centre @ moved @ turned @ scaled @ from_centre
    return np.ascontiguousarray(maps[:, :2])
