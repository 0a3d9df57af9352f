"""The faces of a store by the part that they had in a network's training, with their labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.store import Store
from ferlit.errors import DataError
from ferlit.inference.classifiers.loading import Classifier
from ferlit.inference.export.parity import Parity, compare, predict
from ferlit.inference.origin import Origin
from ferlit.runs.people import Split, Training, hash_each
from ferlit.runs.seen import count_seen


class LabelledFaces:
    """The faces of a store by the parts of the split that a network was trained with.

    Args:
        folder: The store.
        classifier: Says how faces become inputs, and which classes there are.
        origin: Says which fold it was, where there were folds.

    Raises:
        DataError: it is no store, its split is not known or no longer that of the training, or it
            has other classes.
    """

    def __init__(self, folder: Path, classifier: Classifier, origin: Origin) -> None:
        training = Training.read(origin.checkpoint)
        own = training.splits[0] if training.splits else None
        self.store = Store.open(folder)
        self.classifier = classifier
        self.classes = list(self.store.description.classes)
        part = None if own is None else own.of_one(Split.of_store(self.store))
        if own is not None and part is not None and part is not own:
            self.split = _as_trained(self.store, own, part)
        else:
            self.split = self._of_store_alone(training, own, origin)
        other = [name for name in self.classes if name not in classifier.classes]
        if other:
            raise DataError(
                f"{folder}: its class {other[0]} is none of the model's, which are "
                f"{', '.join(classifier.classes)}; give a store of the database it was trained on"
            )

    def _of_store_alone(
        self, training: Training, own: Split | None, origin: Origin
    ) -> NDArray[np.str_]:
        """(n,) the parts of a store that was not trained on together with others."""
        folder, checkpoint = self.store.folder, origin.checkpoint
        database = self.store.description.database
        is_same = database == (origin.database if own is None else own.database)
        of_training = origin.fold if own is None else (own.fold, own.folds)
        fold, folds = (is_same and of_training) or (None, None)
        by = (own or origin).folds_by if fold is not None else "identity"
        data = ExpressionDataModule(store=folder, fold=fold, folds=folds or 8, folds_by=by)
        try:
            data.setup("test")
        except DataError as error:
            if fold is not None:
                raise
            raise DataError(
                f"{folder}: it is not known which of its faces trained {checkpoint}, so "
                "none can calibrate it; give the store of its training, and the checkpoint in the "
                "folder of its run"
            ) from error
        if own is not None and is_same and not own.is_same(Split.of(data)):
            raise DataError(
                f"{folder}: its folds are not those of the training: the store was prepared again "
                "from other files, or its identities were changed"
            )
        seen = count_seen(training, data, "test")
        if seen.images and not is_same:
            raise DataError(f"{folder}: {seen}, so they cannot judge {checkpoint}")
        return data.split

    def rows(self, part: str) -> NDArray[np.int64]:
        """The labelled rows of "train", "val" or "test"."""
        return np.flatnonzero((self.split == part) & self.store.is_labelled).astype(np.int64)

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) class numbers, in the order of the network's outputs."""
        names = self.store.records["expression"].to_numpy(str)[rows]
        return np.array([self.classifier.classes.index(name) for name in names], np.int64)

    def inputs(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 1, 48, 48) inputs."""
        return self.classifier.preprocessing.inputs(self.store.faces[rows])

    def calibration(self, count: int) -> NDArray[np.float32]:
        """Inputs of ``count`` training faces, spread over all of them.

        Raises:
            DataError: there are none.
        """
        rows = self.rows("train")
        if len(rows) == 0:
            raise DataError(f"{self.store.place}: it has no labelled training faces")
        chosen = np.unique(np.linspace(0, len(rows) - 1, count).round().astype(np.int64))
        return self.inputs(rows[chosen])

    def judge(self, part: str, other: Classifier) -> "Judgement | None":
        """The network and another classifier on a part; None where it has no labels."""
        rows = self.rows(part)
        if len(rows) == 0:
            return None
        inputs, labels = self.inputs(rows), self.labels(rows)
        before = predict(self.classifier, inputs, f"float32, {part}")
        after = predict(other, inputs, f"int8, {part}")
        right = [int((found.argmax(1) == labels).sum()) for found in (before, after)]
        return Judgement(part, right[0], right[1], compare(before, after))


def _as_trained(store: Store, whole: Split, part: Split) -> NDArray[np.str_]:
    """(n,) the parts that the faces of a store had, with others; "" for those that had none.

    Args:
        store: The store.
        whole: The split of all stores.
        part: That of this one.

    Raises:
        DataError: the store is no longer what it was.
    """
    if part.content != store.content:
        raise DataError(
            f"{store.folder}: {whole.database} trained the network, and this store of "
            f"{part.database} is not what it was then: faces, labels or persons were changed"
        )
    names = hash_each(store.records["image"].tolist())
    split = np.full(len(names), "", dtype="<U5")
    for name, images in part.images.items():
        split[np.isin(names, images)] = name
    return split


class Judgement(NamedTuple):
    """Float32 and int8 on one part of the data.

    Args:
        part: "val" or "test".
        float32: Faces that the network recognises.
        int8: Faces that the quantised one recognises.
        parity: Both compared.
    """

    part: str
    float32: int
    int8: int
    parity: Parity

    def __str__(self) -> str:
        count = self.parity.faces
        shares = (
            f"{name} {right / count:.1%} ({right} of {count})"
            for name, right in (("float32", self.float32), ("int8", self.int8))
        )
        return f"{self.part}: {', '.join(shares)}; {self.parity}"
