"""A data set with two labels."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

PERSONS = {"train": range(20), "val": range(20, 30), "test": range(30, 40)}


class Images(NamedTuple):
    inputs: Tensor  # (B, ...) of the network
    labels: Tensor  # (B,) what the embedding should tell apart
    persons: Tensor  # (B,) whom it should not see

    def part(self, split: str) -> "Images":
        chosen = torch.isin(self.persons, torch.tensor(PERSONS[split]))
        return Images(*(field[chosen] for field in self))


@dataclass(frozen=True)
class DataSet:
    """A data set and how a network is trained on it.

    Args:
        images: All of them, by 40 persons, see `PERSONS`.
        labels: What they are called.
        person: What a person is called.
        tuples: A batch holds so many.
        epochs: In each, every training image is a query once.
        layers: Makes the network before its flattening and last layer.
        features: How many numbers they give an image.
    """

    images: Images
    labels: tuple[str, ...]
    person: str
    tuples: int
    epochs: int
    layers: Callable[[], tuple[nn.Module, ...]]
    features: int
    positives: int = 6

    @property
    def negatives(self) -> int:
        """One a tuple of every other label."""
        return len(self.labels) - 1

    @property
    def batch_size(self) -> int:
        return self.tuples * (self.positives + self.negatives)


def dealt_out(
    rng: np.random.Generator, labels: NDArray[np.int64], persons: Mapping[int, list[int]]
) -> NDArray[np.int64]:
    """The person of each image: those of a label are dealt out, shuffled, to its persons."""
    found = np.empty_like(labels)
    for label, its_persons in persons.items():
        of_label = rng.permutation(np.flatnonzero(labels == label))
        found[of_label] = np.resize(its_persons, len(of_label))
    return found


def background(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A random sum of the 8 lowest cosines in two dimensions, standard deviation 0.2."""
    waves = np.cos(np.pi * np.outer(np.arange(3), (np.arange(size) + 0.5) / size))
    weights = rng.normal(size=(3, 3))
    weights[0, 0] = 0
    found: NDArray[np.float64] = waves.T @ weights @ waves
    return found * (0.2 / found.std())
