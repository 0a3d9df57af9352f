"""From a stored 60 x 60 face to the network's input (Liu et al. 2017, Sec. 5.1).

Training takes a random 48 x 48 crop and flips it, evaluation takes the centre crop; both equalise
the histogram, subtract a fitted plane of grey values and standardise the image. `Augmentation` adds
what the paper does not have.
"""

import os
from dataclasses import dataclass, fields
from typing import Any

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else the import asks the network

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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

    def __post_init__(self) -> None:
        highest = {"flip": 1, "rotation": 180, "zoom": 0.5, "shift": 20, "erase": 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= highest[field.name]:
                raise UsageError(f"{field.name}={value}: from 0 to {highest[field.name]}")

    def before_crop(self) -> list[Any]:
        """The steps on the 60 x 60 face; what moves into the picture is its mirror image."""
        if not (self.rotation or self.zoom or self.shift):
            return []
        affine = A.Affine(
            rotate=(-self.rotation, self.rotation),
            scale=(1 - self.zoom, 1 + self.zoom),
            translate_px=(-self.shift, self.shift),
            border_mode=cv2.BORDER_REFLECT_101,
            p=1.0,
        )
        return [affine]

    def after_standardizing(self) -> list[Any]:
        """The steps on the network's input, whose mean is 0."""
        return [A.Erasing(scale=(0.02, 0.2), fill=0, p=self.erase)] if self.erase else []


def subtract_plane(image: NDArray[Any]) -> NDArray[np.float32]:
    """Subtract the least-squares plane of grey values over (x, y), against uneven light.

    Args:
        image: (H, W) grey values.

    Returns:
        (H, W) float32 residuals; their mean is zero.

    >>> ramp = np.add.outer(2.0 * np.arange(5), 3.0 * np.arange(5)) + 7
    >>> bool(np.allclose(subtract_plane(ramp), 0, atol=1e-5))
    True
    """
    values = image.astype(np.float32)
    height, width = values.shape
    y = np.arange(height, dtype=np.float32)[:, None] - (height - 1) / 2
    x = np.arange(width, dtype=np.float32)[None, :] - (width - 1) / 2
    # On a centred grid 1, x and y are orthogonal, so each coefficient is a projection.
    residual: NDArray[np.float32] = values - values.mean()
    residual -= x * ((x * values).sum() / (height * (x**2).sum()))
    residual -= y * ((y * values).sum() / (width * (y**2).sum()))
    return residual


class SubtractPlane(A.ImageOnlyTransform):  # type: ignore[misc]
    """`subtract_plane` as a step of an albumentations pipeline."""

    def apply(self, img: NDArray[Any], **_: Any) -> NDArray[np.float32]:
        return subtract_plane(img)


class Standardize(A.ImageOnlyTransform):  # type: ignore[misc]
    """Zero mean and unit variance per image; a constant image becomes zero."""

    def apply(self, img: NDArray[Any], **_: Any) -> NDArray[np.float32]:
        values = img.astype(np.float32)
        values -= values.mean()
        return values / max(float(values.std()), 1e-6)


class FaceTransform:
    """A stored face to the network's input.

    Every call gets its own seed, so an image is cut the same way for the same seed wherever it is
    loaded: augmentation does not depend on the number of workers, and a resumed run repeats it.

    Args:
        train: Random crop and augmentation (True) or the centre crop (False).
        augment: How training faces are varied.
        equalize: Equalise the histogram.
        fit_plane: Subtract the fitted plane of grey values.

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
    ) -> None:
        crop = A.RandomCrop if train else A.CenterCrop
        steps: list[Any] = augment.before_crop() if train else []
        steps += [crop(INPUT_SIZE, INPUT_SIZE)]
        steps += [A.HorizontalFlip(p=augment.flip)] if train else []
        steps += [A.Equalize(p=1.0)] if equalize else []
        steps += [SubtractPlane(p=1.0)] if fit_plane else []
        steps += [Standardize(p=1.0)]
        steps += augment.after_standardizing() if train else []
        self.pipeline = A.Compose(steps)
        self.is_random = train

    def __call__(self, face: NDArray[np.uint8], seed: int = 0) -> Tensor:
        """Transform one face.

        Args:
            face: (60, 60) uint8.
            seed: Fixes the crop and the augmentation.

        Returns:
            (1, 48, 48) float32.
        """
        if self.is_random:
            self.pipeline.set_random_seed(seed)
        return torch.from_numpy(self.pipeline(image=np.ascontiguousarray(face))["image"])[None]
