"""A model on the faces of one store."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.loading.preprocessing import flip_averaged
from ferlit.data.store import Store
from ferlit.evaluation.bootstrap import LEVEL, Interval, Units, bootstrap, units_of
from ferlit.evaluation.calibration import Calibration, calibration
from ferlit.evaluation.results import Evaluation, evaluate_images, evaluate_sequences, vote
from ferlit.evaluation.tables import prediction_table
from ferlit.inference.evaluate.matching import Matching
from ferlit.inference.evaluate.models import Model, check_probabilities
from ferlit.inference.evaluate.parts import Part
from ferlit.runs.seen import Seen
from ferlit.runs.settings import Change

logger = logging.getLogger(__name__)
BATCH = 256


@dataclass(frozen=True)
class Judged:
    """A store before the model sees it.

    Args:
        name: For people; every store of an evaluation has another one.
        store: The store.
        part: Its faces that judge.
        left_out: Faces of expressions that the model does not know, by the expression.
        matching: The classes.
        seen: Which of the faces the model knows.
        changed: How the faces were made otherwise than in its training.
    """

    name: str
    store: Store
    part: Part
    left_out: dict[str, int]
    matching: Matching
    seen: Seen
    changed: tuple[Change, ...]


@dataclass(frozen=True)
class Sampling:
    """How intervals are drawn.

    Args:
        draws: How many; none for no intervals.
        seed: Fixes them.
    """

    draws: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class StoreResult:
    """What a model gave on a store.

    Args:
        judged: The store.
        predictions: One row a face, see `ferlit.evaluation.tables.prediction_table`; labels are
            those of the model.
        results: "image" and, where there are sequences, "sequence".
        calibration: Of the faces.
        intervals: By level and figure; a level has none where nothing can be drawn.
        units: What was drawn.
        sampling: How.
    """

    judged: Judged
    predictions: pd.DataFrame
    results: dict[str, Evaluation]
    calibration: Calibration
    intervals: dict[str, dict[str, Interval]]
    units: Units
    sampling: Sampling

    @property
    def persons(self) -> int:
        """Those who have a name."""
        return len(set(self.predictions["identity"]) - {""})

    @property
    def drawn(self) -> str:
        """What was drawn, for people."""
        if not self.sampling.draws:
            return "no intervals were asked for"
        if not self.intervals["image"]:
            return f"no intervals: they are not defined for {self.units}"
        return f"{LEVEL}% intervals: {self.sampling.draws} bootstrap draws of {self.units}"

    def notes(self) -> list[str]:
        """What was left out, and what else must be known to read the figures."""
        judged, matching = self.judged, self.judged.matching
        lines = [f"part {judged.part.name} ({judged.part.why}); {self.drawn}"]
        unnamed = int((self.predictions["identity"] == "").sum())
        if self.persons and unnamed:
            lines.append(
                f"{unnamed} of {len(self.predictions)} faces are of persons without a name"
            )
        if judged.part.unlabelled:
            lines.append(f"left out: {_faces(judged.part.unlabelled)} without a label")
        lines += [
            f"left out: {_faces(count)} of {name}, which the model does not know"
            for name, count in judged.left_out.items()
        ]
        empty = [name for name in matching.only_store if name not in judged.left_out]
        if empty:
            lines.append(
                f"the model does not know {', '.join(empty)}, of which the part has no faces"
            )
        if matching.only_model and matching.is_restricted:
            names = ", ".join(matching.only_model)
            lines.append(f"not possible as answers: {names}, which the store lacks (--common)")
        elif matching.only_model:
            answers = self.predictions["predicted"].value_counts()
            named = ", ".join(f"{name} ({answers.get(name, 0)})" for name in matching.only_model)
            lines.append(
                f"the store lacks these classes of the model, which stay possible answers (in "
                f"brackets, how often they were given; --common leaves them out): {named}"
            )
        lines += [f"other settings than in training: {change}" for change in judged.changed]
        if judged.seen.images:
            lines.append(f"flattering: {judged.seen}")
        if judged.seen.unknown:
            lines.append("whom the model was trained on is not known")
        return lines

    def to_dict(self) -> dict[str, Any]:
        """What ``evaluation.json`` says of the store."""
        judged, matching = self.judged, self.judged.matching
        store = judged.store
        levels = {level: result.to_dict() for level, result in self.results.items()}
        confusions = {
            level: {"classes": list(result.classes), "counts": result.confusion.tolist()}
            for level, result in self.results.items()
        }
        intervals = {
            level: {name: list(each) for name, each in found.items()} or None
            for level, found in self.intervals.items()
        }
        return {
            "name": judged.name,
            "folder": str(store.folder.resolve()),
            "database": store.description.database,
            "content": store.content,
            "part": judged.part.name,
            "part_reason": judged.part.why,
            "faces": len(self.predictions),
            "persons": self.persons,
            **levels,
            "confusion": confusions,
            "calibration": self.calibration.to_dict(),
            "intervals": {
                "percent": LEVEL,
                "draws": self.sampling.draws,
                "seed": self.sampling.seed,
                "units": dict(self.units.counts),
                **intervals,
            },
            "classes": {
                "common": list(matching.shown.values()),
                "answers": list(matching.classes),
                "only_model": list(matching.only_model),
                "only_store": list(matching.only_store),
            },
            "left_out": {"unlabelled": judged.part.unlabelled, "unknown": judged.left_out},
            "changed": {c.name: {"training": c.old, "here": c.new} for c in judged.changed},
            "people": judged.seen.to_dict(),
            "notes": self.notes(),
        }


def evaluate_store(
    model: Model,
    judged: Judged,
    sampling: Sampling,
    *,
    flip: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> StoreResult:
    """Evaluate a model on a store.

    Args:
        model: The model.
        judged: The store.
        sampling: How intervals are drawn.
        flip: Average a face and its mirror image.
        progress: Is told how many faces each batch had.

    Raises:
        FerlitError: the model gives no probabilities.
    """
    rows, matching, store = judged.part.rows, judged.matching, judged.store
    found = predict_faces(model, store.faces, rows, flip=flip, progress=progress)
    check_probabilities(model.path, found)
    probabilities = matching.answers(found)
    kept = found[:, [matching.model.index(name) for name in matching.classes]]
    none = int((kept.sum(axis=1) == 0).sum())
    if none:
        logger.warning(
            "%s: of %d faces all answers that --common leaves have the probability 0; they are "
            "taken as equally likely",
            *(store.folder, none),
        )
    classes = list(matching.classes)
    records = store.records.iloc[rows]
    records = records.assign(expression=records["expression"].map(matching.shown))
    predictions = prediction_table(records, probabilities, classes)
    results = {"image": evaluate_images(predictions, classes)}
    rule = store.description.sequence_rule
    by_sequence = evaluate_sequences(predictions, classes, rule)
    if by_sequence is not None:
        results["sequence"] = by_sequence
    confidences = probabilities.max(axis=1)
    right = (predictions["label"] == predictions["predicted"]).to_numpy(bool)
    units = units_of(predictions)
    draw = partial(_draw, classes=classes, sampling=sampling)
    intervals = {"image": draw(predictions, units.names, confidences=confidences)}
    if by_sequence is not None:
        votes = vote(predictions, classes, rule)
        whose = pd.Series(units.names, predictions["sequence"])
        whose = whose[~whose.index.duplicated()]
        intervals["sequence"] = draw(votes, whose[votes.index].to_numpy(str))
    return StoreResult(
        judged, predictions, results, calibration(confidences, right), intervals, units, sampling
    )


def predict_faces(
    model: Model,
    faces: NDArray[np.uint8],
    rows: NDArray[np.int64],
    *,
    flip: bool,
    progress: Callable[[int], None],
) -> NDArray[np.float32]:
    """(n, K) probabilities of some registered faces, prepared as in the model's training."""
    classify: Callable[..., Any] = model.classifier
    if flip and not model.flips:
        classify = partial(flip_averaged, model.classifier)
    found = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        found.append(classify(model.classifier.preprocessing.inputs(faces[batch])))
        progress(len(batch))
    return np.concatenate(found)


def _faces(count: int) -> str:
    return f"{count} face" if count == 1 else f"{count} faces"


def _draw(
    items: pd.DataFrame,
    units: NDArray[np.str_],
    confidences: NDArray[np.float64] | None = None,
    *,
    classes: list[str],
    sampling: Sampling,
) -> dict[str, Interval]:
    if not sampling.draws:
        return {}
    labels, predicted = (
        pd.Index(classes).get_indexer(pd.Index(items[name])) for name in ("label", "predicted")
    )
    return bootstrap(
        units,
        labels,
        predicted,
        classes,
        confidences=confidences,
        draws=sampling.draws,
        seed=sampling.seed,
    )
