"""From a stored 60 x 60 face to the network's input (Liu et al. 2017, Sec. 5.1).

Training takes a random 48 x 48 crop and flips it, evaluation takes the centre crop; both equalise
the histogram, subtract a fitted plane of grey values and standardise the image. `Augmentation` adds
what the paper does not have.
"""

import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the network

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ferlit.data.loading.draws import Draws, draw_maps, draw_places, happens
from ferlit.data.loading.geometry import cut, fixed_places
from ferlit.errors import UsageError

INPUT_SIZE = 48


@dataclass(frozen=True)
class Augmentation:
    """How a training face is varied beside the random crop; the defaults are the paper's.

    Args:
        flip: Probability of a horizontal flip.
        rotation: Turned by up to so many degrees to either side.
        zoom: Enlarged or made smaller by up to this share of its size.
        shift: Moved by up to so many pixels along both axes, beyond the crop's 6.
        erase: Probability that a random rectangle, a fiftieth to a fifth of the face, is emptied
            (Zhong et al., Random erasing data augmentation, AAAI 2020).
        independent: Draw each of these by itself. False draws them as albumentations does, each
            from the same random number: a crop from the upper half is always flipped, one from the
            lower half never.

    Raises:
        UsageError: a value is out of range.

    >>> Augmentation(rotation=10).flip
    0.5
    """

    flip: float = 0.5
    rotation: float = 0.0
    zoom: float = 0.0
    shift: int = 0
    erase: float = 0.0
    independent: bool = False

    def __post_init__(self) -> None:
        highest = {"flip": 1, "rotation": 180, "zoom": 0.5, "shift": 20, "erase": 1}
        for name, most in highest.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise UsageError(f"{name}={value}: from 0 to {most}")

    @property
    def is_affine(self) -> bool:
        """Whether faces are turned, enlarged or moved before the crop."""
        return bool(self.rotation or self.zoom or self.shift)

    def seeds(self, seeds: Sequence[int], step: str) -> Sequence[int]:
        """What a step draws from, of each face."""
        if not self.independent:
            return seeds
        return [seed ^ (zlib.crc32(step.encode()) << 16) for seed in seeds]


def subtract_plane(image: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract the least-squares plane of grey values over (x, y), against uneven light.

    Args:
        image: (..., H, W) grey values.

    Returns:
        (..., H, W) float32 residuals; the mean of each image is zero.

    >>> ramp = np.add.outer(2.0 * np.arange(5), 3.0 * np.arange(5)) + 7
    >>> bool(np.allclose(subtract_plane(ramp), 0, atol=1e-5))
    True
    """
    values = image.astype(np.float32)
    height, width = values.shape[-2:]
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    x = np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2
    # On a centred grid 1, x and y are orthogonal, so each coefficient is a projection.
    residual: NDArray[np.float32] = values - _over_image(np.mean, values)
    residual -= x * (_over_image(np.sum, x * values) / (height * (x**2).sum()))
    residual -= y * (_over_image(np.sum, y * values) / (width * (y**2).sum()))
    return residual


def standardize(image: NDArray[Any]) -> NDArray[np.float32]:
    """Zero mean and unit variance of each image; a constant one becomes zero.

    Args:
        image: (..., H, W).

    >>> standardize(np.array([[1.0, 3.0]]))
    array([[-1.,  1.]], dtype=float32)
    """
    values = image.astype(np.float32)
    values -= _over_image(np.mean, values)
    values /= np.maximum(_over_image(np.std, values), np.float32(1e-6))
    return values


def equalize_histograms(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Equalise the histogram of each of (B, H, W) faces."""
    return np.stack([cv2.equalizeHist(face) for face in faces])


class FaceTransform:
    """Stored faces to the network's input, whole batches at a time.

    Every face gets its own seed, so an image is cut the same way for the same seed wherever and
    with whichever other ones it is loaded: augmentation depends neither on the number of workers
    nor on the batch, and a resumed run repeats it.

    Args:
        train: Random crop and augmentation (True) or the centre crop (False).
        augment: How training faces are varied.
        equalize: Equalise the histogram.
        fit_plane: Subtract the fitted plane of grey values.
        crops: 1, or 5 to evaluate the crops in the corners as well as that in the centre.

    Raises:
        UsageError: another number of crops, or several in training.

    >>> face = np.arange(3600, dtype=np.uint8).reshape(60, 60)
    >>> FaceTransform(train=False)(face).shape
    torch.Size([1, 48, 48])
    """

    def __init__(
        self,
        train: bool,
        *,
        augment: Augmentation = Augmentation(),
        equalize: bool = True,
        fit_plane: bool = True,
        crops: int = 1,
    ) -> None:
        if crops not in ((1,) if train else (1, 5)):
            raise UsageError(f"crops={crops}: 1 in training, 1 or 5 in evaluation")
        self.is_random = train
        self.crops = crops
        self.augment = augment
        self.erasing = A.Erasing(scale=(0.02, 0.2), p=1.0)
        self.equalize = equalize
        self.fit_plane = fit_plane

    def __call__(self, face: NDArray[np.uint8], seed: int = 0) -> Tensor:
        """Transform one face.

        Args:
            face: (60, 60) uint8.
            seed: Fixes the crop and the augmentation.

        Returns:
            (1, 48, 48) float32.
        """
        return self.batch(np.asarray(face)[None], [seed])[0]

    def batch(self, faces: NDArray[np.uint8], seeds: Sequence[int]) -> Tensor:
        """Transform several faces.

        Args:
            faces: (B, 60, 60) uint8.
            seeds: B of them; each fixes the crop and the augmentation of its face.

        Returns:
            (B, 1, 48, 48) float32; (B, 5, 1, 48, 48) with 5 crops.
        """
        size: tuple[int, int] = faces.shape[1:]
        draws = self.draw(seeds, size)
        repeated = np.repeat(faces, self.crops, axis=0) if self.crops > 1 else faces
        crops = cut(np.ascontiguousarray(repeated), draws, INPUT_SIZE)
        images: NDArray[Any] = equalize_histograms(crops) if self.equalize else crops
        images = standardize(subtract_plane(images) if self.fit_plane else images)
        for row in np.flatnonzero(draws.holes.any(axis=1)):
            left, top, right, bottom = draws.holes[row]
            images[row, top:bottom, left:right] = 0  # the mean of an input
        # With strides that say channels last, so that the first convolution's output is so too.
        inputs = torch.from_numpy(images)[..., None].permute(0, 3, 1, 2)
        return inputs if self.crops == 1 else inputs.view(-1, self.crops, *inputs.shape[1:])

    def draw(self, seeds: Sequence[int], size: tuple[int, int]) -> Draws:
        """How faces are cut: at random in training, else each as many times as there are crops.

        Args:
            seeds: B of them.
            size: Height and width of the faces.
        """
        height, width = size
        if not self.is_random:
            places = fixed_places((height - INPUT_SIZE, width - INPUT_SIZE), self.crops)
            places = np.tile(places, (len(seeds), 1))
            flipped, holes = np.zeros(len(places), bool), np.zeros((len(places), 4), np.int64)
            return Draws(None, places, flipped, holes)
        augment = self.augment
        maps = None
        if augment.is_affine:
            maps = draw_maps(
                *(augment.seeds(seeds, "affine"), size),
                rotation=augment.rotation,
                zoom=augment.zoom,
                shift=augment.shift,
            )
        room = height - INPUT_SIZE + 1, width - INPUT_SIZE + 1
        return Draws(
            maps,
            draw_places(augment.seeds(seeds, "crop"), room),
            happens(augment.seeds(seeds, "flip"), augment.flip),
            self._holes(augment.seeds(seeds, "erase")),
        )

    def _holes(self, seeds: Sequence[int]) -> NDArray[np.int64]:
        """(B, 4) the rectangles to empty; of no size where there is none."""
        holes = np.zeros((len(seeds), 4), np.int64)
        if not self.augment.erase:
            return holes
        size = {"shape": (INPUT_SIZE, INPUT_SIZE)}
        for row in np.flatnonzero(happens(seeds, self.augment.erase)).tolist():
            self.erasing.set_random_seed(seeds[row])
            self.erasing.py_random.random()  # what `happens` has drawn
            for hole in self.erasing.get_params_dependent_on_data(size, {})["holes"]:
                holes[row] = hole
        return holes


def _over_image(reduce: Callable[..., Any], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., 1, 1) a reduction of (..., H, W) over each image."""
    reduced: NDArray[np.float32] = reduce(values.reshape(*values.shape[:-2], -1), axis=-1)
    return reduced[..., None, None]
