"""A model on the faces of one store."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferlit.data.loading.preprocessing import flip_averaged
from ferlit.evaluation.bootstrap import Interval, bootstrap, units_of
from ferlit.evaluation.calibration import calibration
from ferlit.evaluation.results import evaluate_images, evaluate_sequences, vote
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
