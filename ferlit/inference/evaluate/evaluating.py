"""A model on the faces of one store."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.loading.preprocessing import flip_averaged
from ferlit.data.records import SequenceRule
from ferlit.evaluation.bootstrap import Interval, bootstrap, units_of
from ferlit.evaluation.calibration import calibration
from ferlit.evaluation.results import evaluate_images, vote
from ferlit.evaluation.tables import prediction_table
from ferlit.inference.evaluate.models import Model, check_probabilities
from ferlit.inference.evaluate.results import Expected, Judged, Sampling, StoreResult
from ferlit.inference.prior import with_prior

logger = logging.getLogger(__name__)
BATCH = 256


def evaluate_store(
    model: Model,
    judged: Judged,
    sampling: Sampling,
    *,
    flip: bool = False,
    expected: Expected = Expected(),  # noqa: B008 - it is frozen
    progress: Callable[[int], None] = lambda _: None,
) -> StoreResult:
    """Evaluate a model on a store.

    Args:
        model: The model.
        judged: The store.
        sampling: How intervals are drawn.
        flip: Average a face and its mirror image.
        expected: How often the classes are to be expected.
        progress: Is told how many faces each batch had.

    Raises:
        FerlitError: the model gives no probabilities.
    """
    rows, matching, store = judged.part.rows, judged.matching, judged.store
    found = predict_faces(model, store.faces, rows, flip=flip, progress=progress)
    check_probabilities(model.path, found)
    if expected.ratios is not None:
        found = with_prior(found, expected.ratios)
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
    items = items_of(predictions, classes, store.description.sequence_rule)
    results = {level: evaluate_images(found, classes) for level, found in items.items()}
    confidences = probabilities.max(axis=1)
    right = (predictions["label"] == predictions["predicted"]).to_numpy(bool)
    units = units_of(predictions)
    intervals = {
        level: draw_intervals(
            found, classes, sampling, confidences=confidences if level == "image" else None
        )
        for level, found in items.items()
    }
    return StoreResult(
        judged,
        predictions,
        results,
        calibration(confidences, right),
        intervals,
        units,
        sampling,
        expected,
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


def items_of(
    predictions: pd.DataFrame, classes: list[str], rule: SequenceRule
) -> dict[str, pd.DataFrame]:
    """What is counted: faces and, where there are some, sequences.

    Args:
        predictions: See `ferlit.evaluation.tables.prediction_table`.
        classes: The answers.
        rule: How the images of a sequence vote.

    Returns:
        "image" and perhaps "sequence": a row an item, with its ``label``, what was ``predicted``,
        and the ``unit`` that is drawn for intervals.
    """
    units = units_of(predictions).names
    found = {"image": predictions[["label", "predicted"]].assign(unit=units)}
    votes = vote(predictions, classes, rule)
    if not votes.empty:
        whose = pd.Series(units, predictions["sequence"])
        whose = whose[~whose.index.duplicated()]
        found["sequence"] = votes.assign(unit=whose[votes.index].to_numpy(str))
    return found


def draw_intervals(
    items: pd.DataFrame,
    classes: list[str],
    sampling: Sampling,
    *,
    confidences: NDArray[np.float64] | None = None,
) -> dict[str, Interval]:
    """The intervals of some items, see `items_of`; none where none are asked for or defined.

    Args:
        items: The items.
        classes: The answers.
        sampling: How.
        confidences: The highest probability of each; None where there is no such thing.
    """
    if not sampling.draws:
        return {}
    labels, predicted = (
        pd.Index(classes).get_indexer(pd.Index(items[name])) for name in ("label", "predicted")
    )
    return bootstrap(
        items["unit"].to_numpy(str),
        labels,
        predicted,
        classes,
        confidences=confidences,
        draws=sampling.draws,
        seed=sampling.seed,
    )
