"""Faces of a store as tensors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ferlit.data.loading.transforms import FaceTransform


class Batch(NamedTuple):
    """What the network gets.

    Args:
        image: (B, 1, 48, 48) float32.
        label: (B,) class numbers; -1 where the label is withheld.
        row: (B,) rows of the store's record table.
        sequence: (B,) numbers of the sequences; a still is a sequence of its own.
        tuple_size: (M, N) where the batch is laid out tuple after tuple, else None.
        target: (B, K) what several people saw in the faces, where training learns that instead of
            the labels, else None.
    """

    image: Tensor
    label: Tensor
    row: Tensor
    sequence: Tensor
    tuple_size: tuple[int, int] | None = None
    target: Tensor | None = None


class Sample(NamedTuple):
    """One face of a `Batch`."""

    image: Tensor
    label: int
    row: int
    sequence: int
    target: Tensor | None = None


class FaceDataset(Dataset[Sample]):
    """Some rows of a store, transformed.

    Args:
        faces: (n, 60, 60) all faces of the store.
        labels: (n,) class numbers of all faces.
        sequences: (n,) sequence numbers of all faces.
        rows: The rows that this dataset has.
        transform: From a face and a seed to the input.
        targets: (n, K) what several people saw in all faces, to train on; None for the labels.
        draw_label: Draw one label from the targets each time instead, with the image's seed.
    """

    def __init__(
        self,
        faces: NDArray[np.uint8],
        labels: NDArray[np.int64],
        sequences: NDArray[np.int64],
        rows: NDArray[np.int64],
        transform: FaceTransform,
        targets: NDArray[np.float32] | None = None,
        *,
        draw_label: bool = False,
    ) -> None:
        self.faces = faces
        self.labels = labels
        self.sequences = sequences
        self.rows = rows
        self.transform = transform
        self.targets = targets
        self.draw_label = draw_label

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """The face at an index, or at an (index, seed of its augmentation)."""
        index, seed = key if isinstance(key, tuple) else (key, 0)
        row = int(self.rows[index])
        image = self.transform(self.faces[row], seed)
        label, target = int(self.labels[row]), None
        if self.targets is not None and self.draw_label:
            shares = self.targets[row].astype(np.float64)
            label = int(np.random.default_rng(seed).choice(len(shares), p=shares / shares.sum()))
        elif self.targets is not None:
            target = torch.from_numpy(np.array(self.targets[row]))
        return Sample(image, label, row, int(self.sequences[row]), target)


class Collate:
    """Stacks samples to a `Batch`; picklable, so that it reaches spawned workers.

    Args:
        tuple_size: (M, N) where batches are laid out tuple after tuple.
    """

    def __init__(self, tuple_size: tuple[int, int] | None = None) -> None:
        self.tuple_size = tuple_size

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        images, labels, rows, sequences, targets = zip(*samples, strict=True)
        return Batch(
            torch.stack(images),
            torch.tensor(labels),
            torch.tensor(rows),
            torch.tensor(sequences),
            self.tuple_size,
            None if targets[0] is None else torch.stack(targets),
        )
