"""What is drawn at random to vary the faces of a batch, each face from a seed of its own.

The numbers are drawn as albumentations draws them, whose every step has a generator of its own
that begins with the same seed: the pixels are those of its ``Affine``, ``RandomCrop`` and
``HorizontalFlip`` (tested), at a fifth of the price of a call for each face.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Draws(NamedTuple):
    """How each of B faces is cut.

    Args:
        maps: (B, 2, 3) from the stored face to the varied one, each (x, y, 1) to (x, y); None where
            faces are not turned, enlarged or moved.
        places: (B, 2) rows and columns of the crops' upper left corners.
        flipped: (B,) whether the crop is mirrored.
        holes: (B, 4) left, top, right and bottom of what is emptied in the input.
    """

    maps: NDArray[np.float64] | None
    places: NDArray[np.int64]
    flipped: NDArray[np.bool_]
    holes: NDArray[np.int64]


def draw_places(seeds: Sequence[int], room: tuple[int, int]) -> NDArray[np.int64]:
    """(B, 2) rows and columns where crops begin, below so many rows and columns."""
    generator = random.Random()
    draws = np.empty((len(seeds), 2))
    for row, seed in enumerate(seeds):
        generator.seed(seed)
        draws[row] = generator.random(), generator.random()
    return (draws * room).astype(np.int64)


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


def draw_maps(
    seeds: Sequence[int], size: tuple[int, int], *, rotation: float, zoom: float, shift: int
) -> NDArray[np.float64]:
    """Maps that turn, enlarge and move faces.

    Args:
        seeds: B of them.
        size: Height and width of the faces.
        rotation: By up to so many degrees to either side.
        zoom: By up to this share of the size, along each axis.
        shift: By up to so many pixels along each axis.

    Returns:
        (B, 2, 3).
    """
    generator = random.Random()
    draws = np.empty((len(seeds), 5))
    for row, seed in enumerate(seeds):
        generator.seed(seed)
        moved = generator.randint(-shift, shift), generator.randint(-shift, shift)
        _ = generator.random(), generator.random()  # of shears, which there are none of
        scales = generator.uniform(1 - zoom, 1 + zoom), generator.uniform(1 - zoom, 1 + zoom)
        draws[row] = *moved, *scales, generator.uniform(-rotation, rotation)
    height, width = size
    return _affine_maps(draws, ((width - 1) / 2, (height - 1) / 2))


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
