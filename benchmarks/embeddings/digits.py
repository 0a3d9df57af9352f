"""scikit-learn's 1,797 handwritten digits by made-up writers."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from benchmarks.embeddings.images import DataSet, Images, background, dealt_out


def digits() -> DataSet:
    return DataSet(make_digits(), tuple("0123456789"), "writer", 8, 6, _layers, features=32 * 9)


def make_digits() -> Images:
    """40 made-up writers, always the same.

    Writer w writes six of the ten digits, 3w to 3w + 5 modulo 10, and the images of a digit are
    dealt out to its writers. A writer has a background (see `background`, where ink is 1), a
    contrast (0.5 to 1) and a shift (up to one pixel each way), the same in all of the writer's
    images.
    """
    rng = np.random.default_rng(0)
    data = load_digits()
    labels = data.target
    writers = dealt_out(
        rng, labels, {d: [w for w in range(40) if (d - 3 * w) % 10 < 6] for d in range(10)}
    )
    pixels = np.pad(data.images / 16, ((0, 0), (2, 2), (2, 2)))
    for writer in range(40):
        paper = background(rng, 12)
        contrast, shift = rng.uniform(0.5, 1), rng.integers(-1, 2, size=2)
        own = writers == writer
        pixels[own] = contrast * np.roll(pixels[own], shift, axis=(1, 2)) + paper
    fields = (pixels[:, None].astype(np.float32), labels, writers)
    return Images(*(torch.from_numpy(field) for field in fields))


def _layers() -> tuple[nn.Module, ...]:
    return (
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
    )
