"""The faces of a store by the part that they had in a network's training, with their labels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferlit.data.loading.datamodule import ExpressionDataModule
from ferlit.data.store import DESCRIPTION, Description
from ferlit.errors import DataError
from ferlit.inference.classifiers.loading import Classifier
from ferlit.inference.export.parity import Parity, compare, predict
from ferlit.inference.origin import Origin
from ferlit.runs.people import Split, Training
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
        database = Description.read(folder / DESCRIPTION).database
        is_same = database == (origin.database if own is None else own.database)
        of_training = origin.fold if own is None else (own.fold, own.folds)
        fold, folds = (is_same and of_training) or (None, None)
        by = (own.folds_by if own else origin.folds_by) if fold is not None else "identity"
        self.data = ExpressionDataModule(store=folder, fold=fold, folds=folds or 8, folds_by=by)
        try:
            self.data.setup("test")
        except DataError as error:
            if fold is not None:
                raise
            raise DataError(
                f"{folder}: it is not known which of its faces trained {origin.checkpoint}, so "
                "none can calibrate it; give the store of its training, and the checkpoint in the "
                "folder of its run"
            ) from error
        if own is not None and is_same and not own.is_same(Split.of(self.data)):
            raise DataError(
                f"{folder}: its folds are not those of the training: the store was prepared again "
                "from other files, or its identities were changed"
            )
        seen = count_seen(training, self.data, "test")
        if seen.images and not is_same:
            raise DataError(f"{folder}: {seen}, so they cannot judge {origin.checkpoint}")
        self.store = self.data.store
        self.classifier = classifier
        other = [name for name in self.data.classes if name not in classifier.classes]
        if other:
            raise DataError(
                f"{folder}: its class {other[0]} is none of the model's, which are "
                f"{', '.join(classifier.classes)}; give a store of the database it was trained on"
            )

    def rows(self, part: str) -> NDArray[np.int64]:
        """The labelled rows of "train", "val" or "test"."""
        is_chosen = (self.data.split == part) & (self.data.labels >= 0)
        return np.flatnonzero(is_chosen).astype(np.int64)

    def labels(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) class numbers, in the order of the network's outputs."""
        names = np.array(self.data.classes)[self.data.labels[rows]]
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
