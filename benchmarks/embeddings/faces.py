"""4,800 faces of FER2013 by made-up persons.

Two files are needed that do not come with this benchmark: ``fer2013.csv`` of the Kaggle competition
"Challenges in Representation Learning: Facial Expression Recognition Challenge" (Goodfellow et al.
2013), and ``fer2013new.csv`` of https://github.com/microsoft/FERPlus (Barsoum et al. 2016), ten
people's votes on the same faces, row by row.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.embeddings.descriptors import gradient_histograms
from benchmarks.embeddings.images import PERSONS, DataSet, Images, background, dealt_out

EMOTIONS = ("happiness", "neutral", "surprise")
VOTES = 7  # of ten, at least
# The file's own parts, and how many faces of each emotion are taken.
PARTS = {"train": ("Training", 1200), "val": ("PublicTest", 200), "test": ("PrivateTest", 200)}
SIZE, SHIFT = 48, 2


def faces(fer2013: Path | None, ferplus: Path | None) -> DataSet:
    images = make_faces(read_faces(fer2013, ferplus))
    return DataSet(images, EMOTIONS, "person", tuples=15, epochs=2, layers=_layers, features=128)


def make_faces(table: pd.DataFrame) -> Images:
    """40 made-up persons, always the same, whose faces come as histograms of gradients.

    Each shows two of the three emotions. The training persons are dealt the first 1,200 faces of
    each emotion in the training part, those for validation and test the first 200 of the public and
    the private test part. A face is brought to a mean of 0 and a standard deviation of 0.25. A
    person has a shift (up to 2 of the 48 pixels each way), a contrast (0.5 to 1), a lamp (the
    contrast falls by a half at most towards one side), a texture (a wave of 4 to 10 periods,
    amplitude 0.05) and a background (see `background`, half as strong), the same in all of
    the person's faces.

    Args:
        table: Columns emotion, pixels (text) and Usage.
    """
    rng = np.random.default_rng(1)
    texts, labels, persons = [], [], []
    for split, (usage, count) in PARTS.items():
        its_persons = {
            label: [p for p in PERSONS[split] if (label - p) % 3 < 2] for label in range(3)
        }
        of_label = [
            table[(table["Usage"] == usage) & (table["emotion"] == emotion)].head(count)
            for emotion in EMOTIONS
        ]
        for emotion, found in zip(EMOTIONS, of_label, strict=True):
            if len(found) < count:
                sys.exit(f"{len(found)} faces of {emotion} in {usage}, needed are {count}")
        texts.extend(text for found in of_label for text in found["pixels"])
        labels.append(np.repeat(np.arange(3), count))
        persons.append(dealt_out(rng, labels[-1], its_persons))
    whole = np.stack([np.array(text.split(), np.float64) for text in texts])
    whole, person_of = whole.reshape(-1, SIZE, SIZE), np.concatenate(persons)
    inputs = np.empty((len(whole), 900), np.float32)
    for person in range(40):
        own = person_of == person
        inputs[own] = gradient_histograms(_by_person(rng, whole[own]))
    fields = (inputs, np.concatenate(labels), person_of)
    return Images(*(torch.from_numpy(field) for field in fields))


def read_faces(fer2013: Path | None, ferplus: Path | None) -> pd.DataFrame:
    """The faces that most voters agree on, each photograph once."""
    pixels = _read("--fer2013", fer2013, {"pixels", "Usage"}, "fer2013.csv")
    votes = _read("--ferplus", ferplus, {*EMOTIONS, "Usage"}, "fer2013new.csv")
    if len(pixels) != len(votes) or (pixels["Usage"] != votes["Usage"]).any():
        sys.exit(f"{fer2013}, {ferplus}: their rows are not of the same faces")
    opinions = votes.loc[:, "neutral":"contempt"]  # type: ignore[misc]
    table = pixels.assign(emotion=opinions.idxmax(axis=1))
    return table[opinions.max(axis=1) >= VOTES].drop_duplicates("pixels")


def _read(option: str, path: Path | None, columns: set[str], name: str) -> pd.DataFrame:
    if path is None or not path.is_file():
        said = "is missing" if path is None else f"{path}: no such file"
        sys.exit(f"{option} {said}; needed is {name}\n\n{__doc__}".rstrip())
    table = pd.read_csv(path)
    if missing := columns - {*table.columns}:
        sys.exit(f"{path}: no column {', '.join(sorted(missing))}; needed is {name}")
    return table


def _by_person(rng: np.random.Generator, whole: NDArray[np.float64]) -> NDArray[np.float64]:
    row, column = rng.integers(0, 2 * SHIFT + 1, size=2)
    padded = np.pad(whole, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), mode="edge")
    moved = padded[:, row : row + SIZE, column : column + SIZE]
    moved = moved - moved.mean(axis=(1, 2), keepdims=True)
    moved *= 0.25 / moved.std(axis=(1, 2), keepdims=True).clip(min=1e-6)
    grid = np.stack(np.meshgrid(*[(np.arange(SIZE) + 0.5) / SIZE - 0.5] * 2, indexing="ij"))
    angle, turn = rng.uniform(0, 2 * np.pi, size=2)
    lamp = 0.75 + 0.5 * np.tensordot([np.cos(angle), np.sin(angle)], grid, 1) / np.sqrt(2)
    wave = np.tensordot([np.cos(turn), np.sin(turn)], grid, 1)
    texture = 0.05 * np.cos(2 * np.pi * (rng.uniform(4, 10) * wave + rng.uniform()))
    contrast = rng.uniform(0.5, 1)
    return contrast * lamp * moved + texture + background(rng, SIZE) / 2


def _layers() -> tuple[nn.Module, ...]:
    return nn.Linear(900, 128), nn.BatchNorm1d(128), nn.ReLU()
