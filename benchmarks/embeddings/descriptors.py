"""Histograms of oriented gradients (Dalal and Triggs 2005)."""

import numpy as np
from numpy.typing import NDArray

ANGLES, CELL, BLOCK = 9, 8, 2


def gradient_histograms(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B, height, width) to (B, features): 900 of 48 x 48 pixels.

    Per cell of 8 x 8 pixels a histogram over 9 undirected angles; per block of 2 x 2 cells, each
    cell in up to four, divided by its length, to which 0.02 is added.
    """
    down, across = np.gradient(images, axis=(1, 2))
    size, angle = np.hypot(down, across), np.arctan2(down, across) / np.pi * ANGLES % ANGLES
    low = np.floor(angle).astype(int)
    count, rows, columns = len(images), images.shape[1] // CELL, images.shape[2] // CELL
    cells = np.empty((count, ANGLES, rows, columns))
    for k in range(ANGLES):
        above, below = low % ANGLES == k, (low + 1) % ANGLES == k
        share = size * (above * (1 - angle + low) + below * (angle - low))
        cells[:, k] = share.reshape(count, rows, CELL, columns, CELL).sum(axis=(2, 4))
    blocks = np.lib.stride_tricks.sliding_window_view(cells, (BLOCK, BLOCK), axis=(2, 3))
    blocks = np.moveaxis(blocks, 1, 3).reshape(count, -1, ANGLES * BLOCK**2)
    lengths = np.linalg.norm(blocks, axis=2, keepdims=True)
    found: NDArray[np.float64] = (blocks / (lengths + 0.02)).reshape(count, -1)
    return found
