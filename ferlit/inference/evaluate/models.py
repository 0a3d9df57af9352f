"""The model that is evaluated: its file, and what that tells of its training."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ferlit.data.store import Store
from ferlit.data.store.manifest import checksum
from ferlit.errors import FerlitError
from ferlit.inference.classifiers.checkpoint import ModuleClassifier
from ferlit.inference.classifiers.exported import ExportedClassifier, OnnxClassifier
from ferlit.inference.classifiers.loading import Classifier, load_classifier
from ferlit.inference.evaluate.parts import Part
from ferlit.runs.checkpoints import config_of, find_checkpoint, read_checkpoint
from ferlit.runs.people import Split, Training, show_the_same_people
from ferlit.runs.seen import Seen, refuse, seen_among, warn_of_unknown, why
from ferlit.shipped import place_of

logger = logging.getLogger(__name__)
# Editions of the same pictures, in the same parts.
_SAME_PICTURES = {"fer2013", "ferplus"}


@dataclass(frozen=True)
class Model:
    """A classifier with what its file tells.

    Args:
        path: The file.
        classifier: Gives probabilities.
        training: Whom it has seen; an exported file does not tell.
        flips: Whether it averages a face and its mirror image by itself.
        databases: What an exported file says that it was trained on.
        crops: How many crops of a face its run was tested with, beside their mirror images.
    """

    path: Path
    classifier: Classifier
    training: Training
    flips: bool
    databases: tuple[str, ...] = ()
    crops: int = 1

    @classmethod
    def load(cls, place: Path, device: str = "cpu", trust: Sequence[str] = ()) -> "Model":
        """From a file, or from the folder of a run, whose best checkpoint it is then.

        Raises:
            FerlitError: see `ferlit.inference.classifiers.loading.load_classifier`.
        """
        path = place_of(place)
        path = find_checkpoint(path) if path.is_dir() else path
        classifier = load_classifier(path, device, trust=trust)
        if isinstance(classifier, OnnxClassifier | ExportedClassifier):
            told = classifier.metadata
            unknown = Training((), (str(path),))
            return cls(path, classifier, unknown, told.flip_average, told.databases)
        assert isinstance(classifier, ModuleClassifier)
        content = read_checkpoint(path)
        data = config_of(path, content).get("data") or {}
        crops = (data.get("init_args") or {}).get("eval_crops", 1)
        training = Training.read(path, content)
        return cls(path, classifier, training, classifier.module.flip_average, crops=crops)

    @property
    def is_exported(self) -> bool:
        """Whether it is ONNX or pt2, which do not tell whom they were trained with."""
        return not isinstance(self.classifier, ModuleClassifier)

    def to_dict(self) -> dict[str, Any]:
        """What ``evaluation.json`` says of it."""
        prepared = self.classifier.preprocessing
        return {
            "file": str(self.path.absolute()),
            "sha256": checksum(self.path),
            "classes": list(self.classifier.classes),
            "landmarks": prepared.landmarks,
            "equalize": prepared.equalize,
            "fit_plane": prepared.fit_plane,
        }

    def check_people(self, store: Store, part: Part, *, allow: bool) -> Seen:
        """See that the model was not trained, or chosen, with those who judge it.

        As in ``ferlit test``: the test part of the split that it was trained with is not refused
        where that split itself has a person in several parts.

        Args:
            store: The store.
            part: Its faces that judge.
            allow: Only warn.

        Raises:
            FerlitError: some were; or, where an exported file does not tell, very probably: it was
                trained on this database, and more than its test part is to judge.
        """
        seen = seen_among(self.training, store, part.rows, "test")
        if self.is_exported:
            self._check_database(store, part, allow=allow)
            return seen
        warn_of_unknown(self.path, seen, str(store.folder))
        if not seen.images:
            return seen
        own, here = self.training.splits[0], Split.of_store(store)
        before = Training(self.training.splits[1:])
        is_own_test = part.name == "test" and own.of_one(here).is_same(here)
        if is_own_test and not seen_among(before, store, part.rows, "test").images:
            logger.warning(
                "%s: %s: %s itself has them in several parts", self.path, seen, store.folder
            )
            return seen
        reason = why(own, here)
        if own.is_same(here) or (own.database == here.database and own.title != here.title):
            reason = f"it was trained in {own.title} of {own.database}"
        refuse(
            f"{self.path}: {store.folder}: {seen} ({reason}); give faces of other people (`ferlit "
            "test` takes the test part of the training's own split)",
            allow=allow,
        )
        return seen

    def _check_database(self, store: Store, part: Part, *, allow: bool) -> None:
        database = store.description.database
        shared = [
            name
            for name in self.databases
            if show_the_same_people(name, database) or {name, database} <= _SAME_PICTURES
        ]
        if shared and part.name != "test":
            refuse(
                f"{self.path}: it was trained on {shared[0]}, and an exported file does not say "
                f"with whom, so the {len(part.rows)} faces of {store.folder} (part {part.name}) "
                "are probably among them; give its checkpoint, which knows",
                allow=allow,
            )
            return
        trained = f" (it was trained on {', '.join(self.databases)})" if self.databases else ""
        logger.warning(
            "%s: an exported file does not say whom its network was trained on%s, so it cannot be "
            "checked that they are other people than those of %s; its checkpoint knows",
            *(self.path, trained, store.folder),
        )


def check_probabilities(model: Path, probabilities: np.ndarray[Any, Any]) -> None:
    """See that a model gives probabilities, which calibration takes them for.

    Raises:
        FerlitError: some are no numbers, or do not sum up to 1.
    """
    broken = ~np.isfinite(probabilities).all(axis=1)
    if broken.any():
        raise FerlitError(f"{model}: for {broken.sum()} of {len(broken)} faces it gives no numbers")
    total = probabilities.sum(axis=1)
    worst = float(total[np.abs(total - 1).argmax()])
    if abs(worst - 1) > 1e-3 or probabilities.min() < 0:
        raise FerlitError(
            f"{model}: it gives no probabilities: those of a face sum up to {worst:.4g}, the "
            f"least is {probabilities.min():.4g}"
        )
