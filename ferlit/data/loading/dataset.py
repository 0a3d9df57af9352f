"""Faces of a store as tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ferlit.data.loading.on_device import pack
from ferlit.data.loading.transforms import FaceTransform
from ferlit.data.store.joined import JoinedFaces


class Batch(NamedTuple):
    """What the network gets.

    Args:
        image: (B, 1, 48, 48) float32; (B, 5, 1, 48, 48) where an evaluation takes five crops.
        label: (B,) class numbers; -1 where the label is withheld.
        row: (B,) rows of the store's record table.
        sequence: (B,) numbers of the sequences; a still is a sequence of its own.
        tuple_size: (M, N) where the batch is laid out tuple after tuple, else None.
        target: (B, K) what several people saw in the faces, where training learns that instead of
            the labels, else None.
        draws: What is drawn for each crop, see `ferlit.data.loading.on_device.pack`, where the
            device makes the images; until then they are (B, 0).
    """

    image: Tensor
    label: Tensor
    row: Tensor
    sequence: Tensor
    tuple_size: tuple[int, int] | None = None
    target: Tensor | None = None
    draws: Tensor | None = None


Key = int | tuple[int, int]


class FaceDataset(Dataset[Batch]):
    """Some rows of a store, transformed: whole batches, as a loader asks for them.

    Args:
        faces: (n, 60, 60) all faces of the store, or of several.
        labels: (n,) class numbers of all faces.
        sequences: (n,) sequence numbers of all faces.
        rows: The rows that this dataset has.
        transform: From faces and seeds to the input.
        targets: (n, K) what several people saw in all faces, to train on; None for the labels.
        draw_label: Draw one label from the targets each time instead, with the image's seed.
        tuple_size: (M, N) where batches are laid out tuple after tuple.
        on_device: Leave the images to the device that holds the faces.
    """

    def __init__(
        self,
        faces: NDArray[np.uint8] | JoinedFaces,
        labels: NDArray[np.int64],
        sequences: NDArray[np.int64],
        rows: NDArray[np.int64],
        transform: FaceTransform,
        targets: NDArray[np.float32] | None = None,
        *,
        draw_label: bool = False,
        tuple_size: tuple[int, int] | None = None,
        on_device: bool = False,
    ) -> None:
        self.faces = faces
        self.labels = labels
        self.sequences = sequences
        self.rows = rows
        self.transform = transform
        self.targets = targets
        self.draw_label = draw_label
        self.tuple_size = tuple_size
        self.on_device = on_device

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> Batch:
        """A batch of the one face at an index, or at an (index, seed of its augmentation)."""
        return self.__getitems__([key])

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        """The batch of several faces; PyTorch's loader calls it."""
        pairs = [key if isinstance(key, tuple) else (key, 0) for key in keys]
        rows = self.rows[[index for index, _ in pairs]]
        seeds = [seed for _, seed in pairs]
        labels, targets = self.labels[rows], None
        if self.targets is not None and self.draw_label:
            labels = np.array(
                [_draw(self.targets[row], seed) for row, seed in zip(rows, seeds, strict=True)]
            )
        elif self.targets is not None:
            targets = torch.from_numpy(np.array(self.targets[rows]))
        images, draws = torch.empty(len(rows), 0), None
        if self.on_device:
            height, width = self.faces.shape[1:]
            draws = pack(self.transform.draw(seeds, (height, width)))
        else:
            images = self.transform.batch(np.asarray(self.faces[rows]), seeds)
        return Batch(
            images,
            torch.from_numpy(labels),
            torch.from_numpy(rows),
            torch.from_numpy(self.sequences[rows]),
            self.tuple_size,
            targets,
            draws,
        )


def whole(batch: Batch) -> Batch:
    """What collates batches that are whole already."""
    return batch


def _draw(shares: NDArray[np.float32], seed: int) -> int:
    """A class number, drawn with what several people saw as its probabilities."""
    exact = shares.astype(np.float64)
    return int(np.random.default_rng(seed).choice(len(exact), p=exact / exact.sum()))
