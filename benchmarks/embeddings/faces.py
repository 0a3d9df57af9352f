"""4,000 faces of FER2013 by made-up persons.

The file is that of the Kaggle competition "Challenges in Representation Learning: Facial Expression
Recognition Challenge" (Goodfellow et al. 2013), ``fer2013.csv``: columns emotion, pixels, Usage. It
may not be handed on, so it does not come with this benchmark.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.embeddings.images import PERSONS, DataSet, Images, background, dealt_out

EMOTIONS = {0: "anger", 3: "happiness", 5: "surprise"}  # by the file's codes
# Of each emotion, so many of the file's part.
PARTS = {"train": ("Training", 2400), "val": ("PublicTest", 280), "test": ("PrivateTest", 280)}
import os
WEAK=float(os.environ.get("WEAK","1"))
CROP, SLACK = 44, 2  # of 48 pixels, the shift included


def faces(path: Path | None) -> DataSet:
    return DataSet(
        make_faces(_read(path)), tuple(EMOTIONS.values()), "person", 12, 4, _layers, 64 * 9
    )


def make_faces(table: pd.DataFrame) -> Images:
    """40 made-up persons, always the same.

    Each shows three of the four emotions. The training persons are dealt the first 500 faces of
    each emotion of the file's own training part, those for validation and test the first 250 of its
    public and private test parts; a photograph that the file holds more than once is taken once. A
    face is reduced to 22 x 22 and to a mean of 0 and a standard deviation of 0.25. A person has a
    shift (up to 2 of the 48 pixels each way), a contrast (0.5 to 1), a lamp (the contrast falls by
    up to a half towards one side), a texture (one wave of 2 to 5 periods, amplitude 0.15) and a
    background (see `background`), the same in all of the person's faces.

    Args:
        table: fer2013.csv.
    """
    rng = np.random.default_rng(0)
    table = table.drop_duplicates("pixels")
    pixels, labels, persons = [], [], []
    for split, (usage, count) in PARTS.items():
        part = table[table["Usage"] == usage]
        chosen = pd.concat(part[part["emotion"] == code].head(count) for code in EMOTIONS)
        of_label = chosen["emotion"].map({code: i for i, code in enumerate(EMOTIONS)}).to_numpy()
        if len(chosen) < count * len(EMOTIONS):
            sys.exit(f"fer2013.csv: {len(chosen)} faces for {split}, {count} an emotion are needed")
        its_persons = {
            label: [p for p in PERSONS[split] if (label - p) % 3 < 2] for label in range(3)
        }
        pixels.append(np.stack([np.array(text.split(), np.float64) for text in chosen["pixels"]]))
        labels.append(of_label)
        persons.append(dealt_out(rng, of_label, its_persons))
    whole, person_of = np.concatenate(pixels).reshape(-1, 48, 48), np.concatenate(persons)
    rendered = np.empty((len(whole), 1, CROP // 2, CROP // 2), np.float32)
    for person in range(40):
        own = person_of == person
        rendered[own, 0] = _by_person(rng, whole[own])
    return Images(
        torch.from_numpy(rendered),
        torch.from_numpy(np.concatenate(labels)),
        torch.from_numpy(person_of),
    )


def _by_person(rng: np.random.Generator, whole: NDArray[np.float64]) -> NDArray[np.float64]:
    size = CROP // 2
    row, column = SLACK + rng.integers(-SLACK, SLACK + 1, size=2)
    cropped = whole[:, row : row + CROP, column : column + CROP]
    small = cropped.reshape(-1, size, 2, size, 2).mean(axis=(2, 4))
    small -= small.mean(axis=(1, 2), keepdims=True)
    small *= 0.25 / small.std(axis=(1, 2), keepdims=True).clip(min=1e-6)
    grid = np.stack(np.meshgrid(*[(np.arange(size) + 0.5) / size - 0.5] * 2, indexing="ij"))
    angle, turn = rng.uniform(0, 2 * np.pi, size=2)
    lamp = 0.75 + 0.5 * np.tensordot([np.cos(angle), np.sin(angle)], grid, 1) / np.sqrt(2)
    wave = np.tensordot([np.cos(turn), np.sin(turn)], grid, 1)
    texture = 0.15 * np.cos(2 * np.pi * (rng.uniform(2, 5) * wave + rng.uniform()))
    contrast = rng.uniform(0.5, 1)
    return contrast * lamp * small + WEAK * (texture + background(rng, size))


def _read(path: Path | None) -> pd.DataFrame:
    where = "needed is --fer2013 FILE, the fer2013.csv of kaggle.com/c/" + (
        "challenges-in-representation-learning-facial-expression-recognition-challenge"
    )
    if path is None or not path.is_file():
        sys.exit(f"{'no file of faces' if path is None else f'{path}: no such file'}; {where}")
    table = pd.read_csv(path)
    missing = {"emotion", "pixels", "Usage"} - {*table.columns}
    if missing:
        sys.exit(f"{path}: no column {', '.join(sorted(missing))}; {where}")
    return table


def _layers() -> tuple[nn.Module, ...]:
    return (
        *(nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU()),
        *(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU()),
    )
