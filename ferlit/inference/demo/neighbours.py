"""The faces of a store that the metric branch puts nearest to a face.

The branch was trained to bring faces of one expression together, whoever they belong to (Liu et
al. 2017, Sec. 4). It takes no part in recognition: its neighbours show what it takes for alike.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ferlit.data.records import recordings
from ferlit.data.store import FACES, Store
from ferlit.data.store.manifest import checksum
from ferlit.errors import DataError
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.demo.row_cache import cached_rows
from ferlit.inference.origin import Origin
from ferlit.inference.recogniser import Recogniser
from ferlit.models import TwoBranch
from ferlit.runs.people import Split, Training, hash_each
from ferlit.training import JointModule


class Neighbour(NamedTuple):
    """A face of the store near a face."""

    face: NDArray[np.uint8]  # (60, 60)
    label: str
    identity: str  # "" where it is not known
    distance: float  # see `NearestFaces`


class NearestFaces:
    """Finds the nearest labelled faces of a store, one of each recording.

    The distance is the squared Euclidean one between embeddings of unit length, from 0 (the same)
    to 4 (opposite): what nmloss's losses measure by default.

    Args:
        recogniser: With a checkpoint whose metric branch was trained, see `why_no_metric_branch`.
        checkpoint: The file.
        store: The faces. Of those that the checkpoint's run trained on alone, where its folder or
            the database's own split says which these are.

    Raises:
        DataError: the store has no labelled faces, or the cache cannot be written.
        ValueError: there is no metric branch.
    """

    def __init__(self, recogniser: Recogniser, checkpoint: Path, store: Store) -> None:
        reason = why_no_metric_branch(recogniser)
        if reason:
            raise ValueError(reason)
        assert isinstance(recogniser.classifier, ModuleClassifier)
        self.module = recogniser.classifier.module
        preprocessing = recogniser.classifier.preprocessing
        self.store = store
        self.rows, self.is_training = training_rows(store, checkpoint)
        if len(self.rows) == 0:
            raise DataError(f"{store.folder}: none of its faces has a label to show")
        self.recordings = recordings(store.records)[self.rows]

        def embed_rows(start: int, stop: int) -> NDArray[np.float32]:
            return self.embed(preprocessing.inputs(store.faces[start:stop]))

        path = cache_folder() / f"{_key(checkpoint, store)}.rows"
        size = self.embed(np.zeros((1, 1, 48, 48), np.float32)).shape[1]
        self.embeddings = cached_rows(path, len(store.records), size, embed_rows)[self.rows]

    def embed(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, D) embeddings of unit length of (B, 1, 48, 48) inputs."""
        with torch.inference_mode():
            images = torch.from_numpy(inputs).to(self.module.device)
            output = self.module.branches(self.module.backbone(images))
            return np.asarray(F.normalize(output.embedding.float(), dim=1).cpu().numpy())

    def __call__(self, inputs: NDArray[np.float32], count: int = 5) -> list[list[Neighbour]]:
        """The neighbours of each of (B, 1, 48, 48) inputs, the nearest first.

        Args:
            inputs: See `Recogniser.inputs`.
            count: How many at most.
        """
        distances = np.clip(2 - 2 * self.embed(inputs) @ self.embeddings.T, 0, 4)  # (B, n)
        return [self._nearest(row, count) for row in distances]

    def _nearest(self, distances: NDArray[np.float32], count: int) -> list[Neighbour]:
        order = np.argsort(distances, kind="stable")
        # Frames of one recording are nearly the same picture: the nearest stands for it.
        _, first = np.unique(self.recordings[order], return_index=True)
        chosen = order[np.sort(first)[:count]]
        records = self.store.records.iloc[self.rows[chosen]]
        found = zip(self.rows[chosen], records["expression"], records["identity"], strict=True)
        return [
            Neighbour(np.array(self.store.faces[row]), label, identity, float(distance))
            for (row, label, identity), distance in zip(found, distances[chosen], strict=True)
        ]


def why_no_metric_branch(recogniser: Recogniser) -> str:
    """Why there are no neighbours by a metric branch; "" where there is one.

    >>> from ferlit.data.loading.preprocessing import Preprocessing
    >>> from ferlit.training import ExpressionModule
    >>> module = ModuleClassifier(ExpressionModule(["anger", "fear"]), Preprocessing())
    >>> why_no_metric_branch(Recogniser(module, landmarks="none"))
    'the model has one branch, which classifies: it has no metric branch'
    """
    if not isinstance(recogniser.classifier, ModuleClassifier):
        return (
            "an exported model has no metric branch to compare faces by; give the checkpoint that "
            "it was exported from"
        )
    module = recogniser.classifier.module
    if not isinstance(module.branches, TwoBranch):
        return "the model has one branch, which classifies: it has no metric branch"
    if not isinstance(module, JointModule):
        return "the model's metric branch was not trained: it has only seen the softmax loss"
    return ""


def training_rows(store: Store, checkpoint: Path) -> tuple[NDArray[np.int64], bool]:
    """The labelled faces of a store that a checkpoint's run trained on.

    Args:
        store: The faces.
        checkpoint: It says which images trained. Of one of an earlier version the run's folder says
            which databases and persons did; without folds the split of the database decides.

    Returns:
        (n,) their rows, and True; or those of all labelled faces, and False, where it is not known.
    """
    records = store.records
    is_labelled = (records["expression"] != "").to_numpy()
    splits = Training.read(checkpoint).splits if checkpoint.is_file() else ()
    known = [part for split in splits for part in split.parts]
    own = [part for split in splits for part in _parts_of(split, store)]
    images = [split.images["train"] for split in own if split.images]
    if known and all(split.images for split in known):
        names = hash_each(records["image"].tolist())
        is_shown = np.isin(names, np.concatenate([np.zeros(0, np.int64), *images]))
        rows = np.flatnonzero(is_labelled & is_shown)
        return (rows, True) if len(rows) else (np.flatnonzero(is_labelled), False)
    origin = Origin.of(checkpoint)
    name = store.description.database
    is_training = (records["split"] == "train").to_numpy()
    if origin.databases and name not in origin.databases:
        is_training = np.zeros(len(records), dtype=bool)
    elif origin.fold is not None and origin.database == name:
        persons = origin.split.loc[origin.split["split"] == "train", "identity"]
        is_training = records["identity"].isin(set(persons) - {""}).to_numpy()
    rows = np.flatnonzero(is_labelled & is_training)
    return (rows, True) if len(rows) else (np.flatnonzero(is_labelled), False)


def _parts_of(split: Split, store: Store) -> list[Split]:
    """Those of a store's database; of several stores of it that one, where it is among them."""
    found = [part for part in split.parts if part.database == store.description.database]
    return [part for part in found if part.content == store.content] or found


def cache_folder() -> Path:
    """Where embeddings are kept from one start to the next; it may be emptied at any time."""
    return platformdirs.user_cache_path("ferlit") / "embeddings"


def _key(checkpoint: Path, store: Store) -> str:
    """Names the embeddings of a store's faces by a checkpoint."""
    faces = store.digests.get(FACES) or checksum(store.folder / FACES)
    parts = (version("ferlit"), checksum(checkpoint), faces)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
