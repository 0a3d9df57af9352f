"""How a face becomes the network's input: in training, and so in every use of the network.

A run's checkpoint holds it under `PREPROCESSING`, an exported file among its metadata.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ferlit.data.loading.transforms import Augmentation, FaceTransform

PREPROCESSING = "preprocessing"
PRIOR = "prior"  # of a checkpoint: the shares of the classes that the probabilities hold
Images = TypeVar("Images", Tensor, NDArray[Any])


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of a picture before the network sees it.

    Args:
        landmarks: Where the landmarks of the training came from: "mediapipe", "dlib", "database",
            or "none" where the pictures were aligned faces.
        equalize: Whether the histogram is equalised.
        fit_plane: Whether the fitted plane of grey values is subtracted.

    >>> Preprocessing.of({"landmarks": "dlib", "equalize": False}).fit_plane
    True
    """

    landmarks: str = "mediapipe"
    equalize: bool = True
    fit_plane: bool = True

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From what a file says; what it leaves out has its default."""
        default = cls()
        return cls(
            str(values.get("landmarks", default.landmarks)),
            bool(values.get("equalize", default.equalize)),
            bool(values.get("fit_plane", default.fit_plane)),
        )

    def transform(
        self,
        *,
        train: bool = False,
        augment: Augmentation = Augmentation(),  # noqa: B008 - it is frozen
        crops: int = 1,
    ) -> FaceTransform:
        """From a registered face to the input, see `FaceTransform`."""
        return FaceTransform(
            train, augment=augment, equalize=self.equalize, fit_plane=self.fit_plane, crops=crops
        )

    def inputs(self, faces: Iterable[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """(B, 1, 48, 48) what validation and test see of B registered faces."""
        found = list(faces)
        return self._evaluation.batch(np.stack(found), [0] * len(found)).numpy()

    @cached_property
    def _evaluation(self) -> FaceTransform:
        return self.transform()


def flip_averaged(classify: Callable[[Images], Images], images: Images) -> Images:
    """The mean of the probabilities of faces and of their mirror images.

    Args:
        classify: From (B, 1, 48, 48) inputs to (B, K) probabilities.
        images: The inputs.

    >>> flip_averaged(lambda images: images[:, 0, 0, :2], np.array([[[[1, 0, 0, 3]]]], np.float32))
    array([[2., 0.]], dtype=float32)
    """
    averaged: Images = (classify(images) + classify(_mirrored(images))) / 2
    return averaged


def _mirrored(images: Images) -> Images:
    if isinstance(images, Tensor):
        return images.flip(3)
    return np.ascontiguousarray(images[..., ::-1])
