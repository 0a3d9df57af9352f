"""The data module of images; `ferlit.data.loading.tuples` adds the one of tuples."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from ferlit.data.databases import Database, find_database
from ferlit.data.folds import FoldsBy, fold_splits
from ferlit.data.loading.dataset import Batch, FaceDataset, whole
from ferlit.data.loading.on_device import transform, upload
from ferlit.data.loading.preprocessing import Preprocessing
from ferlit.data.loading.samplers import BatchSampler, SeededBatches, ShardSampler, ShuffledBatches
from ferlit.data.loading.source import cached_store, find_source
from ferlit.data.loading.splitting import check_official_split, folds_of, split_table
from ferlit.data.loading.transforms import INPUT_SIZE, Augmentation
from ferlit.data.loading.weights import weigh_faces
from ferlit.data.loading.workers import begin_worker
from ferlit.data.preparation import prepare_store
from ferlit.data.preparation.choices import options_text
from ferlit.data.records import SequenceRule, recordings
from ferlit.data.store import DESCRIPTION, Description, Store, StoreUnion, open_stores
from ferlit.errors import DataError, UsageError


class ExpressionDataModule(LightningDataModule):
    """Images of a database, for training with the softmax loss and for every evaluation.

    With a ``root`` the database is prepared first (once; later runs find the store), so that one
    command is enough. The split is a round of the subject-independent cross-validation where
    ``fold`` is given, else the database's official one.

    Several stores are taken as one (see `ferlit.data.store.StoreUnion`): each part of the official
    split is that of all of them, or the folds go through the persons of all.

    Args:
        database: Name of the database; may be left out when ``store`` exists.
        root: Folder of the database.
        store: Folder of the prepared store; None keeps it in the user's cache. A list of folders
            takes several stores, which must be there, as one.
        reader: Options of the database's reader (``ferlit prepare --help`` lists them).
        landmarks: "auto", "database", "mediapipe", "dlib" or "none" (see
            `ferlit.data.preparation.landmarks.choose_landmarks`). Of several stores that were
            prepared by different ones it must be named by which a picture is registered for the
            trained network.
        fold: Round of the cross-validation, from 0; None for the official split.
        folds: Number of rounds.
        batch_size: Images a batch (and process).
        eval_batch_size: The same in validation, test and prediction.
        num_workers: Processes that load images; 0 loads in the main process.
        seed: Fixes order and augmentation, together with the epoch.
        balanced: Show every class as often in training as any other: in tuples, as the queries'.
        store_weights: How often a training face of each of several stores is shown in an epoch
            (in tuples, as the query), in their order or by their names (``{ck48: 20, fer2013: 1}``;
            a run lists them). An epoch has so many faces more or fewer; 0.5 shows half of the
            faces, others each epoch. With ``balanced`` every class comes as often as any other and
            the weights count within it. None shows each once.
        augment: How training faces are varied beside the random crop.
        equalize: Equalise the histogram (Sec. 5.1).
        fit_plane: Subtract the fitted plane of grey values (Sec. 5.1).
        eval_crops: 1 evaluates the crop in the centre; 5 those in the corners too, and the mean of
            their probabilities: ten crops with ``model.flip_average``, at ten times the price.
        on_device: Keep all faces on the device (FER2013: 129 MB) and crop, vary and standardise
            them there, for a GPU that is faster than the loaders. The images are the same to the
            rounding of float32; see `ferlit.data.loading.on_device` for those that are turned.
        folds_by: "identity": no person is in two folds. "image": the folds go by pictures, where
            the persons are not known; one may then be trained and tested on.
    """

    def __init__(
        self,
        database: str | None = None,
        root: Path | None = None,
        store: list[Path] | Path | None = None,
        reader: dict[str, Any] | None = None,
        landmarks: str = "auto",
        fold: int | None = None,
        folds: int = 8,
        batch_size: int = 128,
        eval_batch_size: int = 256,
        num_workers: int = 2,
        seed: int = 0,
        balanced: bool = False,
        augment: Augmentation = Augmentation(),  # noqa: B008 - it is frozen
        equalize: bool = True,
        fit_plane: bool = True,
        eval_crops: int = 1,
        store_weights: list[float] | dict[str, float] | None = None,
        on_device: bool = False,
        folds_by: FoldsBy = "identity",
    ) -> None:
        super().__init__()
        self.database = database
        self.root = root
        self.store_folder = _one_or_several(store)
        self.reader = reader or {}
        self.landmarks = landmarks
        self.fold = fold
        self.folds = folds
        self.folds_by = folds_by
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.balanced = balanced
        self.store_weights = store_weights
        self.on_device = on_device
        self._held: Tensor | None = None  # the faces, on the device
        self._preprocessing = Preprocessing(landmarks, equalize, fit_plane)
        self.train_transform = self._preprocessing.transform(train=True, augment=augment)
        self.eval_transform = self._preprocessing.transform(crops=eval_crops)
        self._prepared: str | None = None  # the fingerprint of the store

    @cached_property
    def source(self) -> Database | Description:
        """What names the classes before anything is prepared: the store, or else the database.

        Of a database whose classes are those that a copy holds only its store can tell them, which
        is made here.
        """
        store = self.store_folder
        database = self.root and self.database and find_database(self.database)
        if database and not database.classes:
            self._prepare()
            store = self.store_path
        return find_source(self.database, self.root, store, self.reader, self.landmarks)

    @property
    def classes(self) -> list[str]:
        """The expressions, in the order of the network's outputs."""
        return list(self.source.classes)

    @property
    def sequence_rule(self) -> SequenceRule:
        """How the images of a sequence vote: "max" or "mean"."""
        return self.source.sequence_rule

    @property
    def target_rule(self) -> str:
        """What training does with the judgements of several people (FER+); "" without any."""
        return self.source.target_rule

    @property
    def store_path(self) -> Path | tuple[Path, ...]:
        """Where the store is or will be, or the several are."""
        if self.store_folder is not None:
            return self.store_folder
        assert self.root is not None  # `source` has seen to it
        return cached_store(self.database, self.root)

    def prepare_data(self) -> None:
        """Prepare the database, unless an up-to-date store is there already."""
        _ = self.source  # raises where no data are named
        if self._prepared is None:
            self._prepare()

    def _prepare(self) -> None:
        path = self.store_path
        if self.root is not None and self.database is not None and isinstance(path, Path):
            store = prepare_store(
                find_database(self.database),
                self.root,
                path,
                options=self.reader,
                landmarks=self.landmarks,
                resume=True,
                # A store in the cache is ours to renew; one that the user named is not.
                replace=self.store_folder is None,
            )
            self._prepared = store.description.fingerprint

    def setup(self, stage: str) -> None:
        """Open the store and split it."""
        _ = self.source  # raises where no data are named
        self.store: Store | StoreUnion = open_stores(self.store_path, self.landmarks)
        now = self.store.description
        if now.classes != tuple(self.classes) or self._prepared not in (None, now.fingerprint):
            raise DataError(
                f"{self.store.place}: another process has made it from other files or settings "
                "meanwhile; give each its own --data.store"
            )
        records = self.store.records
        numbers = {name: number for number, name in enumerate(self.classes)}
        self.labels = np.array([numbers.get(name, -1) for name in records["expression"]], np.int64)
        self.sequences = recordings(records)
        if self.fold is not None:
            self.fold_of = folds_of(self.store, self.folds, self.folds_by)
            self.split = fold_splits(self.fold_of, self.fold, self.folds)
        else:
            self.fold_of = np.full(len(records), -1)
            self.split = records["split"].to_numpy(str)
            check_official_split(self.store, self.source_name)
        if stage == "fit":
            _ = self.weights  # raises where they do not fit
            for part in ("train", "val"):
                self._rows(part, required=True)

    @property
    def weights(self) -> NDArray[np.float64] | None:
        """(n,) how often each face is shown in an epoch, were it in training; None for once."""
        return weigh_faces(self.store_weights, self.store, self.split == "train")

    @property
    def preprocessing(self) -> Preprocessing:
        """How a picture becomes the network's input, for whoever uses the trained network."""
        return replace(self._preprocessing, landmarks=self.store.description.landmarks)

    @property
    def source_name(self) -> str:
        several = "s" if isinstance(self.store, StoreUnion) else ""
        return f"{self.store.description.database} (store{several} {self.store.place})"

    @property
    def has_test_data(self) -> bool:
        """Whether the split has labelled images to test on."""
        return len(self._rows("test")) > 0

    def summary(self) -> str:
        """Where the faces are, how many, and how they are split; of several stores a line each."""
        dropped = len(self.store.description.dropped)
        note = f", {dropped} dropped (see {DESCRIPTION})" if dropped else ""
        told = f"{len(self.labels)} images{note}: {self._parts()}"
        if isinstance(self.store, Store):
            named = self.store.description.database
            return f"{named} (store {_place(self.store)}): {told}"
        lines = [f"{self.source_name}: {told}", *self.store.summary()]
        weights = self.weights
        for member in self.store.members:
            store, rows = member.store, member.rows
            shown = "" if weights is None else f"; weight {weights[member.start]:g}"
            lines.append(
                f"  {member.name} ({_place(store)}): {len(store.records)} images: "
                f"{self._parts(rows)}{shown}"
            )
        return "\n".join(lines)

    def _parts(self, rows: slice = slice(None)) -> str:
        counted = (self.split[rows])[self.labels[rows] >= 0]
        return ", ".join(f"{part} {(counted == part).sum()}" for part in ("train", "val", "test"))

    def split_table(self) -> pd.DataFrame:
        """Which subjects (where they are known) are in which part, with counts of images."""
        return split_table(self.store.records, self.split, self.fold_of)

    def class_shares(self) -> list[float]:
        """K shares of the classes among the training images that an epoch shows.

        By targets where there are some.
        """
        rows = self._rows("train", required=True)
        weights = self._weights(rows)
        if self.store.targets is None:
            labels = self.labels[rows]
            counts = np.bincount(labels, weights, len(self.classes)).astype(np.float64)
        else:
            targets = self.store.targets[rows].astype(np.float64)
            shares = targets / targets.sum(1, keepdims=True)
            counts = (shares if weights is None else weights[:, None] * shares).sum(0)
        return [float(share) for share in counts / counts.sum()]

    def train_dataloader(self) -> DataLoader[Batch]:
        rows = self._rows("train", required=True)
        dataset = FaceDataset(
            self.store.faces,
            self.labels,
            self.sequences,
            rows,
            self.train_transform,
            self.store.targets,
            draw_label=self.target_rule == "probability",
            tuple_size=self.tuple_size,
            on_device=self.on_device,
        )
        batches = SeededBatches(
            self._batches(rows),
            seed=self.seed,
            rank=self._rank,
            num_replicas=self._num_replicas,
            tuple_size=sum(self.tuple_size or (1,)),
            current_epoch=self._epoch if self.trainer else None,
        )
        return DataLoader(
            dataset,
            batch_sampler=batches,
            generator=batches.generator,
            **self._loader_options(),
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        return self._eval_dataloader(self._rows("val", required=True))

    def test_dataloader(self) -> DataLoader[Batch]:
        return self._eval_dataloader(self._rows("test", required=True))

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Every image of the store, labelled or not."""
        return self._eval_dataloader(np.arange(len(self.labels), dtype=np.int64))

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Make the images of a batch, where the device holds the faces."""
        if batch.draws is None:
            return batch
        if self._held is None or self._held.device != batch.draws.device:
            self._held = upload(self.store.faces, batch.draws.device)
        crops = len(batch.draws) // len(batch.row)
        images = transform(
            self._held[batch.row.repeat_interleave(crops)],
            batch.draws,
            INPUT_SIZE,
            equalize=self._preprocessing.equalize,
            fit_plane=self._preprocessing.fit_plane,
        ).to(batch.image.dtype)
        if crops > 1:
            images = images.view(-1, crops, *images.shape[1:])
        return batch._replace(image=images, draws=None)

    def teardown(self, stage: str) -> None:
        """Free the device."""
        self._held = None

    # The data module of tuples does these two in its own way.

    @property
    def tuple_size(self) -> tuple[int, int] | None:
        """(M, N) of a training batch that is laid out tuple after tuple."""
        return None

    def _batches(self, rows: NDArray[np.int64]) -> BatchSampler:
        return ShuffledBatches(
            len(rows),
            self.batch_size,
            seed=self.seed,
            rank=self._rank,
            num_replicas=self._num_replicas,
            balance=self.labels[rows] if self.balanced else None,
            weights=self._weights(rows),
        )

    def _weights(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        weights = self.weights
        return None if weights is None else weights[rows]

    def _rows(self, part: str, *, required: bool = False) -> NDArray[np.int64]:
        """The labelled rows of a part of the split."""
        rows = np.flatnonzero((self.split == part) & (self.labels >= 0)).astype(np.int64)
        if required and len(rows) == 0:
            raise DataError(f"{self.source_name}: the split has no labelled {part} images")
        return rows

    def _eval_dataloader(self, rows: NDArray[np.int64]) -> DataLoader[Batch]:
        dataset = FaceDataset(
            self.store.faces,
            self.labels,
            self.sequences,
            rows,
            self.eval_transform,
            on_device=self.on_device,
        )
        return DataLoader(
            dataset,
            batch_size=self.eval_batch_size,
            sampler=ShardSampler(len(rows), rank=self._rank, num_replicas=self._num_replicas),
            **self._loader_options(),
        )

    def _loader_options(self) -> dict[str, Any]:
        return {
            "num_workers": self.num_workers,
            "worker_init_fn": begin_worker,
            "collate_fn": whole,
        }

    def _epoch(self) -> int:
        """The epoch whose plan a training loader starts with."""
        assert self.trainer is not None
        if self.trainer.overfit_batches:  # type: ignore[attr-defined]
            return 0  # the same batches in every epoch
        # Not trainer.current_epoch: that is one behind where a fit is resumed.
        progress: Any = self.trainer.fit_loop.epoch_progress.current
        return int(progress.processed)

    @property
    def _rank(self) -> int:
        return self.trainer.global_rank if self.trainer else 0

    @property
    def _num_replicas(self) -> int:
        return self.trainer.world_size if self.trainer else 1


def _place(store: Store) -> str:
    """Where it lies, and by which options it was read."""
    options = options_text(store.description.database, store.description.reader)
    return f"{store.place}; {options}" if options else store.place


def _one_or_several(store: Path | Sequence[Path] | None) -> Path | tuple[Path, ...] | None:
    if store is None or isinstance(store, str | Path):
        return store
    if not store:
        raise UsageError("--data.store []: an empty list; name a store, or several")
    return store[0] if len(store) == 1 else tuple(store)
